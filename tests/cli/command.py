"""Running ``person-search`` in this process."""

import json

from fully_decoupled_ps.cli.main import main


def run(*args):
    """The exit status."""
    return main([str(arg) for arg in args])


def query_json(capsys, *args):
    """What ``query --json`` prints."""
    capsys.readouterr()
    assert run("query", *args, "--json") == 0
    return json.loads(capsys.readouterr().out)


def index_args(run_folder, index, *args):
    """Those of ``index`` for a network of random weights, whose scores are low."""
    return (
        *("index", "--model", run_folder, "--index", index, "--score-thresh", 0.01),
        *("--workers", 0, "--device", "cpu", *args),
    )
