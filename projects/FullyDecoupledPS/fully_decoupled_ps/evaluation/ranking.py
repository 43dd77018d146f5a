"""Ranks one query's gallery: average precision, rank of the first hit, the head of the ranking.

The precision at a right detection is (right detections of at least its similarity) / (all of at
least its similarity). So a query costs one sort of its similarities, and no loop over frames.
"""

from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Optional

import numpy as np

from .galleries import Gallery


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
    best = right.argmax()
    return int(at_least[best] - np.count_nonzero(right == right[best]) + 1)


def _count_at_least(ascending: np.ndarray, values: np.ndarray) -> np.ndarray:
    return len(ascending) - ascending.searchsorted(values, side="left")


class SimilarityBlock:
    """Similarities of some queries to all detections, -inf for those that don't take part."""

    def __init__(self, values: np.ndarray, pool: Executor, threads: int):
        self.values = values  # (n, D) float32
        self._pool, self._threads = pool, threads
        self._ascending: Optional[np.ndarray] = None

    def like(self, values: np.ndarray) -> "SimilarityBlock":
        return SimilarityBlock(values, self._pool, self._threads)

    def count_at_least(self, row: int, gallery: Gallery, thresholds: np.ndarray) -> np.ndarray:
        """(T,) -> (T,): how many of the gallery's detections are at least that similar."""
        if gallery.dets is not None:
            return self._count(row, gallery.dets, thresholds)
        counts = _count_at_least(self._sorted()[row], thresholds)
        for dets in gallery.left_out:
            counts -= self._count(row, dets, thresholds)
        return counts

    def _count(self, row: int, dets: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
        values = self.values[row, dets]
        if len(values) * len(thresholds) <= 256:  # cheaper than to sort them
            return (values[:, None] >= thresholds).sum(axis=0)
        values.sort()
        return _count_at_least(values, thresholds)

    def _sorted(self) -> np.ndarray:
        """(n, D), every row ascending; made once, by all threads."""
        if self._ascending is None:
            self._ascending = self.values.copy()
            parts = np.array_split(self._ascending, self._threads)
            list(self._pool.map(lambda part: part.sort(axis=1), parts))
        return self._ascending

    def head(self, row: int, gallery: Gallery, right: np.ndarray, count: int) -> np.ndarray:
        """The first detections: by similarity, then wrong before right, then by place."""
        if count == 0:
            return np.zeros(0, dtype=np.int64)
        if gallery.dets is None:
            values = self.values[row].copy()
            for dets in gallery.left_out:
                values[dets] = -np.inf
        else:
            values = self.values[row, gallery.dets]
        count = min(count, np.count_nonzero(values > -np.inf))
        if count == 0:
            return np.zeros(0, dtype=np.int64)
        places = np.flatnonzero(values >= np.partition(values, -count)[-count])
        dets = places if gallery.dets is None else gallery.dets[places]
        order = np.lexsort((dets, np.isin(dets, right), -values[places]))
        return dets[order[:count]]
