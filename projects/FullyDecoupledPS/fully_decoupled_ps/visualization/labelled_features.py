"""The features of detections whose person is known: those that fit a labelled box."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import UserError
from ..evaluation.frame_tables import pair_iou, pairs_of_same_frame
from ..evaluation.predictions import Predictions
from ..evaluation.search_dataset import SearchDataset

MIN_IOU = 0.5


@dataclass(frozen=True)
class LabelledFeatures:
    """N detections of known persons."""

    features: np.ndarray  # (N, F) float32, L2-normalised
    person_ids: np.ndarray  # (N,)
    frames: np.ndarray  # (N,) places in the dataset
    cameras: Sequence[Any]  # N, None where unknown

    def __len__(self) -> int:
        return len(self.person_ids)

    def take(self, rows: np.ndarray) -> "LabelledFeatures":
        """Those in `rows`, ascending places."""
        cameras = [self.cameras[i] for i in rows]
        arrays = (self.features, self.person_ids, self.frames)
        return LabelledFeatures(*(array[rows] for array in arrays), cameras)


def labelled_features(
    dataset: SearchDataset, predictions: Predictions, score_thresh: float = 0.5
) -> LabelledFeatures:
    """
    For each labelled box, the detection of a sufficient score that overlaps it most, if by an IoU
    of 0.5; a detection is taken once.

    Raises:
        UserError: the predictions have no features, or none fits a labelled box.
    """
    if not predictions.searchable:
        raise UserError(
            f"the predictions for '{dataset.name}' have no re-id features; take those of a stage "
            "that trains re-id"
        )
    detections = predictions.detections
    gt, dets = pairs_of_same_frame(dataset.ground_truth, detections)
    iou = pair_iou(dataset.ground_truth.boxes[gt], detections.boxes[dets])
    labelled = dataset.ground_truth.person_ids[gt] >= 0
    fits = labelled & (iou >= MIN_IOU) & (detections.scores[dets] >= score_thresh)
    gt, dets, iou = gt[fits], dets[fits], iou[fits]
    best = np.argsort(-iou, kind="stable")
    for column in (gt, dets):  # the best pair of each box, then of each detection
        first = np.unique(column[best], return_index=True)[1]
        best = best[np.sort(first)]
    if not len(best):
        raise UserError(
            f"no detection in '{dataset.name}' with a score of {score_thresh:g} or more fits a "
            "labelled person; lower the score threshold, or train the detector further"
        )
    best = best[np.argsort(dets[best])]
    frames = detections.frame_of[dets[best]]
    return LabelledFeatures(
        detections.features[dets[best]],
        dataset.ground_truth.person_ids[gt[best]],
        frames,
        [dataset.cameras[i] for i in frames],
    )
