"""Running ``person-search`` in this process."""

import json
import time

from person_search.cli.main import main
from person_search.network import Predictor
from person_search.search import recording


def run(*args):
    """The exit status."""
    return main([str(arg) for arg in args])


def run_slowly(*args):
    """For a process of its own: each batch takes a while, and is committed at once."""
    network_run = Predictor.run

    def wait_and_run(self, inputs):
        time.sleep(0.05)
        return network_run(self, inputs)

    Predictor.run = wait_and_run
    recording.COMMIT_SECONDS = 0
    return run(*args)


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
