"""Boxes of many frames in flat arrays, and which boxes of one frame overlap.

Letters used for shapes: I frames, D detections, G ground-truth boxes, F feature dimensions. Row
blocks of frame ``i`` are ``offsets[i]:offsets[i + 1]``. Boxes are (x0, y0, x1, y1) in original
image coordinates, areas are (x1 - x0) * (y1 - y0): no pixel is added.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Detections:
    """What a model found in I frames."""

    boxes: np.ndarray  # (D, 4)
    scores: np.ndarray  # (D,), in [0, 1]
    offsets: np.ndarray  # (I + 1,) int64
    features: np.ndarray | None = None  # (D, F) float32, L2-normalised

    def __len__(self) -> int:
        return len(self.scores)

    @cached_property
    def frame_of(self) -> np.ndarray:
        """(D,): the frame of every detection."""
        return frame_of_rows(self.offsets)

    def keep(self, mask: np.ndarray) -> "Detections":
        """The detections where ``mask`` (D,) is true, of the same I frames."""
        if mask.all():
            return self
        features = None if self.features is None else self.features[mask]
        counts = np.bincount(self.frame_of[mask], minlength=len(self.offsets) - 1)
        return Detections(self.boxes[mask], self.scores[mask], to_offsets(counts), features)


@dataclass(frozen=True)
class GroundTruth:
    """The annotated boxes of I frames."""

    boxes: np.ndarray  # (G, 4) float64
    person_ids: np.ndarray  # (G,) int64, -1 for unlabelled persons
    offsets: np.ndarray  # (I + 1,) int64

    def __len__(self) -> int:
        return len(self.person_ids)

    @cached_property
    def frame_of(self) -> np.ndarray:
        """(G,): the frame of every box."""
        return frame_of_rows(self.offsets)

    def keep(self, mask: np.ndarray) -> "GroundTruth":
        """The boxes where ``mask`` (G,) is true, of the same I frames."""
        counts = np.bincount(self.frame_of[mask], minlength=len(self.offsets) - 1)
        return GroundTruth(self.boxes[mask], self.person_ids[mask], to_offsets(counts))


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
    """(P, 4), (P, 4) -> (P,) float64: the IoU of row p of a with row p of b."""
    a, b = np.asarray(boxes_a, dtype=np.float64), np.asarray(boxes_b, dtype=np.float64)
    intersection = _intersection(a, b)
    union = np.prod(a[:, 2:] - a[:, :2], axis=1) + np.prod(b[:, 2:] - b[:, :2], axis=1)
    union -= intersection
    return np.divide(intersection, union, out=np.zeros(len(a)), where=union > 0)


def pair_share(boxes_a: np.ndarray, boxes_b: np.ndarray) -> np.ndarray:
    """(P, 4), (P, 4) -> (P,) float64: the share of row p of a that lies in row p of b."""
    a, b = np.asarray(boxes_a, dtype=np.float64), np.asarray(boxes_b, dtype=np.float64)
    area = np.prod(a[:, 2:] - a[:, :2], axis=1)
    return np.divide(_intersection(a, b), area, out=np.zeros(len(a)), where=area > 0)


def _intersection(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    overlap = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
    return np.prod(np.clip(overlap, 0, None), axis=1)
