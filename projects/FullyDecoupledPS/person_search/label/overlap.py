"""How boxes (x0, y0, x1, y1) cover one another."""

import numpy as np


def intersections(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(N, 4) and (M, 4) boxes -> (N, M) areas that they share."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    return np.clip(high - low, 0, None).prod(axis=-1)


def areas(boxes: np.ndarray) -> np.ndarray:
    """(N, 4) -> (N,)."""
    return np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(axis=-1)


def pairwise_iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(N, 4) and (M, 4) -> (N, M) intersection over union."""
    shared = intersections(a, b)
    union = areas(a)[:, None] + areas(b)[None] - shared
    return shared / np.maximum(union, 1e-9)


def covered(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(N, 4) and (M, 4) -> (N, M) share of the smaller of the two boxes that lies in the other."""
    smaller = np.minimum(areas(a)[:, None], areas(b)[None])
    return intersections(a, b) / np.maximum(smaller, 1e-9)


def hidden(boxes: np.ndarray) -> np.ndarray:
    """(N, 4) boxes of a frame -> (N,) share of each that one other covers, which stands nearer.

    Nearer to the camera is whose feet are lower in the picture.
    """
    nearer = boxes[None, :, 3] > boxes[:, None, 3]
    shares = intersections(boxes, boxes) * nearer / np.maximum(areas(boxes), 1e-9)[:, None]
    return shares.max(axis=1, initial=0.0)


def by_frame(frames: np.ndarray) -> list[np.ndarray]:
    """Rows of the same frame, of each frame that has any; ``frames`` ascend."""
    starts = np.flatnonzero(np.diff(frames)) + 1
    return np.split(np.arange(len(frames)), starts) if len(frames) else []
