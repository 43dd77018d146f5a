"""Checkpoints of the time when conv5 was the side-net's: weights and momentum find their place."""

import pytest
import torch
from detectron2.modeling import build_model
from detectron2.utils.events import EventStorage
from torch import nn

from fully_decoupled_ps import UserError
from fully_decoupled_ps.checkpoint import PersonSearchCheckpointer
from fully_decoupled_ps.engine.solver import build_optimizer
from tests.testing import CONFIGS, TINY, make_config, randomize_norms, training_input

SMALL = (
    *("MODEL.COAT.DIM", 32, "MODEL.COAT.NUM_HEADS", 2, "MODEL.REID.NUM_IDS", 4),
    *("MODEL.FPN.OUT_CHANNELS", 64, "MODEL.RETINANET.NUM_CONVS", 1),
)
TWO_GROUPS = ("MODEL.REID.FUSION.NAME", "ConvFusion", "SOLVER.BIAS_LR_FACTOR", 2.0)


def network(config, stage, opts):
    config_file = CONFIGS / "prw" / f"{config}.yaml"
    cfg = make_config(stage, [*TINY, *SMALL, *opts], config_file=config_file)
    model = build_model(cfg)
    randomize_norms(model)
    return cfg, model.train()


def earlier(model):
    """The same modules where they stood then, each in its turn."""

    def of_head(stage):
        names = ("memory", "losses")
        head = {name: getattr(stage.head, name) for name in ("pooler", "pooling", "norm")}
        return {"head": nn.ModuleDict(head), **{name: getattr(stage, name) for name in names}}

    reid, parts = model.reid, dict(model.reid.side_net.named_children())
    fusions = parts.pop("fusions")
    if hasattr(reid, "stages"):
        stages = [
            nn.ModuleDict({"side_net": nn.ModuleDict({"res5": s.head.conv5}), **of_head(s)})
            for s in reid.stages
        ]
        rest = {"stages": nn.ModuleList(stages)}
    else:
        parts["res5"], rest = reid.head.conv5, of_head(reid)
    side_net = nn.ModuleDict({**parts, "fusions": fusions})
    branch = nn.ModuleDict({"side_net": side_net, **rest})
    return nn.ModuleDict({"detector": model.detector, "reid": branch})


@pytest.mark.parametrize(
    "config, stage, opts",
    [
        ("faster_rcnn_R50", "reid", TWO_GROUPS),
        ("faster_rcnn_R50_osnet", "joint", ()),
        ("retinanet_R50", "hybrid", ()),
        ("coat_R50", "reid", ()),
    ],
)
def test_a_checkpoint_of_then_goes_on(config, stage, opts, tmp_path):
    cfg, model = network(config, stage, opts)
    then = earlier(model)
    optimizer = build_optimizer(cfg, then)
    with EventStorage():
        losses = model([training_input([0, 1, -1], seed=1), training_input([2, 0], seed=2)])
    sum(losses.values()).backward()
    optimizer.step()
    names = {p: name for name, p in model.named_parameters()}
    expected = {names[p]: state["momentum_buffer"] for p, state in optimizer.state.items()}
    content = {"model": then.state_dict(), "optimizer": optimizer.state_dict()}
    assert any(".side_net.res5." in name for name in content["model"])
    torch.save(content, tmp_path / "model.pth")

    cfg, resumed = network(config, stage, opts)
    optimizer = build_optimizer(cfg, resumed)
    checkpointer = PersonSearchCheckpointer(resumed, optimizer=optimizer)
    checkpointer.load(str(tmp_path / "model.pth"))
    assert checkpointer.has_loaded_reid
    state = model.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in resumed.state_dict().items())
    parameters = dict(resumed.named_parameters())
    trained = {name for name, p in parameters.items() if p.requires_grad}
    assert expected.keys() == trained and any("conv5" in name for name in trained)
    for name, momentum in expected.items():
        assert torch.equal(optimizer.state[parameters[name]]["momentum_buffer"], momentum), name


def test_a_checkpoint_of_then_without_conv5_is_refused(tmp_path):
    """The error gives the missing tensor its current name."""
    _, model = network("faster_rcnn_R50", "reid", ())
    state = earlier(model).state_dict()
    del state["reid.side_net.res5.0.conv1.weight"]
    torch.save({"model": state}, tmp_path / "model.pth")
    with pytest.raises(UserError, match="1 tensors are .* reid.head.conv5.0.conv1.weight among"):
        PersonSearchCheckpointer(model).load(str(tmp_path / "model.pth"), checkpointables=[])
