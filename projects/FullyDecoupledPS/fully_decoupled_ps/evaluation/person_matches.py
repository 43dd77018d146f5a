"""Which detections could be the one right detection of a person in a frame."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .frame_tables import (
    Detections,
    GroundTruth,
    pair_iou,
    pairs_of_same_frame,
    ranges,
    to_offsets,
)


def search_iou_thresh(boxes: np.ndarray) -> np.ndarray:
    """(n, 4) -> (n,): the IoU asked for, min(0.5, w h / ((w + 10)(h + 10))); lower for tiny boxes.

    >>> search_iou_thresh(np.array([[0, 0, 100, 200], [0, 0, 10, 10]]))
    array([0.5 , 0.25])
    """
    w, h = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    return np.minimum(0.5, w * h / ((w + 10) * (h + 10)))


@dataclass(frozen=True)
class Sightings:
    """Where the persons of Q queries are, query after query: S sightings, C candidates.

    A sighting is the person in a frame. Its candidates are the detections there that overlap the
    person enough; the most similar one is the right one.
    """

    offsets: np.ndarray  # (Q + 1,) rows offsets[q]:offsets[q + 1] are the sightings of query q
    gt_rows: np.ndarray  # (S,) rows of the ground truth
    frames: np.ndarray  # (S,)
    candidate_offsets: np.ndarray  # (S + 1,)
    candidates: np.ndarray  # (C,) detections, ascending within a sighting

    @cached_property
    def queries(self) -> np.ndarray:
        """(S,): the query, 0 .. Q - 1, of every sighting."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))

    @cached_property
    def candidate_sightings(self) -> np.ndarray:
        """(C,): the sighting of every candidate."""
        return np.repeat(np.arange(len(self.gt_rows)), np.diff(self.candidate_offsets))

    def keep(self, mask: np.ndarray) -> "Sightings":
        """The sightings where ``mask`` (S,) is true, of the same queries."""
        counts = np.bincount(self.queries[mask], minlength=len(self.offsets) - 1)
        return Sightings(
            to_offsets(counts),
            self.gt_rows[mask],
            self.frames[mask],
            to_offsets(np.diff(self.candidate_offsets)[mask]),
            self.candidates[mask[self.candidate_sightings]],
        )

    def between(self, first: int, last: int) -> "Sightings":
        """Those of the queries first .. last - 1."""
        s = slice(self.offsets[first], self.offsets[last])
        c = slice(self.candidate_offsets[s.start], self.candidate_offsets[s.stop])
        return Sightings(
            self.offsets[first : last + 1] - s.start,
            self.gt_rows[s],
            self.frames[s],
            self.candidate_offsets[s.start : s.stop + 1] - c.start,
            self.candidates[c],
        )

    def most_similar(self, values: np.ndarray) -> np.ndarray:
        """(C,) similarities of the candidates -> (S,) the right detection of each sighting.

        The first one in case of equal similarity; -1 if there is no candidate with a similarity
        above -inf.
        """
        order = np.lexsort((-values, self.candidate_sightings))
        seen = np.flatnonzero(np.diff(self.candidate_offsets))
        best = order[self.candidate_offsets[seen]]
        right = np.full(len(self.gt_rows), -1)
        right[seen] = np.where(values[best] > -np.inf, self.candidates[best], -1)
        return right


class PersonMatches:
    """The sightings of every person. If an id occurs twice in a frame, the first box counts."""

    def __init__(self, detections: Detections, ground_truth: GroundTruth):
        keys = np.stack([ground_truth.person_ids, ground_truth.frame_of], axis=1)
        # One entry per person and frame, sorted by person, then frame.
        self._gt_rows = np.unique(keys, axis=0, return_index=True)[1]
        self._persons = ground_truth.person_ids[self._gt_rows]
        self._frames = ground_truth.frame_of[self._gt_rows]
        entry_of_gt = np.full(len(ground_truth), -1)
        entry_of_gt[self._gt_rows] = np.arange(len(self._gt_rows))
        gt, dets = pairs_of_same_frame(ground_truth, detections)
        iou = pair_iou(ground_truth.boxes[gt], detections.boxes[dets])
        enough = (iou >= search_iou_thresh(ground_truth.boxes)[gt]) & (entry_of_gt[gt] >= 0)
        entries, dets = entry_of_gt[gt[enough]], dets[enough]
        self._dets = dets[np.argsort(entries, kind="stable")]
        self._offsets = to_offsets(np.bincount(entries, minlength=len(self._gt_rows)))

    def of(self, person_ids: np.ndarray) -> Sightings:
        """(Q,) the persons of Q queries; an id that is nowhere annotated has no sightings."""
        first = np.searchsorted(self._persons, person_ids, side="left")
        counts = np.searchsorted(self._persons, person_ids, side="right") - first
        entries = ranges(first, counts)
        candidates = np.diff(self._offsets)[entries]
        return Sightings(
            to_offsets(counts),
            self._gt_rows[entries],
            self._frames[entries],
            to_offsets(candidates),
            self._dets[ranges(self._offsets[entries], candidates)],
        )
