"""How well persons are detected: average precision and recall, all persons, labelled or not."""

from typing import Dict

import numpy as np
from sklearn.metrics import average_precision_score

from .frame_tables import Detections, GroundTruth, pair_iou, pairs_of_same_frame


def evaluate_detection(
    detections: Detections, ground_truth: GroundTruth, *, iou_thresh: float = 0.5
) -> Dict[str, float]:
    """Score detections as the published person-search evaluators do.

    A detection is right when it and a ground-truth box overlap each other best in their frame
    (the first of equal ones) with an IoU of at least ``iou_thresh``; so neither matches twice, and
    of several detections on one person one is right and the others are wrong.

    Returns:
        ``recall`` = right detections / ground-truth boxes, and ``AP`` = scikit-learn's average
        precision over all detections x recall; both in percent, 0 when there is nothing to find.
    """
    right = match_detections(detections, ground_truth, iou_thresh)
    if not right.any():
        return {"AP": 0.0, "recall": 0.0}
    recall = right.sum() / len(ground_truth)
    precision = average_precision_score(right, detections.scores)
    return {"AP": float(100 * precision * recall), "recall": float(100 * recall)}


def match_detections(
    detections: Detections, ground_truth: GroundTruth, iou_thresh: float
) -> np.ndarray:
    """(D,) bool: which detections are right, see :func:`evaluate_detection`."""
    gt_rows, det_rows = pairs_of_same_frame(ground_truth, detections)
    iou = pair_iou(ground_truth.boxes[gt_rows], detections.boxes[det_rows])
    mutual = _best_of_group(gt_rows, iou) & _best_of_group(det_rows, iou)
    right = np.zeros(len(detections), dtype=bool)
    right[det_rows[mutual & (iou >= iou_thresh)]] = True
    return right


def _best_of_group(group: np.ndarray, value: np.ndarray) -> np.ndarray:
    """(P,) group numbers, (P,) values -> (P,) bool: the first highest value of every group."""
    order = np.lexsort((np.arange(len(group)), -value, group))
    first = np.ones(len(group), dtype=bool)
    first[1:] = group[order][1:] != group[order][:-1]
    best = np.zeros(len(group), dtype=bool)
    best[order[first]] = True
    return best
