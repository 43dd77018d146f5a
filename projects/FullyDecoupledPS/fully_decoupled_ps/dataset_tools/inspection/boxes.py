"""Boxes that a detector can't learn from, or that look like a mistake of the annotation."""

from typing import Any

import numpy as np
import torch
from torchvision.ops import box_iou

from ...utils.progress import with_progress
from .findings import Findings, spread

MIN_WIDTH, MIN_HEIGHT = 8, 16  # pixels; under the stride of the re-id features
DUPLICATE_IOU = 0.95  # two persons hardly ever stand so
WIDE_SHARE = 0.5  # of boxes wider than high: persons on foot are higher than wide

Summary = dict[str, Any]


def inspect_boxes(dicts: list[dict[str, Any]], findings: Findings) -> Summary:
    """Heights and widths; finds empty, outside, tiny, doubled and lying boxes."""
    annotations = [(d, i, a["bbox"]) for d in dicts for i, a in enumerate(d["annotations"])]
    boxes = np.array([box for _, _, box in annotations], dtype=np.float64).reshape(-1, 4)
    sizes = np.array([(d["width"], d["height"]) for d, _, _ in annotations]).reshape(-1, 2)
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    finite = np.isfinite(boxes).all(axis=1)
    empty = ~finite | (width <= 0) | (height <= 0)
    outside = ~empty & ((boxes[:, :2] < 0).any(axis=1) | (boxes[:, 2:] > sizes).any(axis=1))
    tiny = ~empty & ((width < MIN_WIDTH) | (height < MIN_HEIGHT))

    def places(mask: np.ndarray) -> list[str]:
        return [place(annotations[k][0], annotations[k][1]) for k in np.flatnonzero(mask)]

    findings.error("boxes.empty", "boxes of no size", places(empty))
    findings.error("boxes.outside", "boxes that reach out of their picture", places(outside))
    findings.warning(
        "boxes.tiny",
        f"boxes narrower than {MIN_WIDTH} or lower than {MIN_HEIGHT} pixels",
        places(tiny),
    )
    findings.warning(
        "boxes.duplicate",
        f"boxes that cover another box of their frame (IoU {DUPLICATE_IOU} or more)",
        [
            place(d, i)
            for d in with_progress(dicts, "comparing boxes")
            for i in _duplicates(d["annotations"])
        ],
    )
    wide = width > height
    if len(boxes) and wide.mean() > WIDE_SHARE:
        findings.warning(
            "boxes.wide",
            f"boxes wider than high (of {len(boxes)}); is bbox x, y, width, height?",
            places(wide),
        )
    return {"width": spread(width[~empty].tolist()), "height": spread(height[~empty].tolist())}


def place(d: dict[str, Any], i: int) -> str:
    """Names annotation `i` of a frame."""
    annotation = d["annotations"][i]
    corners = ", ".join(f"{v:g}" for v in annotation["bbox"])
    return f"image {d['image_id']}, box ({corners}), person {annotation['person_id']}"


def _duplicates(annotations: list[dict[str, Any]]) -> list[int]:
    """The later one of each two boxes that cover each other."""
    boxes = torch.tensor([a["bbox"] for a in annotations], dtype=torch.float64).reshape(-1, 4)
    covered = box_iou(boxes, boxes).tril(-1) >= DUPLICATE_IOU
    return covered.any(dim=1).nonzero().flatten().tolist()
