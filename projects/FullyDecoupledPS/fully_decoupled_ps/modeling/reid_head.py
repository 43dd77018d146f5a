"""The re-id head: from the side-net's map and boxes to one embedding per box (section III-B)."""

import torch
import torch.nn.functional as F
from detectron2.config import configurable
from detectron2.modeling.poolers import (
    ROIPooler,
    assign_boxes_to_levels,
    convert_boxes_to_pooler_format,
)
from detectron2.structures import Boxes
from detectron2.utils import comm
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
    """Detectron2's pooler, also for tall RoIs from several maps, which are square in its own."""

    def forward(self, x: list[torch.Tensor], box_lists: list[Boxes]):
        """L maps (B, C, H / s, W / s), and B lists of N boxes in all -> (N, C, h, w)."""
        return self.pool(x, convert_boxes_to_pooler_format(box_lists))

    def pool(self, x: list[torch.Tensor], rois: torch.Tensor) -> torch.Tensor:
        """L maps, and (N, 5) image index, x0, y0, x1, y1 -> (N, C, h, w)."""
        if len(x) == 1:
            return self.level_poolers[0](x[0], rois)
        levels = assign_boxes_to_levels(
            [Boxes(rois[:, 1:])],
            self.min_level,
            self.max_level,
            self.canonical_box_size,
            self.canonical_level,
        )
        rows = [(levels == level).nonzero()[:, 0] for level in range(len(x))]
        pooled = [align(y, rois[row]) for align, y, row in zip(self.level_poolers, x, rows)]
        # from the order of the levels back to that of the boxes; ONNX has no stable sort
        return torch.cat(pooled)[torch.cat(rows).argsort()]


class ReIDHead(nn.Module):
    """RoIAlign -> conv5 -> pooling -> batch norm -> L2 norm."""

    @configurable
    def __init__(
        self,
        *,
        conv5: nn.Module | None,
        pooler: ROIPooler,
        pooling: nn.Module,
        feature_dim: int,
    ):
        """
        Args:
            conv5: (N, C', h, w) -> (N, D, h, w); None where it is a layer of the detector, which is
                registered there alone (see coupled.py).
            pooler: RoIAlign on the side-net's map, at stride 16 (or on several maps).
            pooling: (N, D, h, w) -> (N, D).
            feature_dim: D.
        """
        super().__init__()
        self.conv5 = conv5
        self.pooler = pooler
        self.pooling = pooling
        self.norm = BNNeck(feature_dim)
        self.feature_dim = feature_dim

    @classmethod
    def from_config(cls, cfg, conv5, feature_dim: int, strides=(REID_MAP_STRIDE,)):
        reid = cfg.MODEL.REID
        if reid.POOLING not in POOLINGS:
            raise UserError(
                f"MODEL.REID.POOLING is {reid.POOLING!r}; allowed are {', '.join(POOLINGS)}"
            )
        return {
            "conv5": conv5,
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
        self, reid_map, boxes: list[Boxes], counts: list[int] | None = None
    ) -> torch.Tensor:
        """
        Args:
            reid_map: (B, C', H / 16, W / 16), the side-net's x_s^4; or a list of such maps, one
                for each of the pooler's strides.
            boxes: B lists of boxes, N in all, in pixels of the network's input.
            counts: in training, N of each process. The batch norm, and so its statistics, is then
                that of the boxes of all processes.

        Returns:
            Tensor: (N, D) float32, L2-normalised, in the order of the boxes; with ``counts`` those
            of all processes, in the order of the ranks (see :func:`gather_rows`).
        """
        x = self._pool(_as_list(reid_map), boxes)
        if counts is not None:
            x = gather_rows(x, counts)
        return F.normalize(self.norm(x)) if len(x) else x

    def embed_whole(self, reid_maps: torch.Tensor, counts: list[int]) -> torch.Tensor:
        """What :meth:`forward` does in training, with a whole map in the place of a box.

        Args:
            reid_maps: (N, C', h, w); of a process that counts none, of anything, and dropped.
            counts: N of each process, not all of them 0.
        """
        own = self._embed(reid_maps)[: counts[comm.get_rank()]]
        return F.normalize(self.norm(gather_rows(own, counts)))

    def embed_rois(self, reid_map, rois: torch.Tensor) -> torch.Tensor:
        """What :meth:`forward` gives at inference, from tensors alone, as an exported graph needs.

        Args:
            reid_map: as there.
            rois: (N, 5) image index, x0, y0, x1, y1; N > 0.
        """
        return F.normalize(self.norm(self._embed(self.pooler.pool(_as_list(reid_map), rois))))

    def _embed(self, pooled: torch.Tensor) -> torch.Tensor:
        """(N, C', h, w) -> (N, D) float32, also under autocast, before the norm."""
        return self.pooling(self.conv5(pooled).float())

    def _pool(self, maps: list[torch.Tensor], boxes: list[Boxes]) -> torch.Tensor:
        """(N, D) before the norm, also of no boxes."""
        if sum(map(len, boxes)):
            return self._embed(self.pooler(maps, boxes))
        if not (self.training and has_synchronized_norm(self.conv5)):
            return self.norm.weight.new_zeros(0, self.feature_dim)
        # The other processes wait for this one in conv5's norms, which refuse an empty batch: one
        # box of the whole image goes through, and its row is dropped.
        height, width = maps[0].shape[-2:]
        scale = self.pooler.level_poolers[0].spatial_scale
        whole = Boxes(maps[0].new_tensor([[0, 0, width / scale, height / scale]]).float())
        return self._embed(self.pooler(maps, [whole, *boxes[1:]]))[:0]


def _as_list(maps) -> list[torch.Tensor]:
    return [maps] if isinstance(maps, torch.Tensor) else maps
