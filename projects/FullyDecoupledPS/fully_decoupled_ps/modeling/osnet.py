"""OSNet x1.0's conv3, conv4 and conv5 as a re-id side-net (the paper's R-50 & OSNet)."""

import re

import torch.nn.functional as F
from detectron2.config import configurable
from detectron2.layers import Conv2d, ShapeSpec, get_norm
from fvcore.nn.weight_init import c2_msra_fill
from torch import nn

from .reid_side_net import REID_SIDE_NET_REGISTRY, SideNet, conv_side_ada
from .side_fusion import SIDE_FUSION_REGISTRY

CONV2_CHANNELS, CONV3_CHANNELS, CONV4_CHANNELS = 256, 384, 512
BOTTLENECK_RATIO = 4
GATE_RATIO = 16
NUM_SCALES = 4


def conv_norm(
    in_channels, out_channels, norm, *, kernel_size=1, stride=1, groups=1, activation=None
):
    conv = Conv2d(
        in_channels,
        out_channels,
        kernel_size=kernel_size,
        stride=stride,
        padding=kernel_size // 2,
        groups=groups,
        bias=False,
        norm=get_norm(norm, out_channels) if norm else None,
        activation=activation,
    )
    c2_msra_fill(conv)
    return conv


def _light_conv(channels: int, norm: str) -> nn.Sequential:
    """A 3 x 3 convolution factorised into 1 x 1 and depthwise 3 x 3."""
    return nn.Sequential(
        conv_norm(channels, channels, ""),
        conv_norm(channels, channels, norm, kernel_size=3, groups=channels, activation=F.relu),
    )


def _halve() -> nn.Module:
    # Odd sizes round up, as they do in the detector's strided convolutions.
    # nothing is padded; the export to ONNX of older PyTorch would count what ceil_mode adds
    return nn.AvgPool2d(2, stride=2, ceil_mode=True, count_include_pad=False)


class ChannelGate(nn.Module):
    """Weights a map's channels by a function of their means; one gate serves all scales."""

    def __init__(self, channels: int):
        super().__init__()
        self.fc1 = nn.Conv2d(channels, channels // GATE_RATIO, kernel_size=1)
        self.fc2 = nn.Conv2d(channels // GATE_RATIO, channels, kernel_size=1)
        for fc in (self.fc1, self.fc2):
            c2_msra_fill(fc)

    def forward(self, x):
        """(N, C, h, w) -> (N, C, h, w)."""
        mean = x.mean(dim=(2, 3), keepdim=True)
        return x * self.fc2(F.relu(self.fc1(mean))).sigmoid()


class OmniScaleBlock(nn.Module):
    """A residual bottleneck whose streams see 3, 5, 7 and 9 pixels, blended by a channel gate.

    Args:
        residual_norm: Detectron2's name of the norm behind the last convolution, or a function that
            makes one for a number of channels, where it is another than ``norm``.
    """

    def __init__(self, in_channels: int, out_channels: int, norm: str, residual_norm=None):
        super().__init__()
        channels = out_channels // BOTTLENECK_RATIO
        self.conv1 = conv_norm(in_channels, channels, norm, activation=F.relu)
        self.scales = nn.ModuleList(
            nn.Sequential(*(_light_conv(channels, norm) for _ in range(depth)))
            for depth in range(1, NUM_SCALES + 1)
        )
        self.gate = ChannelGate(channels)
        self.conv3 = conv_norm(channels, out_channels, residual_norm or norm)
        self.shortcut = (
            nn.Identity()
            if in_channels == out_channels
            else conv_norm(in_channels, out_channels, norm)
        )

    def forward(self, x):
        """(N, C_in, h, w) -> (N, C_out, h, w)."""
        reduced = self.conv1(x)
        blended = sum(self.gate(scale(reduced)) for scale in self.scales)
        return F.relu(self.conv3(blended) + self.shortcut(x))


@REID_SIDE_NET_REGISTRY.register()
class OSNetSideNet(SideNet):
    """conv3, conv4 and conv5 of OSNet x1.0; the embedding is conv5's 512 channels.

    OSNet halves a map by a 1 x 1 convolution and average pooling *behind* a stage. Here they stand
    before the next one, so that x_s^3 and x_s^4 have the strides of the detector's maps. side-ada
    is the 1 x 1 convolution of the first such transition.
    """

    @configurable
    def __init__(self, **parts):
        super().__init__(**parts)

    @classmethod
    def from_config(cls, cfg, detector_shapes: dict[str, ShapeSpec]):
        norm = cfg.MODEL.REID.SIDE_NET.NORM
        fusion = SIDE_FUSION_REGISTRY.get(cfg.MODEL.REID.FUSION.NAME)
        reid_channels = {"res3": CONV3_CHANNELS, "res4": CONV4_CHANNELS}
        return {
            "side_ada": conv_side_ada(detector_shapes["res2"].channels, CONV2_CHANNELS),
            "res3": nn.Sequential(
                _halve(),
                OmniScaleBlock(CONV2_CHANNELS, CONV3_CHANNELS, norm),
                OmniScaleBlock(CONV3_CHANNELS, CONV3_CHANNELS, norm),
            ),
            "res4": nn.Sequential(
                conv_norm(CONV3_CHANNELS, CONV3_CHANNELS, norm, activation=F.relu),
                _halve(),
                OmniScaleBlock(CONV3_CHANNELS, CONV4_CHANNELS, norm),
                OmniScaleBlock(CONV4_CHANNELS, CONV4_CHANNELS, norm),
            ),
            "res5": conv_norm(CONV4_CHANNELS, CONV4_CHANNELS, norm, activation=F.relu),
            "feature_dim": CONV4_CHANNELS,
            "fusions": {
                name: fusion(detector_shapes[name].channels, channels)
                for name, channels in reid_channels.items()
            },
        }

    def rename_published(self, state: dict) -> dict:
        """From the names of the published ``osnet_x1_0`` checkpoints."""
        return {rename(name, _STAGES + BLOCK_NAMES): value for name, value in state.items()}


# Patterns of published names, and what they are here; applied in this order.
_STAGES = (
    (r"^module\.", ""),
    (r"^conv3\.2\.0\.", "res4.0."),
    (r"^conv3\.(\d)\.", lambda m: f"res3.{int(m[1]) + 1}."),
    (r"^conv4\.(\d)\.", lambda m: f"res4.{int(m[1]) + 2}."),
    (r"^conv5\.", "res5."),
)
BLOCK_NAMES = (
    # the one light convolution of the first scale has no index of its own
    (r"\.conv2a\.", ".scales.0.0."),
    (r"\.conv2([b-d])\.", lambda m: f".scales.{'abcd'.index(m[1])}."),
    (r"(\.scales\.\d\.\d)\.conv1\.", r"\1.0."),
    (r"(\.scales\.\d\.\d)\.conv2\.", r"\1.1."),
    (r"(\.scales\.\d\.\d)\.bn\.", r"\1.1.norm."),
    (r"\.downsample\.", ".shortcut."),
    (r"\.conv\.weight$", ".weight"),
    (r"\.bn\.", ".norm."),
)


def rename(name: str, patterns) -> str:
    """A published name after all replacements, one after the other."""
    for pattern, replacement in patterns:
        name = re.sub(pattern, replacement, name)
    return name
