"""Whether another program's predictions mean what the file format says, judged by the annotations.

Boxes in another notation or of a resized picture, and query features in another order, raise no
error anywhere: they score 0, which looks like a bad model.
"""

import logging
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ..errors import UserError
from .frame_tables import Detections, GroundTruth, pair_iou, pairs_of_same_frame
from .predictions import Predictions
from .search_dataset import SearchDataset

logger = logging.getLogger(__name__)

NUM_FRAMES = 300  # that boxes are judged by
MIN_PERSONS = 10  # fewer are not conclusive
# Another reading of the boxes must find at least this share of the persons: the boxes of a bad
# detector fit in no reading. The ratios (found by it / found as given) make an error or a warning.
LEAST_FOUND = 0.3
ERROR_RATIO, WARNING_RATIO = 3.0, 1.25
FEW_FOUND = 0.1  # what boxes find by chance, or a network that is hardly trained
SCALES = np.geomspace(0.2, 5, 65)  # steps of 5 %, small enough to keep the IoU above 0.5
MIN_QUERIES = 20
# Correct query features are nearly all more similar to the detection at the query's box than to a
# random detection; features in a wrong order only half of the time.
LEAST_ALIKE = 0.75
OVER_BORDER = 1.0  # pixels

# (n, 4) boxes as given, (n, 2) width and height of their pictures -> corners in pixels
Reading = Callable[[np.ndarray, np.ndarray], np.ndarray]


def check_plausible(dataset: SearchDataset, predictions: Predictions) -> None:
    """
    Raises:
        UserError: boxes fit the annotated persons only if they are read in another notation or
            scale; the message names it and how to fix it.

    Logs a warning if boxes fit better in another notation, or hardly fit in any, if boxes exceed
    the border of their picture, and if query features do not resemble the detections at the same
    boxes; logs the number of frames without detections.
    """
    _check_notation(dataset, predictions.detections)
    _tell_borders(dataset, predictions.detections)
    _tell_empty_frames(dataset, predictions.detections)
    if predictions.searchable:
        _tell_unlike_queries(predictions)


def _check_notation(dataset: SearchDataset, detections: Detections) -> None:
    gt, dets = _sample(dataset, detections)
    sizes = _sizes(dataset)[dets.frame_of]
    if len(gt) < MIN_PERSONS or not len(dets):
        return
    gt_rows, det_rows = pairs_of_same_frame(gt, dets)

    def found(boxes: np.ndarray) -> float:
        hit = pair_iou(gt.boxes[gt_rows], boxes[det_rows]) >= 0.5
        return len(np.unique(gt_rows[hit])) / len(gt)

    given = dets.boxes.astype(np.float64)
    as_given = found(given)
    share, reading = max((found(read(given, sizes)), name) for name, read in _readings().items())
    if share < max(LEAST_FOUND, WARNING_RATIO * as_given):
        if as_given < FEW_FOUND:
            logger.warning(
                "boxes fit only %.0f %% of %d persons of dataset '%s'; are they x0, y0, x1, y1 in "
                "pixels of the original picture, in the order of image_ids?",
                100 * as_given, len(gt), dataset.name,
            )  # fmt: skip
        return
    message = (
        f"boxes fit {100 * as_given:.0f} % of {len(gt)} persons of dataset '{dataset.name}', and "
        f"{100 * share:.0f} % if they are read as {reading}; write x0, y0, x1, y1 in pixels of the "
        "original picture"
    )
    if share >= ERROR_RATIO * as_given:
        raise UserError(message)
    logger.warning(message)


