"""Fewer residual blocks in f_d: how many, which, and that nothing else of it is another."""

import copy
import re
from collections import OrderedDict

import pytest
import torch
from detectron2.layers import FrozenBatchNorm2d
from detectron2.modeling import META_ARCH_REGISTRY, build_model
from torch import nn

from fully_decoupled_ps import UserError
from fully_decoupled_ps.modeling import Stage, check_light_detector
from fully_decoupled_ps.modeling.light_detector import lighten
from fully_decoupled_ps.modeling.meta_arch import build_detector
from tests.testing import (
    CONFIGS,
    FRUGAL,
    NARROW,
    PROJECT,
    RESNET18,
    TINY,
    image,
    make_config,
    make_model,
    randomize_norms,
    training_input,
)

BLOCKS, RES5_NORM = "MODEL.DETECTOR.BLOCKS", "MODEL.DETECTOR.RES5_NORM"
FULL, LITE, MINOR = (3, 4, 6, 3), (3, 2, 2, 2), (3, 1, 1, 1)
README = (PROJECT / "README.md").read_text()
DETECTORS = ("faster_rcnn", "faster_rcnn_fpn", "retinanet", "fcos")
FEW = ("MODEL.RETINANET.NUM_CONVS", 1, "MODEL.FCOS.NUM_CONVS", 1, "MODEL.FPN.OUT_CHANNELS", 64)
FEW += ("MODEL.RETINANET.SCORE_THRESH_TEST", 0.0, "MODEL.FCOS.SCORE_THRESH_TEST", 0.0)


def config(name, *opts, stage="detection"):
    path = CONFIGS / "prw" / f"{name}_R50.yaml"
    return make_config(stage, [*TINY, *FEW, "MODEL.REID.NUM_IDS", 4, *opts], config_file=path)


def stages(net):
    """The stages of a network's one ResNet, wherever they stand."""
    names = ("res2", "res3", "res4", "res5")
    found = {n.split(".")[-1]: m for n, m in net.named_modules() if n.split(".")[-1] in names}
    return tuple(found[name] for name in names)


def seeded(build, *args):
    torch.manual_seed(0)
    return build(*args)


@pytest.mark.parametrize("kind, blocks", [("lite", LITE), ("minor", MINOR)])
@pytest.mark.parametrize("data", ["prw", "cuhk_sysu"])
@pytest.mark.parametrize("name", ["faster_rcnn", "retinanet", "fcos"])
def test_the_shipped_configs(data, name, kind, blocks):
    path = CONFIGS / data / f"{name}_R50_{kind}.yaml"
    opts = [*NARROW, *FRUGAL, *FEW, "MODEL.REID.NUM_IDS", 4]
    model = build_model(make_config("reid", opts, config_file=path))
    assert tuple(map(len, stages(model.detector))) == blocks
    side_net = model.reid.side_net
    assert tuple(map(len, (side_net.res3, side_net.res4, model.reid.head.conv5))) == FULL[1:]
    norms = {type(m.norm) for m in stages(model.detector)[3].modules() if hasattr(m, "norm")}
    assert norms == {nn.BatchNorm2d if name == "faster_rcnn" else FrozenBatchNorm2d}


@pytest.mark.parametrize("name", DETECTORS)
def test_all_blocks_are_detectron2_s_own_network_to_the_bit(name):
    cfg = config(name)
    own = seeded(META_ARCH_REGISTRY.get(cfg.MODEL.DETECTOR.NAME), cfg)
    assert tuple(map(len, stages(own))) == FULL
    for cfg in (config(name), config(name, BLOCKS, FULL)):
        ours = seeded(build_detector, cfg)
        assert ours.state_dict().keys() == own.state_dict().keys()
        assert all(torch.equal(x, own.state_dict()[n]) for n, x in ours.state_dict().items())
        losses = [seeded(copy.deepcopy(net).train(), [training_input([0])]) for net in (ours, own)]
        assert losses[0] == losses[1]


