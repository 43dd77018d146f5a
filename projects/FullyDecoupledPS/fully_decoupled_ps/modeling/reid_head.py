"""The re-id head: from the side-net's map and boxes to one embedding a box (section III-B)."""

import torch
import torch.nn.functional as F
from detectron2.config import configurable
from detectron2.modeling.poolers import (
    ROIPooler,
    assign_boxes_to_levels,
    convert_boxes_to_pooler_format,
)
from detectron2.structures import Boxes
from torch import nn

from ..errors import UserError
from .distributed import gather_rows, has_synchronized_norm

REID_MAP_STRIDE = 16


class GeMPooling(nn.Module):
    """Generalised-mean pooling, ``mean(x^p)^(1/p)`` with trainable p (not in the paper)."""

    def __init__(self, exponent: float = 3.0):
        super().__init__()
        self.exponent = nn.Parameter(torch.tensor(exponent))

    def forward(self, x):
        """(N, C, h, w), negative values taken as 0 -> (N, C)."""
        return x.clamp(min=1e-6).pow(self.exponent).mean(dim=(2, 3)).pow(1 / self.exponent)


class AveragePooling(nn.Module):
    """Global average pooling."""

    def forward(self, x):
        """(N, C, h, w) -> (N, C)."""
        return x.mean(dim=(2, 3))


POOLINGS = {"avg": AveragePooling, "gem": GeMPooling}


class BNNeck(nn.BatchNorm1d):
    """Batch norm before the L2 norm, its bias frozen at 0.

    A single embedding has no variance: it is normalised with the running statistics.
    """

    def __init__(self, num_features: int):
        super().__init__(num_features)
        self.bias.requires_grad_(False)

    def forward(self, x):
        if self.training and len(x) == 1:
            return F.batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        return super().forward(x)


class PersonROIPooler(ROIPooler):
    """Detectron2's, for tall RoIs from several maps as well; its own are square there."""

    def forward(self, x: list[torch.Tensor], box_lists: list[Boxes]):
        """L maps (B, C, H / s, W / s), and B lists of N boxes in all -> (N, C, h, w)."""
        if len(x) == 1:
            return super().forward(x, box_lists)
        boxes = convert_boxes_to_pooler_format(box_lists)
        levels = assign_boxes_to_levels(
            box_lists,
            self.min_level,
            self.max_level,
            self.canonical_box_size,
            self.canonical_level,
        )
        pooled = [
            pooler(feature, boxes[levels == level])
            for level, (pooler, feature) in enumerate(zip(self.level_poolers, x))
        ]
        # from the order of the levels back to that of the boxes
        return torch.cat(pooled)[levels.argsort(stable=True).argsort()]


class ReIDHead(nn.Module):
    """RoIAlign -> the side-net's conv5 -> pooling -> batch norm -> L2 norm."""

    @configurable
    def __init__(self, *, pooler: ROIPooler, pooling: nn.Module, feature_dim: int):
        """
        Args:
            pooler: RoIAlign on the side-net's map, at stride 16 (or on several maps).
            pooling: (N, D, h, w) -> (N, D).
            feature_dim: D.
        """
        super().__init__()
        self.pooler = pooler
        self.pooling = pooling
        self.norm = BNNeck(feature_dim)
        self.feature_dim = feature_dim

    @classmethod
    def from_config(cls, cfg, feature_dim: int, strides=(REID_MAP_STRIDE,)):
        reid = cfg.MODEL.REID
        if reid.POOLING not in POOLINGS:
            raise UserError(
                f"MODEL.REID.POOLING is {reid.POOLING!r}; allowed are {', '.join(POOLINGS)}"
            )
        return {
            "pooler": PersonROIPooler(
                output_size=reid.POOLER_RESOLUTION,
                scales=[1.0 / stride for stride in strides],
                sampling_ratio=cfg.MODEL.ROI_BOX_HEAD.POOLER_SAMPLING_RATIO,
                pooler_type="ROIAlignV2",
            ),
            "pooling": POOLINGS[reid.POOLING](),
            "feature_dim": feature_dim,
        }

    def forward(
        self, reid_map, boxes: list[Boxes], conv5: nn.Module, counts: list[int] | None = None
    ) -> torch.Tensor:
        """
        Args:
            reid_map: (B, C', H / 16, W / 16), the side-net's x_s^4; or a list of such maps, one
                for each of the pooler's strides.
            boxes: B lists of boxes, N in all, in pixels of the network's input.
            conv5: (N, C', h, w) -> (N, D, h, w).
            counts: in training, N of each process. The batch norm, and so its statistics, is then
                that of the boxes of all processes.

        Returns:
            Tensor: (N, D) float32, L2-normalised, in the order of the boxes; with ``counts`` those
            of all processes, in the order of the ranks (see :func:`gather_rows`).
        """
        maps = [reid_map] if isinstance(reid_map, torch.Tensor) else reid_map
        x = self._pool(maps, boxes, conv5)
        if counts is not None:
            x = gather_rows(x, counts)
        return F.normalize(self.norm(x)) if len(x) else x

    def _pool(self, maps: list[torch.Tensor], boxes: list[Boxes], conv5: nn.Module) -> torch.Tensor:
        """(N, D) float32, also under autocast, before the norm."""
        if sum(map(len, boxes)):
            return self.pooling(conv5(self.pooler(maps, boxes)).float())
        if not (self.training and has_synchronized_norm(conv5)):
            return self.norm.weight.new_zeros(0, self.feature_dim)
        # The other processes wait for this one in conv5's norms, which refuse an empty batch: one
        # box of the whole image goes through, and its row is dropped.
        height, width = maps[0].shape[-2:]
        scale = self.pooler.level_poolers[0].spatial_scale
        whole = Boxes(maps[0].new_tensor([[0, 0, width / scale, height / scale]]).float())
        return self.pooling(conv5(self.pooler(maps, [whole, *boxes[1:]])).float())[:0]
