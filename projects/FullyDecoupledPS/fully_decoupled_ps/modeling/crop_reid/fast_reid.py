"""fast-reid's ResNets for crops: BoT, AGW and SBS, with and without instance norm."""

import logging
import re

import torch
from detectron2.config import configurable
from torch import nn
from torch.nn import functional as F
from torchvision.models.resnet import Bottleneck, ResNet

from ...errors import UserError
from .crop_network import CROP_REID_REGISTRY, CropNetwork

logger = logging.getLogger(__name__)

FEATURE_DIM = 2048
LAYERS = {"50": (3, 4, 6, 3), "101": (3, 4, 23, 3)}
# Of layer2 and layer3: a non-local block follows each of as many blocks at their ends.
NON_LOCAL = {"50": (2, 3), "101": (2, 9)}
GEM_POWER, GEM_MIN = 3.0, 1e-6
# Of versions below 1.0.
OLDER_NECK = "heads.bnneck."


class HalfInstanceNorm(nn.Module):
    """IBN-a (Pan et al., Two at Once, ECCV 2018): instance norm for the first half of the channels,
    batch norm for the rest.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.IN = nn.InstanceNorm2d(channels // 2, affine=True)
        self.BN = nn.BatchNorm2d(channels - channels // 2)

    def forward(self, x):
        """(N, C, h, w) -> (N, C, h, w)."""
        first, second = x.tensor_split(2, dim=1)
        return torch.cat([self.IN(first), self.BN(second)], dim=1)


class NonLocal(nn.Module):
    """A non-local block (Wang et al., CVPR 2018) whose similarities are products of two numbers.

    fast-reid's has one channel inside, which makes it a global one: phi and g meet first, in one
    number for the whole map.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.g, self.theta, self.phi = (nn.Conv2d(channels, 1, kernel_size=1) for _ in range(3))
        self.W = nn.Sequential(nn.Conv2d(1, channels, kernel_size=1), nn.BatchNorm2d(channels))
        nn.init.zeros_(self.W[1].weight)

    def forward(self, x):
        """(N, C, h, w) -> (N, C, h, w)."""
        context = (self.phi(x) * self.g(x)).mean(dim=(2, 3), keepdim=True)  # (N, 1, 1, 1)
        return x + self.W(self.theta(x) * context)


class StemPool(nn.Module):
    """The pooling behind the stem, which fast-reid has changed in November 2020.

    Before, it pads all four sides, as torchvision's does; since then the bottom and the right only.
    The buffer ``pads_all_sides``, 0 or 1, is in the state, so that it stays with the weights.
    """

    def __init__(self):
        super().__init__()
        self.register_buffer("pads_all_sides", torch.tensor(0, dtype=torch.uint8))
        self._options = {"ceil_mode": True}

    def forward(self, x):
        """(N, C, h, w) -> (N, C, about h / 2, about w / 2)."""
        return F.max_pool2d(x, kernel_size=3, stride=2, **self._options)

    def _load_from_state_dict(self, *args):
        super()._load_from_state_dict(*args)
        # in Python as well: an exported graph has no branches
        self._options = {"padding": 1} if self.pads_all_sides else {"ceil_mode": True}


class FastReIDResNet(ResNet):
    """torchvision's ResNet as fast-reid changes it: up to its maps, of stride 16."""

    def __init__(self, depth: str, ibn: bool, non_local: bool):
        super().__init__(Bottleneck, list(LAYERS[depth]))
        del self.avgpool, self.fc
        self.maxpool = StemPool()
        self.layer4[0].conv2.stride = self.layer4[0].downsample[0].stride = (1, 1)
        if ibn:
            for block in (*self.layer1, *self.layer2, *self.layer3):
                block.bn1 = HalfInstanceNorm(block.bn1.num_features)
        self.NL_2, self.NL_3 = (
            nn.ModuleList(NonLocal(channels) for _ in range(number))
            for channels, number in zip((512, 1024), NON_LOCAL[depth] if non_local else (0, 0))
        )

    def _forward_impl(self, x):
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer1(x)
        x = _interleaved(self.layer2, self.NL_2, x)
        x = _interleaved(self.layer3, self.NL_3, x)
        return self.layer4(x)


def _interleaved(blocks: nn.Sequential, non_local: nn.ModuleList, x: torch.Tensor) -> torch.Tensor:
    """A stage whose last blocks are followed by a non-local one each."""
    plain = len(blocks) - len(non_local)
    x = blocks[:plain](x)
    for block, after in zip(blocks[plain:], non_local):
        x = after(block(x))
    return x


class GeMPool(nn.Module):
    """Generalised mean: the third root of the mean of third powers; the power may be trained."""

    def __init__(self, trained: bool):
        super().__init__()
        self.is_trained, power = trained, torch.full((1,), GEM_POWER)
        if trained:
            self.p = nn.Parameter(power)
        else:
            self.register_buffer("p", power)

    def forward(self, x):
        """(N, C, h, w) -> (N, C, 1, 1)."""
        powers = x.clamp(min=GEM_MIN).pow(self.p)
        return F.adaptive_avg_pool2d(powers, 1).pow(1 / self.p)


