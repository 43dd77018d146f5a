"""What commands have in common: a help, and one line and status 2 for a user's mistake."""

import argparse
import functools
import sys
from collections.abc import Callable

from ..errors import UserError
from .names import printable


def command_parser(doc: str) -> argparse.ArgumentParser:
    """A parser whose help begins with a module's docstring, in its own lines."""
    return argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def print_error(error: UserError) -> int:
    """Print it on stderr as one line; returns the exit status of a command that it ends."""
    print(f"error: {printable(str(error))}", file=sys.stderr)
    return 2


def in_one_line(main: Callable) -> Callable[..., int]:
    """Let a command's ``main`` return its exit status, also where it raises a UserError."""

    @functools.wraps(main)
    def run(*args, **kwargs) -> int:
        try:
            return main(*args, **kwargs) or 0
        except UserError as error:
            return print_error(error)

    return run
