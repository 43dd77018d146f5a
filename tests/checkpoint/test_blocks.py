"""Checkpoints of more or of fewer residual blocks than the network has."""

import logging

import pytest
import torch
import torchvision
from detectron2.modeling import build_model

from fully_decoupled_ps import UserError
from fully_decoupled_ps.checkpoint import PersonSearchCheckpointer, initialize_side_net
from fully_decoupled_ps.checkpoint.blocks import Block, blocks_of, surplus_blocks
from tests.testing import CONFIGS, FRUGAL, make_config, make_model

BLOCKS = "MODEL.DETECTOR.BLOCKS"
LITE = (BLOCKS, (3, 2, 2, 2))


def load(model, path):
    checkpointer = PersonSearchCheckpointer(model)
    checkpointer.load(str(path), checkpointables=[])
    return checkpointer


@pytest.fixture(scope="module")
def imagenet(tmp_path_factory):
    """torchvision's ResNet-34, which is quicker than the 50 and has as many blocks."""
    resnet = torchvision.models.resnet34(weights=None)
    path = tmp_path_factory.mktemp("imagenet") / "resnet34.pth"
    torch.save(resnet.state_dict(), path)
    return path, resnet


@pytest.mark.parametrize("stage", ["detection", "joint"])
@pytest.mark.parametrize("name", ["faster_rcnn", "retinanet", "fcos"])
def test_kept_blocks_start_from_imagenet_and_the_log_tells_which(imagenet, name, stage, caplog):
    path, resnet = imagenet
    config_file = CONFIGS / "prw" / f"{name}_R34.yaml"
    opts = [*FRUGAL, *LITE, "MODEL.REID.NUM_IDS", 4]
    model = build_model(make_config(stage, opts, config_file=config_file))
    caplog.set_level(logging.INFO)
    load(model, path)
    (line,) = [r.getMessage() for r in caplog.records if "fewer residual blocks" in r.getMessage()]
    assert "res2 3 of 3, res3 2 of 4, res4 2 of 6, res5 2 of 3;" in line
    left_out = "res3.2, res3.3, res4.2, res4.3, res4.4, res4.5, res5.2"
    assert line.endswith(f"left out are {left_out}")

    own = {n.split(".")[-1]: m for n, m in model.detector.named_modules()}
    for i, number in zip((2, 3, 4, 5), LITE[1], strict=True):
        stage = own[f"res{i}"]
        assert len(stage) == number
        for block, given in zip(stage, getattr(resnet, f"layer{i - 1}")):
            assert torch.equal(block.conv1.weight, given.conv1.weight)
            assert torch.equal(block.conv2.weight, given.conv2.weight)
            assert torch.equal(block.conv2.norm.bias, given.bn2.bias)
            assert torch.equal(block.conv2.norm.running_var, given.bn2.running_var)

    if stage == "joint":  # f_r is full, and gets all of it
        initialize_side_net(model.reid, str(path), model.detector)
        state = model.reid.side_net.res4.state_dict()
        assert torch.equal(state["5.conv2.weight"], resnet.layer3[5].conv2.weight)


def test_a_full_file_in_a_full_network_is_not_told_of(imagenet, caplog):
    config_file = CONFIGS / "prw" / "faster_rcnn_R34.yaml"
    caplog.set_level(logging.INFO)
    load(build_model(make_config("detection", FRUGAL, config_file=config_file)), imagenet[0])
    assert "fewer residual blocks" not in caplog.text


def test_a_trained_detector_is_not_used_without_some_of_its_blocks(tmp_path, caplog):
    torch.save({"model": make_model("detection").state_dict()}, tmp_path / "full.pth")
    torch.save({"model": make_model("detection", LITE).state_dict()}, tmp_path / "lite.pth")
    load(make_model("reid", LITE), tmp_path / "lite.pth")
    said = r"residual blocks that the network has not, res3.2, .*res5.2; .*MODEL.DETECTOR.BLOCKS"
    for stage in ("reid", "hybrid"):
        with pytest.raises(UserError, match=said):
            load(make_model(stage, LITE), tmp_path / "full.pth")
    checkpointer = PersonSearchCheckpointer(make_model("detection", LITE))
    with pytest.raises(UserError, match=said):
        checkpointer.load_trained(str(tmp_path / "full.pth"))
    with pytest.raises(UserError, match="another architecture: .* detector.backbone.res3.2"):
        load(make_model("reid"), tmp_path / "lite.pth")
    # blocks that would be random between trained ones are no start
    for stage in ("detection", "detached"):
        with pytest.raises(UserError, match="whole blocks of them random, .*res3.2.*BLOCKS"):
            load(make_model(stage), tmp_path / "lite.pth")
    # it is a start of one that is trained further
    caplog.set_level(logging.INFO)
    load(make_model("detection", LITE), tmp_path / "full.pth")
    assert "left out are res3.2," in caplog.text


def test_a_whole_network_comes_back_and_no_other_does(tmp_path):
    trained = make_model("reid", LITE)
    torch.save({"model": trained.state_dict()}, tmp_path / "lite.pth")
    model = make_model("reid", [*LITE, "MODEL.REID.NUM_IDS", 0])
    PersonSearchCheckpointer(model).load_trained(str(tmp_path / "lite.pth"))
    assert all(torch.equal(x, trained.state_dict()[n]) for n, x in model.state_dict().items())
    state = trained.state_dict()
    state["reid.side_net.res3.4.conv1.weight"] = state["reid.side_net.res3.3.conv1.weight"]
    torch.save({"model": state}, tmp_path / "deeper.pth")
    with pytest.raises(UserError, match="the network has not, f_r res3.4; use the config"):
        load(model, tmp_path / "deeper.pth")


def test_a_full_side_net_is_no_copy_of_a_lighter_detector():
    model = make_model("reid", LITE)
    said = r"^MODEL.REID.SIDE_NET.WEIGHTS detector: \d+ tensors .*res3.2.*MODEL.DETECTOR.BLOCKS"
    with pytest.raises(UserError, match=said):
        initialize_side_net(model.reid, "detector", model.detector)


def test_surplus_is_what_follows_a_stage_s_last_block():
    own = ["detector.backbone.res3.0.a.b", "detector.backbone.res3.1.a.b", "reid.head.conv5.0.a"]
    assert blocks_of(own) == {
        Block(False, "res3", "0"),
        Block(False, "res3", "1"),
        Block(True, "conv5", "0"),
    }
    unexpected = ["res3.3.a.b", "res3.2.a", "res3.1.other", "res5.0.a", "reid.head.conv5.1.a"]
    surplus = surplus_blocks(own, [*unexpected, "xres3.7.a", "stem.fc.weight"])
    assert list(map(str, surplus)) == ["res3.2", "res3.3", "f_r conv5.1"]
    staged = ["backbone.res3.entry.1.weight", "backbone.res3.blocks.0.block.5.bias"]
    assert blocks_of([*staged, "stem.entry.0.0.a"]) == {Block(False, "res3", "0")}


def test_blocks_of_a_staged_network_may_have_names():
    own = ["detector.backbone.res3.blocks.first.a", "detector.backbone.res3.entry.0.weight"]
    theirs = [f"detector.backbone.res3.blocks.{name}.a" for name in ("then_10", "then_9")]
    surplus = surplus_blocks(own, [*theirs, "detector.backbone.res4.blocks.first.a"])
    assert list(map(str, surplus)) == ["res3.then_9", "res3.then_10"]
