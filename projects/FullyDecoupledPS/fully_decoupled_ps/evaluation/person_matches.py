"""Which detections could be the one right detection of a person in a frame."""

from typing import NamedTuple

import numpy as np

from .frame_tables import Detections, GroundTruth, pair_iou, pairs_of_same_frame, to_offsets


def search_iou_thresh(boxes: np.ndarray) -> np.ndarray:
    """(n, 4) -> (n,): the IoU asked for, min(0.5, w h / ((w + 10)(h + 10))); lower for tiny boxes.

    >>> search_iou_thresh(np.array([[0, 0, 100, 200], [0, 0, 10, 10]]))
    array([0.5 , 0.25])
    """
    w, h = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    return np.minimum(0.5, w * h / ((w + 10) * (h + 10)))


class Sightings(NamedTuple):
    """Where one person is, and what was detected there: n frames, m detections."""

    gt_rows: np.ndarray  # (n,) rows of the ground truth, one a frame
    frames: np.ndarray  # (n,)
    dets: np.ndarray  # (m,) detections that overlap the person enough, frame after frame
    detected: np.ndarray  # (d,) the sightings, of 0..n-1, that have such detections
    starts: np.ndarray  # (d,) where theirs begin in dets
    groups: np.ndarray  # (m,) to which of the d each detection belongs, ascending

    def most_similar(self, values: np.ndarray) -> np.ndarray:
        """(D,) similarities -> (n,) the most similar detection of each sighting, -1 without one.

        Of equally similar ones the first.
        """
        first = np.full(len(self.frames), -1)
        first[self.detected] = self.dets[np.lexsort((-values[self.dets], self.groups))[self.starts]]
        return first


class PersonMatches:
    """The :class:`Sightings` of every person. Of an id twice in a frame, the first box counts."""

    def __init__(self, detections: Detections, ground_truth: GroundTruth):
        keys = np.stack([ground_truth.person_ids, ground_truth.frame_of], axis=1)
        # A sighting is a person in a frame; they are sorted by person, then frame.
        self._gt_rows = np.unique(keys, axis=0, return_index=True)[1]
        self._persons = ground_truth.person_ids[self._gt_rows]
        self._frames = ground_truth.frame_of[self._gt_rows]
        sighting_of_gt = np.full(len(ground_truth), -1)
        sighting_of_gt[self._gt_rows] = np.arange(len(self._gt_rows))
        gt, dets = pairs_of_same_frame(ground_truth, detections)
        iou = pair_iou(ground_truth.boxes[gt], detections.boxes[dets])
        enough = (iou >= search_iou_thresh(ground_truth.boxes)[gt]) & (sighting_of_gt[gt] >= 0)
        sightings, dets = sighting_of_gt[gt[enough]], dets[enough]
        self._dets = dets[np.argsort(sightings, kind="stable")]
        self._offsets = to_offsets(np.bincount(sightings, minlength=len(self._gt_rows)))

    def of(self, person_id: int) -> Sightings:
        """An id that is nowhere annotated has no sightings."""
        first, last = np.searchsorted(self._persons, [person_id, person_id + 1])
        offsets = self._offsets[first : last + 1]
        counts = np.diff(offsets)
        detected = np.flatnonzero(counts)
        return Sightings(
            self._gt_rows[first:last],
            self._frames[first:last],
            self._dets[offsets[0] : offsets[-1]],
            detected,
            offsets[detected] - offsets[0],
            np.repeat(np.arange(len(detected)), counts[detected]),
        )
