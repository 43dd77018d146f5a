"""The floor of a person-search benchmark: colour histograms of ground-truth boxes.

Nothing is detected and nothing learned. Every annotated box is a detection of score 1, and its
feature is a colour histogram. What this finds, raw colour finds; a re-id network has to find more.
"""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch
from detectron2.structures import Boxes, Instances
from tqdm import tqdm

from ..data.images import read_image
from .evaluator import PersonSearchEvaluator

__all__ = ["color_histogram", "evaluate_color_histogram"]

NUM_STRIPES = 6
BINS = (16, 8, 4)  # of hue, saturation, value
_RANGES = (0, 180, 0, 256, 0, 256)  # of OpenCV's 8-bit HSV


def color_histogram(hsv: np.ndarray, box: Sequence[float]) -> np.ndarray:
    """HSV histograms of six stripes of a box, one below the other: head, chest, ... feet.

    The square roots of the bins are taken, so that the inner product of two features is the mean
    Bhattacharyya coefficient of their stripes.

    Args:
        hsv: (H, W, 3) uint8, OpenCV's HSV.
        box: x0, y0, x1, y1; every pixel that it touches counts.

    Returns:
        (NUM_STRIPES * 16 * 8 * 4,) float32 of length 1.
    """
    height, width = hsv.shape[:2]
    x0, y0 = min(max(int(box[0]), 0), width - 1), min(max(int(box[1]), 0), height - 1)
    x1 = max(min(int(np.ceil(box[2])), width), x0 + 1)
    y1 = max(min(int(np.ceil(box[3])), height), y0 + 1)
    rows = np.linspace(y0, y1, NUM_STRIPES + 1)
    stripes = []
    for top, bottom in zip(np.floor(rows[:-1]).astype(int), np.ceil(rows[1:]).astype(int)):
        stripe = np.ascontiguousarray(hsv[top:bottom, x0:x1])
        counts = cv2.calcHist([stripe], [0, 1, 2], None, BINS, _RANGES).ravel()
        stripes.append(np.sqrt(counts / counts.sum()))
    return np.concatenate(stripes).astype(np.float32) / np.float32(NUM_STRIPES**0.5)


def _predict(frame: dict[str, Any]) -> dict[str, Any]:
    """What a model would return for a dataset dict: its own annotations, and the histograms."""
    hsv = cv2.cvtColor(read_image(frame["file_name"]), cv2.COLOR_RGB2HSV)
    boxes = np.array([a["bbox"] for a in frame["annotations"]], dtype=np.float32).reshape(-1, 4)
    instances = Instances(
        hsv.shape[:2],
        pred_boxes=Boxes(torch.from_numpy(boxes)),
        scores=torch.ones(len(boxes)),
        pred_classes=torch.zeros(len(boxes), dtype=torch.int64),
        reid_features=_features(hsv, boxes),
    )
    output = {"instances": instances}
    if frame.get("queries"):
        output["query_features"] = _features(hsv, frame["queries"])
    return output


def _features(hsv: np.ndarray, boxes: Sequence[Sequence[float]]) -> torch.Tensor:
    length = NUM_STRIPES * int(np.prod(BINS))
    rows = [color_histogram(hsv, box) for box in boxes]
    return torch.from_numpy(np.stack(rows) if rows else np.zeros((0, length), dtype=np.float32))


def evaluate_color_histogram(
    dataset_name: str, output_dir: str | None = None
) -> dict[str, dict[str, float]]:
    """Score the colour-histogram matcher with the evaluator that scores the models.

    Args:
        dataset_name: a registered test set.
        output_dir: see :class:`PersonSearchEvaluator`.

    Returns:
        What :meth:`PersonSearchEvaluator.evaluate` returns. "detection" is that of the ground
        truth itself: 100.

    Raises:
        UserError: no such dataset, or it has no queries.
    """
    evaluator = PersonSearchEvaluator(dataset_name, distributed=False, output_dir=output_dir)
    evaluator.reset()
    for frame in tqdm(evaluator.dataset.dicts, desc="Colour histograms", mininterval=1):
        evaluator.process([frame], [_predict(frame)])
    return evaluator.evaluate()