@pytest.mark.parametrize("name", DETECTORS)
def test_a_lighter_one_is_the_full_one_without_its_last_blocks(name):
    """A block that passes its input on is as good as none. One seed gives both the same weights."""
    full = seeded(build_detector, config(name)).eval()
    lite = seeded(build_detector, config(name, BLOCKS, LITE)).eval()
    state = full.state_dict()
    assert all(torch.equal(x, state[n]) for n, x in lite.state_dict().items())
    randomize_norms(full)
    lite.load_state_dict({n: x for n, x in full.state_dict().items() if n in lite.state_dict()})
    for stage, number in zip(stages(full), LITE):
        for index in range(number, len(stage)):
            stage[index] = nn.Identity()
    found = [net([{"image": image(3)}])[0]["instances"] for net in (lite, full)]
    assert len(found[0]) > 0
    assert torch.equal(found[0].pred_boxes.tensor, found[1].pred_boxes.tensor)
    assert torch.equal(found[0].scores, found[1].scores)


def test_parameters_by_hand():
    """Blocks of an eighth's width: 1 x 1, 3 x 3 and 1 x 1, and the weights and biases of norms."""

    def block(channels):
        narrow = channels // 4
        norms = 2 * (2 * narrow + channels)
        return 2 * channels * narrow + 9 * narrow * narrow + norms

    full, lite = (make_model("detection", [BLOCKS, blocks]) for blocks in ((), LITE))
    counts = [sum(p.numel() for p in model.parameters()) for model in (full, lite)]
    assert counts[0] - counts[1] == 2 * block(64) + 4 * block(128) + block(256)


@pytest.mark.parametrize(
    "name, full, has_norms",
    [
        ("faster_rcnn", 32_982_289, True),
        ("retinanet", 36_276_717, False),
        ("fcos", 32_062_150, False),
    ],
)
def test_parameters_of_the_readme(name, full, has_norms):
    """Full ones less blocks of 278,528 (conv3), 1,114,112 and 4,456,448 (conv5) parameters.

    A batch norm that is trained has two a channel, and 3,072 channels a block of conv5, and 2,048
    in its shortcut.
    """
    blocks = (278_528, 1_114_112, 4_456_448)
    counts = []
    for kind, (_, *kept) in (("lite", LITE), ("minor", MINOR)):
        path = CONFIGS / "prw" / f"{name}_R50_{kind}.yaml"
        cfg = make_config("detection", ["MODEL.DEVICE", "cpu"], config_file=path)
        counts.append(sum(p.numel() for p in build_detector(cfg).parameters()))
        left_out = sum(n * (m - k) for n, m, k in zip(blocks, FULL[1:], kept))
        trained = has_norms * 2 * (3_072 * kept[2] + 2_048)
        assert counts[-1] == full - left_out + trained
    rows = re.findall(r"^\| (?:lite|minor) R-50 & .*\) \|(.*)\|$", README, re.MULTILINE)
    column = ("faster_rcnn", "retinanet", "fcos").index(name)
    f_r = 23_286_786
    told = [float(row.split("|")[column]) for row in rows]
    assert told == [round((number + f_r) / 1e6, 1) for number in counts]


def test_basic_blocks_and_the_narrow_resnet():
    path = CONFIGS / "synthetic" / "faster_rcnn_R18.yaml"
    model = build_model(make_config("reid", [*FRUGAL, BLOCKS, (2, 1, 1, 1)], config_file=path))
    assert tuple(map(len, stages(model.detector))) == (2, 1, 1, 1)
    assert len(model.reid.side_net.res4) == 2


