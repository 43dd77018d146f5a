"""A lighter detector through train_net.py: both stages, evaluation, and going on."""

import re

import pytest
import torch

from fully_decoupled_ps import UserError
from tests.small_run import SmallRun
from tests.testing import CONFIGS

CONFIG = CONFIGS / "prw" / "faster_rcnn_R50_lite.yaml"
START = ("MODEL.WEIGHTS", "")
REID = ("SOLVER.STAGE", "reid", "MODEL.REID.SIDE_NET.WEIGHTS", "random")


def blocks(state, stage):
    """Numbers of the blocks of a stage, by the part of the network that they are in."""
    found = {}
    for match in (re.search(rf"(.*)\.{stage}\.(\d+)\.", name) for name in state):
        if match:
            found.setdefault(match[1], set()).add(int(match[2]))
    return found


def test_two_stages_evaluation_and_going_on(tmp_path, restore_loggers):
    with SmallRun(tmp_path) as run:
        run.train(CONFIG, START)
        run.train(CONFIG, REID)
        paths = [run.output_dir / stage / "model_final.pth" for stage in ("detection", "reid")]
        before, after = (torch.load(path)["model"] for path in paths)
        assert blocks(after, "res4") == {
            "detector.backbone": {0, 1},
            "reid.side_net": {0, 1, 2, 3, 4, 5},
        }
        assert blocks(after, "res5") == {"detector.roi_heads": {0, 1}}
        assert all(torch.equal(value, after[name]) for name, value in before.items())
        trained = run.results("reid")
        run.train(CONFIG, REID, eval_only=True)
        assert run.results("reid") == trained

        # what MODEL.WEIGHTS says is no matter to a run that goes on
        for opts in ([], START):
            with pytest.raises(UserError, match="was trained with MODEL.ANCHOR_GENERATOR.SIZES"):
                sizes = ("MODEL.ANCHOR_GENERATOR.SIZES", "[[8, 16, 24]]")
                run.train(CONFIG, [*opts, *sizes], resume=True, iterations=3)
        # a run goes on with as many blocks as it began with, or not at all
        run.train(CONFIG, [], resume=True, iterations=3)
        for other in ("(3, 1, 1, 1)", "()"):
            opts = ["MODEL.DETECTOR.BLOCKS", other]
            with pytest.raises(UserError, match="--resume: .* doesn't fit .* network"):
                run.train(CONFIG, opts, resume=True, iterations=4)
            with pytest.raises(UserError, match="of another architecture"):
                run.train(CONFIG, [*REID, *opts])
