"""The real training command in two processes on the CPU, which torchrun starts."""

import json
import os
import subprocess
import sys

import pytest
import torch

from tests.testing import CONFIGS, FRUGAL, PROJECT, make_tiny_dataset

COMMAND = [
    PROJECT / "train_net.py",
    *("--config-file", CONFIGS / "synthetic" / "faster_rcnn_R18.yaml"),
]
OPTS = (*FRUGAL, "SOLVER.MAX_ITER", 2, "SOLVER.WARMUP_ITERS", 0)
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", 2)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Runs ``python ...`` with the options, on a small data set in a folder of the tests."""
    root = tmp_path_factory.mktemp("several")
    make_tiny_dataset(root / "datasets" / "synthetic")

    def run_python(*args):
        done = subprocess.run(
            [str(a) for a in (sys.executable, *args, *OPTS, "OUTPUT_DIR", root / "output")],
            env={**os.environ, "DETECTRON2_DATASETS": str(root / "datasets")},
            cwd=root,  # any folder will do
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return root / "output", done.stdout

    return run_python


def check_stage(folder, printed):
    """Returns the network and the results."""
    checkpoint = torch.load(folder / "model_final.pth")
    assert checkpoint["iteration"] == 1
    assert (folder / "last_checkpoint").read_text() == "model_final.pth"
    # everything is written and printed by the first process alone
    lines = (folder / "metrics.json").read_text().splitlines()
    assert [json.loads(x)["iteration"] for x in lines if "total_loss" in x] == [1]
    assert len(list(folder.glob("events.out.tfevents.*"))) == 1
    assert printed.count("Starting training from iteration 0") == 1
    log = (folder / "log.txt").read_text()
    assert "Rank of current process: 0. World size: 2" in log
    results = json.loads((folder / "inference" / "synthetic_test" / "metrics.json").read_text())
    assert "AP" in results["detection"]
    return checkpoint["model"], results


def test_both_stages(run):
    output, printed = run(*TORCHRUN, *COMMAND)
    detector, results = check_stage(output / "detection", printed)
    assert "search" not in results
    output, printed = run(*TORCHRUN, *COMMAND, "SOLVER.STAGE", "reid")
    network, results = check_stage(output / "reid", printed)
    assert {"mAP", "top1"} <= results["search"].keys()
    assert all(torch.equal(value, network[name]) for name, value in detector.items())
    assert network["reid.memory.lookup_table"].any()
