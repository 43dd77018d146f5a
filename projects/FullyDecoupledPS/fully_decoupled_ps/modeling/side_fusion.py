"""Side-fusion: how a layer of the detector helps the parallel layer of the re-id side-net."""

import torch
from detectron2.utils.registry import Registry
from fvcore.nn.weight_init import c2_xavier_fill
from torch import nn

from ..errors import UserError

SIDE_FUSION_REGISTRY = Registry("SIDE_FUSION")
SIDE_FUSION_REGISTRY.__doc__ = """
Fusions of two parallel layers, named by ``MODEL.REID.FUSION.NAME``. A registered object is called
with the channels of the detector's and of the re-id map, and returns a module, which is called with
x_d (B, C_d, H, W) and x_r (B, C_r, H, W) and returns x_s (B, C_r, H, W), the next re-id layer's
input. If it has a property ``alpha`` (a scalar in [0, 1]), training logs it.
"""


@SIDE_FUSION_REGISTRY.register()
class AlphaBlendFusion(nn.Module):
    """Eq. 3: ``x_s = alpha x_d + (1 - alpha) x_r``, alpha in [0, 1] the only parameter.

    alpha is the sigmoid of a free scalar, 0.5 at the start.
    """

    def __init__(self, detector_channels: int, reid_channels: int):
        """
        Raises:
            UserError: if the two maps differ in channels.
        """
        super().__init__()
        if detector_channels != reid_channels:
            raise UserError(
                "AlphaBlendFusion needs equal channels in both nets, got "
                f"{detector_channels} and {reid_channels}; set MODEL.REID.FUSION.NAME ConvFusion, "
                "or give f_r the detector's network: MODEL.REID.SIDE_NET.DEPTH 0 of a ResNet, "
                'MODEL.REID.SIDE_NET.NAME StagedSideNet and STAGED "" of a staged one'
            )
        self.alpha_logit = nn.Parameter(torch.zeros(()))

    @property
    def alpha(self) -> torch.Tensor:
        """() the weight of the detector's map, in [0, 1]."""
        return self.alpha_logit.sigmoid()

    def forward(self, x_d: torch.Tensor, x_r: torch.Tensor) -> torch.Tensor:
        # under autocast two families of networks may end in different types
        return torch.lerp(x_r, x_d.to(x_r.dtype), self.alpha.to(x_r.dtype))


@SIDE_FUSION_REGISTRY.register()
class ConvFusion(nn.Module):
    """Eq. 4, for nets of different channels: ``x_s = Conv(x_d) + x_r``.

    The convolution is 1 x 1 (its size is not in the paper).
    """

    def __init__(self, detector_channels: int, reid_channels: int):
        super().__init__()
        self.conv = nn.Conv2d(detector_channels, reid_channels, kernel_size=1)
        c2_xavier_fill(self.conv)

    def forward(self, x_d: torch.Tensor, x_r: torch.Tensor) -> torch.Tensor:
        return self.conv(x_d) + x_r


@SIDE_FUSION_REGISTRY.register()
class NoFusion(nn.Module):
    """The ablation without side-fusion: ``x_s = x_r``."""

    def __init__(self, detector_channels: int, reid_channels: int):
        super().__init__()

    def forward(self, x_d: torch.Tensor, x_r: torch.Tensor) -> torch.Tensor:
        return x_r
