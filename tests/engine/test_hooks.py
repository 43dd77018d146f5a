"""What the hooks keep of each process."""

from types import SimpleNamespace

import pytest
from detectron2.modeling import build_model
from detectron2.utils import comm

from fully_decoupled_ps.engine.hooks import LossNormalizers
from tests.testing import CONFIGS, TINY, make_config, make_model


@pytest.fixture(scope="module")
def retinanet():
    config = CONFIGS / "prw" / "retinanet_R50.yaml"
    return build_model(make_config("detection", TINY, config_file=config))


def hook_of(model, iteration, max_iter=10, period=4):
    hook = LossNormalizers(model, period)
    hook.trainer = SimpleNamespace(iter=iteration, max_iter=max_iter)
    return hook


def test_every_process_gets_its_own_normalizer_back(retinanet, monkeypatch):
    retinanet.detector.loss_normalizer = 12.5
    monkeypatch.setattr(comm, "gather", lambda own: [own, [33.0]])
    hook = hook_of(retinanet, iteration=3)
    hook.after_step()
    state = hook.state_dict()
    assert state == {"of_processes": [[12.5], [33.0]]}
    for rank, expected in ((0, 12.5), (1, 33.0), (2, 12.5)):
        monkeypatch.setattr(comm, "get_rank", lambda rank=rank: rank)
        hook_of(retinanet, 0).load_state_dict(state)
        assert retinanet.detector.loss_normalizer == expected


@pytest.mark.parametrize("iteration, gathers", [(0, False), (3, True), (5, False), (9, True)])
def test_the_processes_talk_to_each_other_before_a_checkpoint_only(
    retinanet, monkeypatch, iteration, gathers
):
    calls = []
    monkeypatch.setattr(comm, "gather", lambda own: calls.append(own) or [own])
    hook_of(retinanet, iteration).after_step()
    assert bool(calls) == gathers


def test_other_detectors_have_none(monkeypatch):
    monkeypatch.setattr(comm, "gather", lambda own: pytest.fail("nothing to gather"))
    hook = hook_of(make_model("detection"), iteration=3)
    hook.after_step()
    assert hook.state_dict() == {}