def test_conv5_has_a_norm_of_its_own_that_is_trained_with_the_detector():
    opts = ["MODEL.RESNETS.NORM", "FrozenBN", "MODEL.BACKBONE.FREEZE_AT", 2, RES5_NORM, "BN"]
    model = make_model("detection", opts, train=True)
    *rest, res5 = stages(model.detector)
    assert not any(isinstance(m, nn.BatchNorm2d) for stage in rest for m in stage.modules())
    norms = [m for m in res5.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(norms) == 3 * 3 + 1 and not any(
        isinstance(m, FrozenBatchNorm2d) for m in res5.modules()
    )
    before = norms[0].running_mean.clone()
    sum(model([training_input([0, -1])]).values()).backward()
    assert not torch.equal(norms[0].running_mean, before)
    assert all(n.weight.grad is not None for n in norms)
    # and is frozen with it
    model = make_model("reid", [*opts, BLOCKS, LITE], train=True)
    res5 = stages(model.detector)[3]
    assert len(res5) == 2 and not any(m.training for m in res5.modules())


@pytest.mark.parametrize("norm", ["BN", "GN"])
def test_a_frozen_conv5_with_a_norm_of_its_own_stays_frozen(norm):
    opts = [*FEW, RES5_NORM, norm, BLOCKS, LITE]
    opts += ["MODEL.BACKBONE.FREEZE_AT", 5]
    model = build_model(config("retinanet", *opts)).train()
    res5 = stages(model.detector)[3]
    assert not any(p.requires_grad for p in res5.parameters())
    assert not any(isinstance(m, nn.BatchNorm2d) for m in res5.modules())  # nor its statistics
    kinds = {type(m.norm) for m in res5.modules() if hasattr(m, "norm")}
    assert kinds == {FrozenBatchNorm2d if norm == "BN" else nn.GroupNorm}


def test_a_norm_in_the_place_of_none_is_refused():
    without = ("MODEL.RESNETS.NORM", "")
    check_light_detector(config("faster_rcnn", *without))
    with pytest.raises(UserError, match='RES5_NORM is BN, .* MODEL.RESNETS.NORM is "": .* leave'):
        check_light_detector(config("faster_rcnn", *without, RES5_NORM, "BN"))


WRONG = ((3, 4), (3, 0, 1, 1), (3, 2, 2, -1), (3, 2, 2, 2.0), (True, 1, 1, 1), (3, 5, 1, 1))


@pytest.mark.parametrize("blocks", WRONG)
def test_wrong_numbers_are_refused(blocks):
    said = r"MODEL.DETECTOR.BLOCKS is \(.*\(3, 4, 6, 3\) \(all of a ResNet-50's\).*or \(\) for all"
    with pytest.raises(UserError, match=said) as error:
        check_light_detector(config("faster_rcnn", BLOCKS, blocks))
    assert "\n" not in str(error.value)


def test_numbers_are_those_of_the_depth():
    check_light_detector(config("faster_rcnn", BLOCKS, LITE))
    with pytest.raises(UserError, match=r"\(2, 2, 2, 2\) \(all of a ResNet-18's\)"):
        check_light_detector(config("retinanet", *RESNET18, BLOCKS, LITE))


def test_a_resnet_s_numbers_are_not_those_of_a_staged_network_under_fcos():
    staged = ("MODEL.FCOS.BOTTOM_UP", "build_staged_backbone")
    check_light_detector(config("fcos", *staged, BLOCKS, (3, 3, 9, 3)))
    with pytest.raises(UserError, match="all of a ResNet-50's"):
        check_light_detector(config("fcos", BLOCKS, (3, 3, 9, 3)))


def test_names_of_the_blocks_that_are_kept_stay():
    detector = nn.Module()
    for name in ("res2", "res3", "res4"):
        blocks = nn.Sequential(OrderedDict((f"b{i}", nn.Linear(1, 1)) for i in range(3)))
        setattr(detector, name, Stage(blocks=blocks))
    lighten(detector, (1, 2, 3, 1))
    kept = [list(dict(s.blocks.named_children())) for s in detector.children()]
    assert kept == [["b0"], ["b0", "b1"], ["b0", "b1", "b2"]]


def test_an_unknown_norm_is_refused():
    with pytest.raises(UserError, match="RES5_NORM is 'Batch', none of .* say BN"):
        check_light_detector(config("faster_rcnn", RES5_NORM, "Batch"))


def test_what_is_built_has_the_last_word():
    detector = build_detector(config("retinanet"))
    with pytest.raises(UserError, match=r"BLOCKS is \(3, 4, 7, 3\), but res4 .* has 6 blocks"):
        lighten(detector, (3, 4, 7, 3))
    with pytest.raises(UserError, match="BLOCKS .* Linear has no res2, res3, res4"):
        lighten(nn.Linear(1, 1), LITE)
    with pytest.raises(UserError, match="RES5_NORM .* Linear has no res5"):
        lighten(nn.Linear(1, 1), (), "BN")
