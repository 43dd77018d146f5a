"""Runs a subcommand as person-search does: a UserError is one line and status 2."""

import argparse
import importlib
import sys

from fully_decoupled_ps.errors import UserError


def run_command(name: str, *args) -> int:
    module = importlib.import_module(f"fully_decoupled_ps.dataset_tools.{name.replace('-', '_')}")
    parser = argparse.ArgumentParser(prog=f"person-search {name}")
    module.add_arguments(parser)
    parsed = parser.parse_args([str(arg) for arg in args])
    try:
        return module.run(parsed)
    except UserError as error:
        assert "\n" not in str(error)
        print(f"person-search {name}: {error}", file=sys.stderr)
        return 2
