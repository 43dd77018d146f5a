"""Ranks one query's gallery: average precision, rank of the first hit, the head of the ranking.

The precision at a right detection is (right detections of at least its similarity) / (all of at
least its similarity). So a query costs one sort of its similarities, whatever its galleries, and
no loop over frames: what a gallery leaves out is counted and subtracted.
"""

from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple, Optional, Sequence

import numpy as np

from .frame_tables import Detections, rows_of_frames
from .person_matches import Sightings


@dataclass(frozen=True)
class QueryResult:
    """How one query fared."""

    ap: float  # in [0, 1]
    first_hit_rank: Optional[int]  # from 1; None without a right detection
    num_gt: int
    gt_rows: np.ndarray  # (n,) ground-truth boxes in the gallery; a frame listed twice once
    true_positives: np.ndarray  # (n,) the right detection of each, -1 where there is none
    hits: np.ndarray  # (h,) the detections at the head of the ranking
    hit_similarities: np.ndarray  # (h,)

    @property
    def num_tp(self) -> int:
        return int((self.true_positives >= 0).sum())


def average_precision(right: np.ndarray, at_least: np.ndarray, num_gt: int) -> float:
    """AP of one query.

    Args:
        right: (T,) similarities of the right detections.
        at_least: (T,) for each of them, how many gallery detections, right or wrong, have its
            similarity or a higher one.
        num_gt: number of ground-truth boxes in the gallery.

    Right detections at ranks 1 and 3, and a person that was not detected: (1/1 + 2/3) / 3.

    >>> round(average_precision(np.array([0.9, 0.5]), np.array([1, 3]), 3), 4)
    0.5556
    """
    if len(right) == 0:
        return 0.0
    return float((_count_at_least(np.sort(right), right) / at_least).sum() / num_gt)


def first_hit_rank(right: np.ndarray, at_least: np.ndarray) -> Optional[int]:
    """Rank (from 1) of the first right detection; wrong ones of equal similarity come before it.

    Arguments as in :func:`average_precision`; None without a right detection.

    >>> first_hit_rank(np.array([0.7, 0.5]), np.array([3, 4]))
    3
    """
    if len(right) == 0:
        return None
    best = np.argmax(right)
    return int(at_least[best] - np.count_nonzero(right == right[best]) + 1)


def _count_at_least(ascending: np.ndarray, values: np.ndarray) -> np.ndarray:
    return len(ascending) - np.searchsorted(ascending, values, side="left")


class Gallery(NamedTuple):
    """The detections that a query is compared with."""

    times_listed: np.ndarray  # (I,) how often each frame is listed
    dets: Optional[np.ndarray]  # (N,) the gallery, ascending; or, where None,
    left_out: Optional[np.ndarray]  # (M,) all but these


class Similarities:
    """One query's similarity to all detections, -inf for those that don't take part."""

    def __init__(self, values: np.ndarray):
        self.values = values  # (D,) float32
        self._ascending: Optional[np.ndarray] = None

    def count_at_least(self, gallery: Gallery, thresholds: np.ndarray) -> np.ndarray:
        """(T,) -> (T,): how many of the gallery's detections are at least that similar."""
        if gallery.dets is not None:
            return _count_at_least(np.sort(self.values[gallery.dets]), thresholds)
        if self._ascending is None:
            self._ascending = np.sort(self.values)
        left_out = _count_at_least(np.sort(self.values[gallery.left_out]), thresholds)
        return _count_at_least(self._ascending, thresholds) - left_out

    def head(self, gallery: Gallery, right: np.ndarray, count: int) -> np.ndarray:
        """The first detections: by similarity, then wrong before right, then by place."""
        dets, values = gallery.dets, self.values
        if dets is None:
            values = values.copy()
            values[gallery.left_out] = -np.inf
            dets = np.arange(len(values))
        values = values[dets]
        count = min(count, np.count_nonzero(values > -np.inf))
        if count == 0:
            return dets[:0]
        places = np.flatnonzero(values >= np.partition(values, -count)[-count])
        order = np.lexsort((dets[places], np.isin(dets[places], right), -values[places]))
        return dets[places[order[:count]]]


class Galleries:
    """Makes the :class:`Gallery` of a query; those that queries share are made once."""

    def __init__(
        self,
        detections: Detections,
        all_frames: np.ndarray,
        listed: Sequence[Optional[np.ndarray]],
    ):
        """
        Args:
            all_frames: (I,) bool, the frames of a gallery ``None``.
            listed: the galleries of all queries, as in SearchProtocol.galleries.
        """
        self._offsets = detections.offsets
        self._all_frames = all_frames.astype(np.int64)
        self._outside = rows_of_frames(np.flatnonzero(~all_frames), self._offsets)
        uses = Counter(id(frames) for frames in listed if frames is not None)
        self._shared = {
            id(frames): self._of_list(frames)
            for frames in listed
            if frames is not None and uses[id(frames)] > 1
        }

    def of(
        self, frames: Optional[np.ndarray], own_frame: int, without_own: bool = False
    ) -> Gallery:
        """The gallery of a query in frame ``own_frame``.

        Args:
            frames: as listed, or None for all gallery frames but the query's own.
            without_own: leave the query's own frame out of a list, too.
        """
        if frames is None:
            gallery = Gallery(self._all_frames, None, self._outside)
        else:
            gallery = self._shared.get(id(frames)) or self._of_list(frames)
        if (frames is None or without_own) and gallery.times_listed[own_frame]:
            return self._without(gallery, own_frame)
        return gallery

    def _without(self, gallery: Gallery, frame: int) -> Gallery:
        times_listed = gallery.times_listed.copy()
        times_listed[frame] = 0
        start, end = self._offsets[frame : frame + 2]
        if gallery.dets is None:
            left_out = np.concatenate([gallery.left_out, np.arange(start, end)])
            return Gallery(times_listed, None, left_out)
        dets = gallery.dets
        return Gallery(times_listed, dets[(dets < start) | (dets >= end)], None)

    def _of_list(self, frames: np.ndarray) -> Gallery:
        times_listed = np.bincount(frames, minlength=len(self._all_frames))
        dets = rows_of_frames(np.flatnonzero(times_listed), self._offsets)
        if 2 * len(dets) <= self._offsets[-1]:
            return Gallery(times_listed, dets, None)
        left_out = rows_of_frames(np.flatnonzero(times_listed == 0), self._offsets)
        return Gallery(times_listed, None, left_out)


def rank_query(
    found: Sightings, gallery: Gallery, similarities: Similarities, num_hits: int = 0
) -> QueryResult:
    """Score one query in one gallery.

    Args:
        found: the sightings of the query's person in all frames.
        num_hits: how many detections at the head of the ranking to return.
    """
    times = gallery.times_listed[found.frames]
    true_positives = found.most_similar(similarities.values)
    true_positives[times == 0] = -1
    hit = np.flatnonzero(true_positives >= 0)
    takes_part = similarities.values[true_positives[hit]] > -np.inf
    true_positives[hit[~takes_part]] = -1
    dets = true_positives[hit[takes_part]]
    right = similarities.values[dets]
    at_least = similarities.count_at_least(gallery, right)
    hits = similarities.head(gallery, dets, num_hits) if num_hits else dets[:0]
    num_gt = int(times.sum())
    return QueryResult(
        average_precision(right, at_least, num_gt),
        first_hit_rank(right, at_least),
        num_gt,
        found.gt_rows[times > 0],
        true_positives[times > 0],
        hits,
        similarities.values[hits],
    )
