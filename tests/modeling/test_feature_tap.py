"""Reading the maps of a detector's ResNet, whatever stands around it."""

import pytest
import torch
from detectron2.modeling import build_backbone
from torch import nn

from fully_decoupled_ps import UserError
from fully_decoupled_ps.modeling.feature_tap import FeatureTap
from tests.testing import TINY, make_config

FPN = (
    *("MODEL.BACKBONE.NAME", "build_resnet_fpn_backbone"),
    *("MODEL.RESNETS.OUT_FEATURES", ("res4", "res5")),
    *("MODEL.FPN.IN_FEATURES", ("res4", "res5")),
)


@pytest.fixture(params=[(), FPN], ids=["C4", "FPN"])
def backbone(request):
    torch.manual_seed(0)
    return build_backbone(make_config("reid", [*TINY, *request.param])).eval()


def test_maps_are_those_of_the_one_forward_pass(backbone):
    tap, images = FeatureTap(nn.Sequential(backbone)), torch.randn(2, 3, 64, 96)
    with tap.record() as maps:
        backbone(images)
    assert list(maps) == ["res2", "res3", "res4"]
    for name, shape in tap.shapes().items():
        size = (64 // shape.stride, 96 // shape.stride)
        assert maps[name].shape == (2, shape.channels, *size), name
    x = tap.bottom_up.stem(images)
    for name, value in maps.items():
        x = getattr(tap.bottom_up, name)(x)
        assert torch.equal(value, x), name


def test_running_the_bottom_up_gives_the_same_and_stops_at_conv4(backbone):
    tap, images = FeatureTap(backbone), torch.randn(1, 3, 64, 64)
    with tap.record() as recorded:
        backbone(images)
    if "res5" in dict(tap.bottom_up.named_children()):
        tap.bottom_up.res5.register_forward_hook(lambda *_: pytest.fail("conv5 was run"))
    maps = tap.run(images)
    assert maps.keys() == recorded.keys()
    assert all(torch.equal(maps[name], recorded[name]) for name in maps)


def test_the_hooks_are_taken_away(backbone):
    tap = FeatureTap(backbone)

    def num_hooks():
        return sum(len(m._forward_hooks) for m in backbone.modules())

    with tap.record():
        assert num_hooks() == 3
    with pytest.raises(RuntimeError), tap.record():
        raise RuntimeError
    assert num_hooks() == 0


def test_a_detector_of_no_or_of_two_resnets_is_refused(backbone):
    with pytest.raises(UserError, match="Linear has 0 backbones of stages"):
        FeatureTap(nn.Linear(2, 2))
    other = build_backbone(make_config("reid", TINY))
    with pytest.raises(UserError, match="has 2 backbones"):
        FeatureTap(nn.ModuleList([backbone, other]))
