"""Detection AP as COCO defines it, for comparison with general detectors."""

import contextlib
import io

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from .frame_tables import Detections, GroundTruth

METRICS = ("AP", "AP50", "AP75")


def evaluate_coco(
    detections: Detections,
    ground_truth: GroundTruth,
    ignore_regions: GroundTruth | None = None,
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
    truth, found = COCO(), COCO()
    images = [{"id": i} for i in range(len(ground_truth.offsets) - 1)]
    for coco, table, scores in (
        (truth, ground_truth, np.ones(len(ground_truth))),
        (found, detections, detections.scores),
    ):
        categories = [{"id": 1, "name": "person"}]
        annotations = _annotations(table, scores)
        coco.dataset = {"images": images, "categories": categories, "annotations": annotations}
    if ignore_regions is not None:
        crowds = _annotations(ignore_regions, np.ones(len(ignore_regions)), iscrowd=1)
        for crowd in crowds:
            crowd["id"] += len(ground_truth)
        truth.dataset["annotations"] += crowds
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints
        truth.createIndex()
        found.createIndex()
        evaluation = COCOeval(truth, found, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return {name: float(100 * evaluation.stats[i]) for i, name in enumerate(METRICS)}


def _annotations(table, scores, iscrowd=0):
    sizes = np.asarray(table.boxes[:, 2:], dtype=np.float64) - table.boxes[:, :2]
    boxes = np.concatenate([table.boxes[:, :2], sizes], axis=1).tolist()
    return [
        {
            "id": i + 1,  # pycocotools takes 0 for "no match"
            "image_id": frame,
            "category_id": 1,
            "bbox": box,
            "area": box[2] * box[3],
            "iscrowd": iscrowd,
            "score": score,
        }
        for i, (frame, box, score) in enumerate(
            zip(table.frame_of.tolist(), boxes, scores.tolist())
        )
    ]
