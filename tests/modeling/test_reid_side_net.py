"""The side-net: how its layers are joined, and that they are a ResNet's own."""

import pytest
import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling import build_backbone
from torch import nn

from fully_decoupled_ps import UserError
from fully_decoupled_ps.modeling import SideNet, build_reid_side_net
from tests.testing import FRUGAL, make_config

BASIC, BOTTLENECK = (64, 128, 256), (256, 512, 1024)


def shapes(channels):
    return {
        f"res{i}": ShapeSpec(channels=c, stride=2**i)
        for i, c in zip((2, 3, 4), channels, strict=True)
    }


def config(depth, opts=()):
    return make_config("reid", [*FRUGAL, "MODEL.RESNETS.DEPTH", depth, *opts])


def test_data_flow():
    """x_s^2 = ada(2) = 20; x_s^3 = 3 + conv3(20) = 63; x_s^4 = 5 + conv4(63) = 320."""

    class Times(nn.Module):
        def __init__(self, factor):
            super().__init__()
            self.factor = factor

        def forward(self, x):
            return self.factor * x

    class Add(nn.Module):
        def forward(self, x_d, x_r):
            assert x_d in (3, 5)  # never the map of res2
            return x_d + x_r

    net = SideNet(
        side_ada=Times(10),
        res3=Times(3),
        res4=Times(5),
        res5=Times(0),  # applied by the head, to what it pools
        feature_dim=1,
        fusions={"res3": Add(), "res4": Add()},
    )
    assert net({"res2": 2, "res3": 3, "res4": 5}) == 320


@pytest.mark.parametrize("depth, channels, dim", [(18, BASIC, 512), (50, BOTTLENECK, 2048)])
def test_strides_channels_and_names_are_a_resnets(depth, channels, dim):
    cfg = config(depth, ["MODEL.RESNETS.OUT_FEATURES", ("res5",)])
    cfg.MODEL.RESNETS.RES2_OUT_CHANNELS = channels[0]
    net = build_reid_side_net(cfg, shapes(channels))
    assert net.feature_dim == dim
    x = torch.zeros(1, channels[0], 16, 24)
    x3 = net.res3(x)
    x4 = net.res4(x3)
    assert x3.shape == (1, channels[1], 8, 12)
    assert x4.shape == (1, channels[2], 4, 6)
    assert net.res5(x4).shape == (1, dim, 4, 6)  # stride 1

    cfg.MODEL.RESNETS.NORM = cfg.MODEL.REID.SIDE_NET.NORM
    whole = build_backbone(cfg).state_dict()
    own = {k: v.shape for k, v in net.state_dict().items() if k.startswith("res")}
    assert own == {k: v.shape for k, v in whole.items() if k.startswith(("res3", "res4", "res5"))}


def test_layers_give_what_detectron2_s_give():
    cfg = config(50)
    net = build_reid_side_net(cfg, shapes(BOTTLENECK)).eval()
    backbone = build_backbone(cfg).eval()
    backbone.load_state_dict(net.state_dict(), strict=False)
    x = torch.randn(1, 256, 8, 12)
    # frozen and trainable batch norm differ in the rounding
    torch.testing.assert_close(net.res3(x), backbone.res3(x), rtol=1e-4, atol=1e-4)


def test_side_ada_is_the_identity_where_channels_fit():
    width = ["MODEL.RESNETS.RES2_OUT_CHANNELS", 64]
    net = build_reid_side_net(config(18, width), shapes(BASIC))
    assert isinstance(net.side_ada, nn.Identity)
    x = torch.randn(1, 64, 4, 4)
    assert net.side_ada(x) is x


def test_side_ada_is_one_convolution_where_they_do_not():
    opts = ["MODEL.REID.SIDE_NET.DEPTH", 34, "MODEL.REID.FUSION.NAME", "NoFusion"]
    net = build_reid_side_net(config(50, opts), shapes(BOTTLENECK))
    assert isinstance(net.side_ada, nn.Conv2d)
    assert net.side_ada.weight.shape == (64, 256, 1, 1)
    maps = {name: torch.randn(1, s.channels, 64 // s.stride, 64 // s.stride) for name, s in
            shapes(BOTTLENECK).items()}  # fmt: skip
    assert net(maps).shape == (1, 256, 4, 4)


def test_depths_that_cannot_be_blended_are_refused():
    with pytest.raises(UserError, match="512 and 128"):
        build_reid_side_net(config(50, ["MODEL.REID.SIDE_NET.DEPTH", 34]), shapes(BOTTLENECK))


def test_an_unknown_depth_is_refused():
    with pytest.raises(UserError, match="no ResNet of depth 42; depths are 18, 34, 50"):
        build_reid_side_net(config(50, ["MODEL.REID.SIDE_NET.DEPTH", 42]), shapes(BOTTLENECK))