def _readings() -> dict[str, Reading]:
    """Notations by name."""
    readings: dict[str, Reading] = {
        "x, y, width, height": lambda b, _: np.c_[b[:, :2], b[:, :2] + b[:, 2:]],
        "centre x, centre y, width, height": lambda b, _: np.c_[
            b[:, :2] - b[:, 2:] / 2, b[:, :2] + b[:, 2:] / 2
        ],
        "y0, x0, y1, x1": lambda b, _: b[:, [1, 0, 3, 2]],
        "shares of the picture's width and height": lambda b, s: b * np.c_[s, s],
    }
    for scale in SCALES:
        name = f"boxes of a picture that was resized by about {1 / scale:.2f}"
        readings[name] = lambda b, _, scale=scale: b * scale
    return readings


def _sample(dataset: SearchDataset, detections: Detections) -> tuple[GroundTruth, Detections]:
    """Persons of some gallery frames, and as many of the best detections of each frame."""
    gt = dataset.ground_truth
    num_gt, num_dets = np.diff(gt.offsets), np.diff(detections.offsets)
    usable = np.flatnonzero(dataset.gallery_frames & (num_gt > 0) & (num_dets > 0))
    step = -(-len(usable) // NUM_FRAMES) or 1
    sampled = np.isin(np.arange(len(num_gt)), usable[::step])
    order = np.lexsort((-detections.scores, detections.frame_of))
    place = np.empty(len(detections), dtype=np.int64)
    place[order] = np.arange(len(detections)) - detections.offsets[detections.frame_of[order]]
    best = sampled[detections.frame_of] & (place < num_gt[detections.frame_of])
    return gt.keep(sampled[gt.frame_of]), replace(detections, features=None).keep(best)


def _sizes(dataset: SearchDataset) -> np.ndarray:
    """(I, 2) width and height; NaN where a frame's dict has none."""
    sizes = [d.get(key) or np.nan for d in dataset.dicts for key in ("width", "height")]
    return np.array(sizes, dtype=np.float64).reshape(-1, 2)


def _tell_borders(dataset: SearchDataset, detections: Detections) -> None:
    over = detections.boxes[:, 2:] - _sizes(dataset)[detections.frame_of]
    over = np.hstack([over, -detections.boxes[:, :2]])
    outside = (over > OVER_BORDER).any(axis=1)
    if outside.any():
        first = detections.frame_of[np.argmax(outside)]
        logger.warning(
            "%d of %d boxes reach over the border of their picture, the first in '%s'; they are "
            "scored as they are",
            outside.sum(), len(outside), dataset.image_ids[first],
        )  # fmt: skip


def _tell_empty_frames(dataset: SearchDataset, detections: Detections) -> None:
    empty = dataset.gallery_frames & (np.diff(detections.offsets) == 0)
    persons = empty & (np.diff(dataset.ground_truth.offsets) > 0)
    if persons.any():
        logger.info(
            "%d of %d gallery frames have no detection, %d of them with persons, the first '%s'",
            empty.sum(), dataset.gallery_frames.sum(), persons.sum(),
            dataset.image_ids[int(np.argmax(persons))],
        )  # fmt: skip


def _tell_unlike_queries(predictions: Predictions) -> None:
    detections = predictions.detections
    # their scores don't matter
    boxes = predictions.query_boxes
    queries = Detections(boxes, np.ones(len(boxes)), predictions.query_offsets)
    rows, dets = pairs_of_same_frame(queries, detections)
    same = pair_iou(queries.boxes[rows], detections.boxes[dets]) >= 0.7
    rows, dets = rows[same], dets[same]
    if len(np.unique(rows)) < MIN_QUERIES:
        return
    others = np.random.default_rng(0).integers(len(detections), size=len(dets))

    def similarity(some: np.ndarray) -> np.ndarray:
        return np.einsum("nf,nf->n", predictions.query_features[rows], detections.features[some])

    alike = (similarity(dets) > similarity(others)).mean()
    if alike < LEAST_ALIKE:
        logger.warning(
            "only %.0f %% of the query features resemble the detection at the query's box more "
            "than any other detection (one half by chance); are they of the same network, and in "
            "the order of query_boxes?",
            100 * alike,
        )
