"""f_r, the re-id side-net: its own conv3, conv4 and conv5 beside the detector's (section III-B)."""

from detectron2.config import configurable
from detectron2.layers import ShapeSpec
from detectron2.utils.registry import Registry
from fvcore.nn.weight_init import c2_xavier_fill
from torch import nn

from .activation_checkpointing import checkpoint_stages
from .resnet_stages import build_stage, stage_channels
from .side_fusion import SIDE_FUSION_REGISTRY

REID_SIDE_NET_REGISTRY = Registry("REID_SIDE_NET")
REID_SIDE_NET_REGISTRY.__doc__ = """
Re-id side-nets, named by ``MODEL.REID.SIDE_NET.NAME``. A registered object is called with the
config and the shapes of the detector's maps ``res2``, ``res3``, ``res4``, and returns a
:class:`SideNet`.
"""


def build_reid_side_net(cfg, detector_shapes: dict[str, ShapeSpec]) -> "SideNet":
    """The side-net that ``MODEL.REID.SIDE_NET.NAME`` names."""
    side_net = REID_SIDE_NET_REGISTRY.get(cfg.MODEL.REID.SIDE_NET.NAME)(cfg, detector_shapes)
    checkpoint_stages(side_net, cfg.MODEL.REID.SIDE_NET.CHECKPOINTING)
    return side_net


def conv_side_ada(detector_channels: int, reid_channels: int) -> nn.Module:
    """Eq. 2: one convolution, 1 x 1, that fits the shared input layer's output to conv3."""
    conv = nn.Conv2d(detector_channels, reid_channels, kernel_size=1)
    c2_xavier_fill(conv)
    return conv


class SideNet(nn.Module):
    """Layers parallel to the detector's conv3 and conv4, each followed by a side-fusion; and conv5.

    With x_d^2, x_d^3 and x_d^4 the detector's maps (the first from the shared input layer)::

        x_s^2 = side_ada(x_d^2)
        x_s^i = side_fusion^i(x_d^i, conv_i(x_s^(i-1))),  i = 3, 4

    ``res5`` is conv5, which goes to the re-id head (as its ``conv5``), to be applied to what that
    pools from x_s^4; a branch's side-net has it no more. Subclasses say what the layers are.
    """

    def __init__(
        self,
        *,
        side_ada: nn.Module,
        res3: nn.Module,
        res4: nn.Module,
        res5: nn.Module,
        feature_dim: int,
        fusions: dict[str, nn.Module],
    ):
        """
        Args:
            side_ada: fits the shared input layer's output to ``res3``.
            res3, res4: the side-net's own layers, at strides 8 and 16.
            res5: (N, C', h, w) -> (N, D, h, w), of stride 1.
            feature_dim: D.
            fusions: a module of ``SIDE_FUSION_REGISTRY`` for each of "res3" and "res4".
        """
        super().__init__()
        self.side_ada = side_ada
        self.res3 = res3
        self.res4 = res4
        self.res5 = res5
        self.feature_dim = feature_dim
        self.fusions = nn.ModuleDict(fusions)

    def forward(self, detector_maps: dict):
        """
        Args:
            detector_maps: "res2", "res3", "res4" -> (B, C, H / s, W / s) with s = 4, 8, 16.

        Returns:
            Tensor: x_s^4, (B, C', H / 16, W / 16).
        """
        x = self.side_ada(detector_maps["res2"])
        for name, layer in (("res3", self.res3), ("res4", self.res4)):
            x = self.fusions[name](detector_maps[name], layer(x))
        return x

    def rename_published(self, state: dict) -> dict:
        """From the parameter names of a published ImageNet checkpoint to this net's own.

        Names of what this net does not have may stay as they are, or be left out.
        """
        return state


@REID_SIDE_NET_REGISTRY.register()
class ResNetSideNet(SideNet):
    """A ResNet's conv3, conv4 and conv5, of the detector's depth (homogeneous) or of another.

    side-ada is the identity where the shared input layer's channels fit, else a 1 x 1 convolution.
    """

    @configurable
    def __init__(self, **parts):
        super().__init__(**parts)

    @classmethod
    def from_config(cls, cfg, detector_shapes: dict[str, ShapeSpec]):
        side_net, resnet = cfg.MODEL.REID.SIDE_NET, cfg.MODEL.RESNETS
        depth = side_net.DEPTH or resnet.DEPTH
        # another depth has the standard width; the detector's own has the detector's width, groups
        is_homogeneous = depth == resnet.DEPTH
        width = resnet.RES2_OUT_CHANNELS if is_homogeneous else 0
        groups = (resnet.NUM_GROUPS, resnet.WIDTH_PER_GROUP) if is_homogeneous else (1, 64)
        channels = {i: stage_channels(depth, i, width) for i in (2, 3, 4, 5)}
        given, wanted = detector_shapes["res2"].channels, channels[2]
        side_ada = nn.Identity() if given == wanted else conv_side_ada(given, wanted)
        fusion = SIDE_FUSION_REGISTRY.get(cfg.MODEL.REID.FUSION.NAME)
        res3, res4, res5 = (
            build_stage(
                depth,
                stage,
                norm=side_net.NORM,
                stride=stride,
                stride_in_1x1=resnet.STRIDE_IN_1X1,
                res2_channels=width,
                num_groups=groups[0],
                width_per_group=groups[1],
            )
            for stage, stride in ((3, 2), (4, 2), (5, 1))
        )
        return {
            "side_ada": side_ada,
            "res3": res3,
            "res4": res4,
            "res5": res5,
            "feature_dim": channels[5],
            "fusions": {
                f"res{i}": fusion(detector_shapes[f"res{i}"].channels, channels[i]) for i in (3, 4)
            },
        }