class Neck(nn.Module):
    """Pools maps, and normalises what comes out: BNNeck of BoT, whose bias stays 0."""

    def __init__(self, pool_layer: nn.Module):
        super().__init__()
        self.pool_layer = pool_layer
        self.bottleneck = nn.Sequential(nn.BatchNorm1d(FEATURE_DIM))
        self.bottleneck[0].bias.requires_grad_(False)

    def forward(self, x):
        """(N, C, h, w) -> (N, C)."""
        return self.bottleneck(self.pool_layer(x).flatten(1))


_POOLS = {
    "bot": lambda: nn.AdaptiveAvgPool2d(1),
    "agw": lambda: GeMPool(trained=False),
    "sbs": lambda: GeMPool(trained=True),
}
SIZES = {"bot": (256, 128), "agw": (256, 128), "sbs": (384, 128)}  # height and width of crops
VARIANTS = [
    f"{method}_R{depth}{ibn}" for method in _POOLS for depth in LAYERS for ibn in ("", "-ibn")
]


@CROP_REID_REGISTRY.register()
class FastReID(CropNetwork):
    """fast-reid's BoT, AGW and SBS on ResNet-50 and ResNet-101: ``FastReID:bot_R50``,
    ``FastReID:sbs_R50-ibn`` and so on, as its model zoo calls them.

    - bot: Luo et al., Bag of Tricks and A Strong Baseline for Deep Person Re-identification, CVPRW
      2019. Global average, crops of 256 x 128.
    - agw: Ye et al., Deep Learning for Person Re-identification: A Survey and Outlook, TPAMI 2021.
      Non-local blocks and generalised mean with power 3, crops of 256 x 128.
    - sbs: fast-reid's stronger baseline. As agw with a trained power, crops of 384 x 128
      (MODEL.CROP_REID.SIZE has to say so).

    The feature is that behind the neck: 2048 numbers. Takes the files of fast-reid's model zoo of
    these names, which are of its version 0.1.1, and those of its versions from 1.0 on. The older
    ones are known by the neck's name: their stem pools otherwise (:class:`StemPool`), and the power
    of their agw is trained, so that it can't be told from sbs. They are under the Apache 2.0
    licence, and trained on Market-1501, DukeMTMC-reID or MSMT17, as a file's name says, whose terms
    hold besides: they are for research, and DukeMTMC-reID's authors have withdrawn it. Crops are
    resized with a bicubic filter, RGB, with ImageNet's mean and deviation. Not its ResNeSt (S50)
    and MGN.
    """

    interpolation = "bicubic"
    # the classifier by its names of all versions, with what a margin softmax keeps
    left_out = r"heads\.(weight|classifier\..*|cls_layer\..*)|pixel_(mean|std)"

    @configurable
    def __init__(self, *, backbone: nn.Module, pool_layer: nn.Module, pixels: dict):
        """
        Args:
            backbone: (N, 3, h, w) -> (N, 2048, h / 16, w / 16).
            pool_layer: of these to (N, 2048, 1, 1).
            pixels: "pixel_mean" and "pixel_std" that crops are prepared with, three numbers each.
        """
        super().__init__()
        self.feature_dim = FEATURE_DIM
        self.backbone = backbone
        self.heads = Neck(pool_layer)
        self.pixels = pixels

    @classmethod
    def from_config(cls, cfg, variant: str):
        if variant not in VARIANTS:
            raise UserError(
                f"MODEL.CROP_REID.NAME is {cfg.MODEL.CROP_REID.NAME!r}; of fast-reid there are "
                f"{', '.join(VARIANTS)}"
            )
        method, depth, ibn = re.fullmatch(r"(\w+)_R(\d+)(-ibn)?", variant).groups()
        crop = cfg.MODEL.CROP_REID
        if tuple(crop.SIZE) != SIZES[method]:
            logger.warning(
                "fast-reid trains %s on crops of %d x %d; MODEL.CROP_REID.SIZE is %s",
                *(method, *SIZES[method], tuple(crop.SIZE)),
            )
        return {
            "backbone": FastReIDResNet(depth, ibn=bool(ibn), non_local=method != "bot"),
            "pool_layer": _POOLS[method](),
            "pixels": {"pixel_mean": crop.PIXEL_MEAN, "pixel_std": crop.PIXEL_STD},
        }

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        """(N, 3, h, w) -> (N, 2048)."""
        return self.heads(self.backbone(crops))

    def rename_published(self, state: dict) -> dict:
        """
        Raises:
            UserError: if the file says that it was trained with another mean or deviation.
        """
        for name, ours in self.pixels.items():
            configured = torch.tensor(ours, dtype=torch.float32)
            published = state.get(name, configured).flatten().float()
            if not torch.allclose(published, configured):
                raise UserError(
                    f"it was trained with {name} {[round(v, 3) for v in published.tolist()]}, but "
                    f"MODEL.CROP_REID.{name.upper()} is {list(ours)}; set it to the former"
                )
        is_older = any(name.startswith(OLDER_NECK) for name in state)
        told_by_names = {"backbone.maxpool.pads_all_sides": torch.tensor(is_older)}
        if isinstance(self.heads.pool_layer, GeMPool) and not self.heads.pool_layer.is_trained:
            told_by_names["heads.pool_layer.p"] = torch.full((1,), GEM_POWER)
        renamed = {name.replace(OLDER_NECK, "heads.bottleneck.0."): v for name, v in state.items()}
        return told_by_names | renamed
