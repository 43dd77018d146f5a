"""Boxes of many frames in flat arrays, and which boxes of one frame overlap.

Letters used for shapes: I frames, D detections, G ground-truth boxes, F feature dimensions. Row
blocks of frame ``i`` are ``offsets[i]:offsets[i + 1]``. Boxes are (x0, y0, x1, y1) in original
image coordinates, areas are (x1 - x0) * (y1 - y0): no pixel is added.
"""

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Self

import numpy as np


class _FrameTable:
    """What tables of boxes have in common: all their fields but the offsets have a row per box."""

    def __len__(self) -> int:
        return len(self.boxes)

    @cached_property
    def frame_of(self) -> np.ndarray:
        """The frame of every row."""
        return frame_of_rows(self.offsets)

    def keep(self, mask: np.ndarray) -> Self:
        """The rows where ``mask`` is true, of the same I frames."""
        if mask.all():
            return self
        counts = np.bincount(self.frame_of[mask], minlength=len(self.offsets) - 1)
        columns = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "offsets"}
        kept = {name: None if column is None else column[mask] for name, column in columns.items()}
        return replace(self, offsets=to_offsets(counts), **kept)


@dataclass(frozen=True)
class Detections(_FrameTable):
    """What a model found in I frames."""

    boxes: np.ndarray  # (D, 4)
    scores: np.ndarray  # (D,), in [0, 1]
    offsets: np.ndarray  # (I + 1,) int64
    features: np.ndarray | None = None  # (D, F) float32, L2-normalised


@dataclass(frozen=True)
class GroundTruth(_FrameTable):
    """The annotated boxes of I frames."""

    boxes: np.ndarray  # (G, 4) float64
    person_ids: np.ndarray  # (G,) int64, -1 for unlabelled persons
    offsets: np.ndarray  # (I + 1,) int64


def to_offsets(counts) -> np.ndarray:
    """(I,) rows per frame -> (I + 1,) offsets."""
    return np.concatenate([[0], np.cumsum(np.asarray(counts, dtype=np.int64))]).astype(np.int64)


def frame_of_rows(offsets: np.ndarray) -> np.ndarray:
    """(I + 1,) offsets -> the frame of every row."""
    return np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))


def ranges(starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """starts[0], starts[0] + 1, ... (counts[0] of them), starts[1], ...

    >>> ranges(np.array([5, 0]), np.array([2, 3]))
    array([5, 6, 0, 1, 2])
    """
    return np.arange(counts.sum()) + np.repeat(starts - np.cumsum(counts) + counts, counts)


def rows_of_frames(frames: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """The rows that belong to ``frames``, frame after frame."""
    return ranges(offsets[frames], np.diff(offsets)[frames])


def pairs_of_same_frame(a, b) -> tuple[np.ndarray, np.ndarray]:
    """All pairs (row of ``a``, row of ``b``) that lie in one frame, sorted by row of ``a``, then b.

    ``a`` and ``b`` are :class:`Detections` or :class:`GroundTruth` of the same frames.
    """
    partners = np.diff(b.offsets)[a.frame_of]
    return np.repeat(np.arange(len(a)), partners), rows_of_frames(a.frame_of, b.offsets)


def pair_iou(boxes_a: np.ndarray, boxes_b: np.ndarray) -> np.ndarray:
    """(P, 4), (P, 4) -> (P,) float64: the IoU of row p of a with row p of b.

    A single row is compared with all rows of the other."""
    intersection, area_a, area_b = _areas(boxes_a, boxes_b)
    union = area_a + area_b - intersection
    return np.divide(intersection, union, out=np.zeros_like(union), where=union > 0)


def pair_share(boxes_a: np.ndarray, boxes_b: np.ndarray) -> np.ndarray:
    """(P, 4), (P, 4) -> (P,) float64: the share of row p of a that lies in row p of b."""
    intersection, area, _ = _areas(boxes_a, boxes_b)
    return np.divide(intersection, area, out=np.zeros_like(area), where=area > 0)


def _areas(boxes_a: np.ndarray, boxes_b: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of the intersections, of a and of b."""
    a, b = np.asarray(boxes_a, dtype=np.float64), np.asarray(boxes_b, dtype=np.float64)
    overlap = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
    sizes = np.clip(overlap, 0, None), a[:, 2:] - a[:, :2], b[:, 2:] - b[:, :2]
    return tuple(np.prod(size, axis=1) for size in sizes)
