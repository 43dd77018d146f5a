"""Ranks one query's gallery: average precision, rank of the first hit, the head of the ranking.

The precision at a right detection is (right detections of at least its similarity) / (all of at
least its similarity). So each query needs one sort of its similarities and no loop over frames.
"""

from dataclasses import dataclass

import numpy as np

from .galleries import Gallery, Rows


@dataclass(frozen=True)
class QueryResult:
    """The result of one query."""

    ap: float  # in [0, 1]
    first_hit_rank: int | None  # from 1; None without a right detection
    num_gt: int
    gt_rows: np.ndarray  # (n,) ground-truth boxes in the gallery; a frame listed twice once
    true_positives: np.ndarray  # (n,) the right detection of each, -1 where there is none
    hits: np.ndarray  # (h,) the detections at the head of the ranking
    hit_similarities: np.ndarray  # (h,)

    @property
    def num_tp(self) -> int:
        return int((self.true_positives >= 0).sum())


def score_rankings(
    offsets: np.ndarray, right: np.ndarray, at_least: np.ndarray, num_gt: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """AP and rank of the first hit of Q queries.

    Args:
        offsets: (Q + 1,) rows offsets[q]:offsets[q + 1] are the right detections of query q.
        right: (T,) their similarities.
        at_least: (T,) how many gallery detections, right or wrong, have at least that
            similarity.
        num_gt: (Q,) number of ground-truth boxes in the gallery.

    Returns:
        (Q,) AP in [0, 1] and (Q,) rank of the first right detection, from 1, behind the wrong ones
        of equal similarity; both 0 without a right detection.

    Right detections at ranks 1 and 3, and a person that was not detected: (1/1 + 2/3) / 3.

    >>> score_rankings(
    ...     np.array([0, 2]), np.array([0.9, 0.5]), np.array([1, 3]), np.array([3])
    ... )
    (array([0.55555556]), array([1]))
    """
    num_queries = len(offsets) - 1
    queries = np.repeat(np.arange(num_queries), np.diff(offsets))
    order = np.lexsort((-right, queries))  # queries stay in place
    right, at_least = right[order], at_least[order]
    # Right ones of at least that similarity: the place, and for equal ones that of the last.
    place = np.arange(1, len(right) + 1) - offsets[queries]
    run_ends = np.append((np.diff(queries) != 0) | (np.diff(right) != 0), True)[: len(right)]
    runs = np.cumsum(run_ends) - run_ends
    place = place[run_ends][runs]
    summed = np.bincount(queries, weights=place / at_least, minlength=num_queries)
    first_hits = np.zeros(num_queries, dtype=np.int64)
    found = np.flatnonzero(np.diff(offsets))
    first = offsets[found]
    first_hits[found] = at_least[first] - place[first] + 1
    return summed / np.maximum(num_gt, 1), first_hits


def _count_at_least(ascending: np.ndarray, values: np.ndarray) -> np.ndarray:
    return len(ascending) - ascending.searchsorted(values, side="left")


class SimilarityBlock:
    """Similarities of some queries to all detections, -inf for those that don't take part."""

    def __init__(self, values: np.ndarray, sort: bool):
        """
        Args:
            values: (n, D) float32.
            sort: whether there will be a gallery of all detections but a few.
        """
        self.values = values
        self._ascending = np.sort(values, axis=1) if sort else None

    def count_at_least(self, row: int, gallery: Gallery, thresholds: np.ndarray) -> np.ndarray:
        """(T,) -> (T,): how many of the gallery's detections are at least that similar."""
        if gallery.dets is not None:
            return self._count(row, gallery.dets, thresholds)
        counts = _count_at_least(self._ascending[row], thresholds)
        for dets in gallery.left_out:
            counts -= self._count(row, dets, thresholds)
        return counts

    def _count(self, row: int, dets: Rows, thresholds: np.ndarray) -> np.ndarray:
        values = self.values[row, dets]
        if len(values) * len(thresholds) <= 256:  # cheaper than to sort them
            return (values[:, None] >= thresholds).sum(axis=0)
        return _count_at_least(np.sort(values), thresholds)

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
