"""Overlap of two boxes."""

from collections.abc import Sequence

import torch
from torchvision.ops import box_iou


def iou(first: Sequence[float], second: Sequence[float]) -> float:
    """Intersection over union of two boxes x0, y0, x1, y1, 0 to 1; 0 for boxes without an area."""
    boxes = torch.tensor([[*first], [*second]], dtype=torch.float64)
    return float(box_iou(boxes[:1], boxes[1:]).nan_to_num())
