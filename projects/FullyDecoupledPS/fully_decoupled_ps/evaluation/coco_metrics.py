"""Detection AP as COCO defines it, for comparison with general detectors."""

import contextlib
import io
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from .frame_tables import Detections, GroundTruth

METRICS = ("AP", "AP50", "AP75")


def evaluate_coco(
    detections: Detections, ground_truth: GroundTruth, ignore_regions: GroundTruth
) -> dict[str, float]:
    """
    Returns:
        ``AP`` (mean over IoU 0.5, 0.55 ... 0.95), ``AP50`` and ``AP75`` of pycocotools, in percent,
        with at most 100 detections per frame; an empty dict if nobody is annotated. All persons
        count, labelled or not. ``ignore_regions`` are COCO's crowds.
    """
    if len(ground_truth) == 0:
        return {}
    if len(detections) == 0:
        return dict.fromkeys(METRICS, 0.0)
    annotations = _entries(ground_truth, iscrowd=0) + _entries(ignore_regions, iscrowd=1)
    for i, annotation in enumerate(annotations, 1):  # pycocotools takes the id 0 for "no match"
        annotation["id"] = i
    results = _entries(detections)
    for result, score in zip(results, detections.scores.tolist()):
        result["score"] = score
    truth = COCO()
    truth.dataset = {
        "images": [{"id": i} for i in range(len(ground_truth.offsets) - 1)],
        "categories": [{"id": 1, "name": "person"}],
        "annotations": annotations,
    }
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return {name: float(100 * evaluation.stats[i]) for i, name in enumerate(METRICS)}


def _entries(table: Detections | GroundTruth, **fields: int) -> list[dict[str, Any]]:
    boxes = table.boxes.astype(np.float64)
    boxes[:, 2:] -= boxes[:, :2]
    return [
        {"image_id": frame, "category_id": 1, "bbox": box, "area": box[2] * box[3], **fields}
        for frame, box in zip(table.frame_of.tolist(), boxes.tolist())
    ]
