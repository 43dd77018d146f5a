"""What a network found in a recording."""

from typing import NamedTuple

import numpy as np

# A box ends at the frame's border if it is no further from it than a share of the frame's size, or
# of its own.
BORDER_OF_FRAME, BORDER_OF_BOX = 0.01, 0.1


class Detections(NamedTuple):
    """The N detections of a recording, by frame."""

    frames: np.ndarray  # (N,) int, ascending: indices into the recording's frames
    boxes: np.ndarray  # (N, 4) x0, y0, x1, y1 in pixels
    scores: np.ndarray  # (N,) 0 to 1
    features: np.ndarray  # (N, D) L2-normalised
    # (N, 4) bool, whether the left, upper, right and lower side is at the frame's border, which
    # probably cuts off a part of the person
    at_border: np.ndarray

    def take(self, rows: np.ndarray) -> "Detections":
        return Detections(*(part[rows] for part in self))


def find_at_border(boxes: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """
    Args:
        boxes: (N, 4) x0, y0, x1, y1.
        sizes: (N, 2) widths and heights of their frames.

    Returns:
        (N, 4) bool, see :class:`Detections`.
    """
    margin = np.maximum(BORDER_OF_FRAME * sizes, BORDER_OF_BOX * (boxes[:, 2:] - boxes[:, :2]))
    return np.concatenate([boxes[:, :2] < margin, boxes[:, 2:] > sizes - margin], axis=1)
