"""How well persons are detected: average precision and recall, all persons, labelled or not."""

import numpy as np
from sklearn.metrics import average_precision_score

from .frame_tables import Detections, GroundTruth, pair_iou, pairs_of_same_frame
from .ignore_regions import lie_in_regions

METRICS = ("AP", "recall", "labelled_recall")


def evaluate_detection(
    detections: Detections,
    ground_truth: GroundTruth,
    *,
    iou_thresh: float = 0.5,
    ignore_regions: GroundTruth | None = None,
) -> dict[str, float]:
    """Score detections as the published person-search evaluators do.

    A detection is right when it and a ground-truth box overlap each other best in their frame
    (the first of equal ones) with an IoU of at least ``iou_thresh``; so neither matches twice, and
    of several detections on one person one is right and the others are wrong. All detections count;
    SeqNet's code leaves out those with a score below 0.01, which no detector here gives.

    ``ignore_regions`` are boxes of the same frames: a detection that is not right and lies in one
    is left out, see ``ignore_regions.py``.

    Returns:
        ``recall`` = right detections / ground-truth boxes, ``AP`` = scikit-learn's average
        precision over all detections x recall, and ``labelled_recall``, the recall of persons with
        an identity; all in percent. A figure over no person is omitted.
    """
    labelled = ground_truth.person_ids >= 0
    dets, gt_rows = match_detections(detections, ground_truth, iou_thresh)
    if len(dets) == 0:
        persons = len(ground_truth)
        counted = {"AP": persons, "recall": persons, "labelled_recall": labelled.sum()}
        return {name: 0.0 for name, n in counted.items() if n}
    right = np.zeros(len(detections), dtype=bool)
    right[dets] = True
    if ignore_regions is not None and len(ignore_regions):
        judged = right | ~lie_in_regions(detections, ignore_regions, iou_thresh)
        detections, right = detections.keep(judged), right[judged]
    recall = len(dets) / len(ground_truth)
    precision = average_precision_score(right, detections.scores)
    metrics = {"AP": float(100 * precision * recall), "recall": float(100 * recall)}
    if labelled.any():
        metrics["labelled_recall"] = float(100 * labelled[gt_rows].sum() / labelled.sum())
    return metrics


def match_detections(
    detections: Detections, ground_truth: GroundTruth, iou_thresh: float
) -> tuple[np.ndarray, np.ndarray]:
    """(n,) right detections and (n,) the ground-truth boxes they match; see above."""
    gt_rows, dets = pairs_of_same_frame(ground_truth, detections)
    iou = pair_iou(ground_truth.boxes[gt_rows], detections.boxes[dets])
    # Only pairs that overlap can match, and they are few.
    overlap = iou > 0
    gt_rows, dets, iou = gt_rows[overlap], dets[overlap], iou[overlap]
    mutual = _best_of_group(gt_rows, iou) & _best_of_group(dets, iou) & (iou >= iou_thresh)
    return dets[mutual], gt_rows[mutual]


def _best_of_group(group: np.ndarray, value: np.ndarray) -> np.ndarray:
    """(P,) group numbers, (P,) values -> (P,) bool: the first highest value of every group."""
    order = np.lexsort((-value, group))  # stable, so that equal ones stay in place
    first = np.ones(len(group), dtype=bool)
    first[1:] = group[order][1:] != group[order][:-1]
    best = np.zeros(len(group), dtype=bool)
    best[order[first]] = True
    return best
