"""KEY VALUE pairs: which are taken, and where they hold."""

import pytest
import torch

from fully_decoupled_ps import UserError
from fully_decoupled_ps.site_training.options import (
    ELSEWHERE,
    check_options,
    device_of,
    options_of,
)
from tests.testing import make_config

OPTS = ["SOLVER.REID.MAX_ITER", "5", "SOLVER.MAX_ITER", "9", "SEED", "2"]


def test_a_key_of_the_reid_stage_wins_there_and_is_unknown_elsewhere():
    assert options_of("detection", OPTS) == ["SOLVER.MAX_ITER", "9", "SEED", "2"]
    assert options_of("reid", OPTS) == [*OPTS[2:], "SOLVER.MAX_ITER", "5"]


def test_pairs_that_are_right_change_nothing():
    cfg = make_config("reid")
    before = cfg.dump()
    check_options(cfg, OPTS)
    assert cfg.dump() == before


@pytest.mark.parametrize(
    "opts, parts",
    [
        (["SOLVER.MAX_ITER"], ["KEY VALUE", "'SOLVER.MAX_ITER' has no value"]),
        (["SOLVER.MAX_ITERS", "3"], ["MAX_ITERS", "did you mean MAX_ITER?"]),
        (["SOLVER.REID.MAX_ITERS", "3"], ["MAX_ITERS", "did you mean MAX_ITER?"]),
        (["SOLVER.MAX_ITER", "many"], ["many"]),
        *([[key, "x"], [key, words]] for key, words in ELSEWHERE.items()),
    ],
)
def test_others_are_refused(opts, parts):
    with pytest.raises(UserError) as error:
        check_options(make_config("reid"), opts)
    assert all(part in str(error.value) for part in parts) and "\n" not in str(error.value)


def test_devices(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert (device_of(""), device_of("cpu")) == ("cpu", "cpu")
    with pytest.raises(UserError, match="--device cuda:1: PyTorch sees no GPU"):
        device_of("cuda:1")
    with pytest.raises(UserError, match="--device gpu: no such device; say cuda or cpu"):
        device_of("gpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert (device_of(""), device_of("cuda:1")) == ("cuda", "cuda:1")
