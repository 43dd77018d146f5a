"""OSNet and OSNet-AIN for crops, as torchreid publishes them."""

from functools import partial

import torch
from detectron2.config import configurable
from torch import nn
from torch.nn import functional as F

from ...errors import UserError
from ..osnet import BLOCK_NAMES, OmniScaleBlock, conv_norm, rename
from .crop_network import CROP_REID_REGISTRY, CropNetwork

FEATURE_DIM = 512
# Channels of conv1 to conv4, by width.
CHANNELS = {
    "x1_0": (64, 256, 384, 512),
    "x0_75": (48, 192, 288, 384),
    "x0_5": (32, 128, 192, 256),
    "x0_25": (16, 64, 96, 128),
}
# A transition is a stage's last layer in OSNet's files, and has a name of its own in OSNet-AIN's.
_NAMES = (
    (r"^conv([23])\.2\.0\.", r"pool\1.0."),
    (r"\.conv2\.(\d)\.layers\.", r".scales.\1."),
    (r"\.IN\.", ".conv3.norm."),
    *BLOCK_NAMES,
)


@CROP_REID_REGISTRY.register()
class OSNet(CropNetwork):
    """OSNet (Zhou et al., Omni-Scale Feature Learning for Person Re-Identification, ICCV 2019).

    ``OSNet`` is of width x1_0 (2.2 million parameters); ``OSNet:x0_75``, ``OSNet:x0_5`` and
    ``OSNet:x0_25`` are narrower. The feature is what the fully connected layer gives: 512 numbers,
    none below 0.

    Takes the files of torchreid's models of those names in deep-person-reid's model zoo, which is
    under the MIT licence. They were trained on Market-1501, DukeMTMC-reID, MSMT17 or CUHK03, as a
    file's name says, or, for a start of training, on ImageNet. The terms of those data sets hold
    besides: they are for research, and DukeMTMC-reID's authors have withdrawn it. Crops: 256 x 128,
    RGB, ImageNet's mean and deviation, as the config has them.
    """

    left_out = r"classifier\.(weight|bias)"

    @configurable
    def __init__(self, *, channels: tuple[int, ...], stem_norm, residual_norms):
        """
        Args:
            channels: of conv1 to conv4.
            stem_norm: of conv1, as Detectron2's ``get_norm`` takes it.
            residual_norms: the same for conv2 to conv4: those of the last convolutions of each of
                its two blocks.
        """
        super().__init__()
        self.feature_dim = FEATURE_DIM
        self.conv1 = conv_norm(
            3, channels[0], stem_norm, kernel_size=7, stride=2, activation=F.relu
        )
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.conv2, self.conv3, self.conv4 = (
            nn.Sequential(
                OmniScaleBlock(before, after, "BN", norms[0]),
                OmniScaleBlock(after, after, "BN", norms[1]),
            )
            for before, after, norms in zip(channels, channels[1:], residual_norms)
        )
        self.pool2, self.pool3 = (
            nn.Sequential(conv_norm(c, c, "BN", activation=F.relu), nn.AvgPool2d(2, stride=2))
            for c in channels[1:3]
        )
        self.conv5 = conv_norm(channels[3], channels[3], "BN", activation=F.relu)
        self.fc = nn.Sequential(
            nn.Linear(channels[3], FEATURE_DIM), nn.BatchNorm1d(FEATURE_DIM), nn.ReLU()
        )

    @classmethod
    def from_config(cls, cfg, variant: str):
        if (variant or "x1_0") not in CHANNELS:
            raise UserError(
                f"MODEL.CROP_REID.NAME is {cfg.MODEL.CROP_REID.NAME!r}; its widths are "
                f"{', '.join(CHANNELS)}"
            )
        return {
            "channels": CHANNELS[variant or "x1_0"],
            "stem_norm": "BN",
            "residual_norms": (("BN", "BN"),) * 3,
        }

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        """(N, 3, h, w) -> (N, 512)."""
        maps = self.conv2(self.maxpool(self.conv1(crops)))
        maps = self.conv3(self.pool2(maps))
        maps = self.conv4(self.pool3(maps))
        return self.fc(self.conv5(maps).mean(dim=(2, 3)))

    def rename_published(self, state: dict) -> dict:
        return {rename(name, _NAMES): value for name, value in state.items()}


@CROP_REID_REGISTRY.register()
class OSNetAIN(OSNet):
    """OSNet-AIN (Zhou et al., Learning Generalisable Omni-Scale Representations for Person
    Re-Identification, TPAMI 2021): of OSNet's blocks, those that the paper's search has chosen
    have instance norm in their residual.

    Takes the files of torchreid's models ``osnet_ain_x1_0`` (``OSNetAIN``), ``osnet_ain_x0_75``
    (``OSNetAIN:x0_75``), ``osnet_ain_x0_5`` and ``osnet_ain_x0_25`` in deep-person-reid's model
    zoo: licence, data and crops as for :class:`OSNet`. Those trained on several data sets are meant
    for pictures of none of them. Features are compared by their cosine.
    """

    @classmethod
    def from_config(cls, cfg, variant: str):
        instance_norm = partial(nn.InstanceNorm2d, affine=True)
        return {
            **super().from_config(cfg, variant),
            "stem_norm": instance_norm,
            "residual_norms": (
                (instance_norm, instance_norm),
                ("BN", instance_norm),
                (instance_norm, "BN"),
            ),
        }
