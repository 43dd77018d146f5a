"""Person-search metrics: average precision and top-k of every query. Arrays in, numbers out.

The published definition, as person-search papers report it:

* A query is compared with every detection of its gallery. In each gallery frame that holds the
  query person, detections are ranked by similarity; the first one whose IoU with the person's
  ground-truth box is at least min(0.5, w h / ((w + 10)(h + 10))) is right, all others are wrong.
* AP = average precision of the whole ranking (scikit-learn's: detections of equal similarity
  share one point of the curve) x right detections / ground-truth boxes in the gallery.
* top-k = a right detection is among the first k.

What the definition leaves open is settled so that no figure depends on the order of frames or
detections: a wrong detection of the same similarity as a right one ranks before it. A frame that
a gallery lists twice is scored once, and its ground truth counts twice.

Why this is fast: the precision at a right detection needs only two counts, so that a query costs
one sort of its similarities and no loop over frames. Letters for shapes: see ``frame_tables.py``;
Q queries of a protocol, U distinct query boxes.
"""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np
import torch

from .frame_tables import Detections, GroundTruth
from .person_matches import PersonMatches

TOP_KS = (1, 5, 10)
# Similarities held at once: enough to keep the matrix product efficient.
SIMILARITY_BYTES = 64 * 2**20


@dataclass(frozen=True)
class SearchProtocol:
    """Who is searched where: Q queries and their galleries."""

    name: str
    query_rows: np.ndarray  # (Q,) row of the query in the query features
    person_ids: np.ndarray  # (Q,) the person searched
    query_frames: np.ndarray  # (Q,) the frame that the query box lies in
    # Q arrays of the frames listed, or None: all gallery frames but the query's own. Queries that
    # share a gallery should share the array: it is then prepared once.
    galleries: Sequence[Optional[np.ndarray]]
    # Leave queries without ground truth in their gallery out of the means; else they count as 0.
    skip_without_ground_truth: bool = False

    def __len__(self) -> int:
        return len(self.query_rows)


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


@dataclass(frozen=True)
class SearchResult:
    """The results of all queries of a protocol."""

    queries: List[QueryResult]
    skip_without_ground_truth: bool = False

    @cached_property
    def counted(self) -> List[QueryResult]:
        """The queries that the means are taken over."""
        return [q for q in self.queries if q.num_gt or not self.skip_without_ground_truth]

    @property
    def num_without_ground_truth(self) -> int:
        return sum(q.num_gt == 0 for q in self.queries)

    def metrics(self) -> Dict[str, float]:
        """mAP and top-k over the counted queries, in percent; 0 when there is none."""
        n = max(len(self.counted), 1)
        ranks = [q.first_hit_rank for q in self.counted if q.first_hit_rank is not None]
        result = {"mAP": 100 * sum(q.ap for q in self.counted) / n}
        result.update({f"top{k}": 100 * sum(r <= k for r in ranks) / n for k in TOP_KS})
        return result


def evaluate_search(
    detections: Detections,
    ground_truth: GroundTruth,
    query_features: np.ndarray,
    protocols: Sequence[SearchProtocol],
    *,
    gallery_frames: Optional[np.ndarray] = None,
    weight_by_score: Sequence[bool] = (False, True),
    num_hits: int = 0,
    device: str = "cpu",
) -> Dict[Tuple[str, bool], SearchResult]:
    """Search every query in its gallery.

    Args:
        detections: of all frames, with features; those under the score threshold already removed.
        ground_truth: the annotated boxes of the same frames.
        query_features: (U, F) float32, L2-normalised.
        gallery_frames: (I,) bool, the frames that belong to a gallery ``None``; default all.
        weight_by_score: without CWS, with it, or both. CWS multiplies a similarity by the score of
            the gallery detection.
        num_hits: how many detections at the head of each ranking to return.
        device: where similarities are computed.

    Returns:
        the result of each (protocol name, weighted by score).
    """
    if gallery_frames is None:
        gallery_frames = np.ones(len(detections.offsets) - 1, dtype=bool)
    ranker = _Ranker(detections, ground_truth, protocols, gallery_frames, num_hits)
    results = {(p.name, cws): [None] * len(p) for p in protocols for cws in weight_by_score}
    queries_of_row = [_queries_by_row(p.query_rows, len(query_features)) for p in protocols]

    def rank_row(row: int, similarities: np.ndarray) -> None:
        for cws in weight_by_score:
            values = similarities * detections.scores if cws else similarities
            for protocol, queries in zip(protocols, queries_of_row):
                for q in queries[row]:
                    results[protocol.name, cws][q] = ranker.rank(protocol, q, values)

    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        for first, block in similarity_blocks(query_features, detections.features, device):
            list(pool.map(rank_row, range(first, first + len(block)), block))
    return {
        (p.name, cws): SearchResult(results[p.name, cws], p.skip_without_ground_truth)
        for p in protocols
        for cws in weight_by_score
    }


def similarity_blocks(
    query_features: np.ndarray, gallery_features: np.ndarray, device: str = "cpu"
) -> Iterator[Tuple[int, np.ndarray]]:
    """Yield (first row, (n, D) float32 similarities); a block is valid until the next one."""
    queries = torch.as_tensor(query_features).to(device)
    gallery = torch.as_tensor(gallery_features).to(device)
    rows = max(1, SIMILARITY_BYTES // (4 * max(len(gallery), 1)))
    buffer = torch.empty((min(rows, len(queries)), len(gallery)), device=device)
    for first in range(0, len(queries), rows):
        chunk = queries[first : first + rows]
        yield first, torch.mm(chunk, gallery.T, out=buffer[: len(chunk)]).cpu().numpy()


def average_precision(right: np.ndarray, ranking: np.ndarray, num_gt: int) -> float:
    """AP of one query.

    Args:
        right: (T,) similarities of the right detections.
        ranking: (N,) similarities of all gallery detections, the right ones included, ascending.
        num_gt: number of ground-truth boxes in the gallery.

    Right detections at ranks 1 and 3, and a person that was not detected: (1/1 + 2/3) / 3.

    >>> round(average_precision(np.array([0.9, 0.5]), np.array([0.1, 0.5, 0.7, 0.9]), 3), 4)
    0.5556
    """
    if len(right) == 0:
        return 0.0
    precision = _count_at_least(np.sort(right), right) / _count_at_least(ranking, right)
    return float(precision.sum() / num_gt)


def first_hit_rank(right: np.ndarray, ranking: np.ndarray) -> Optional[int]:
    """Rank (from 1) of the first right detection; wrong ones of equal similarity come before it.

    Arguments as in :func:`average_precision`; None without a right detection.

    >>> first_hit_rank(np.array([0.7, 0.5]), np.array([0.1, 0.5, 0.7, 0.7, 0.9]))
    3
    """
    if len(right) == 0:
        return None
    best = right.max()
    return int(_count_at_least(ranking, best) - np.count_nonzero(right == best) + 1)


def _count_at_least(ascending: np.ndarray, values: np.ndarray) -> np.ndarray:
    return len(ascending) - np.searchsorted(ascending, values, side="left")


def _queries_by_row(query_rows: np.ndarray, num_rows: int) -> List[List[int]]:
    queries = [[] for _ in range(num_rows)]
    for query, row in enumerate(query_rows):
        queries[row].append(query)
    return queries


class _Ranker:
    """Ranks one query's similarities at a time; safe to call from several threads."""

    def __init__(self, detections, ground_truth, protocols, gallery_frames, num_hits):
        self.detections = detections
        self.matches = PersonMatches(detections, ground_truth)
        self.all_frames = gallery_frames.astype(np.int64)
        self.outside = np.flatnonzero(~gallery_frames[detections.frame_of])
        self.num_hits = num_hits
        galleries = [g for p in protocols for g in p.galleries if g is not None]
        uses = Counter(map(id, galleries))
        self.shared = {id(g): self._list_gallery(g) for g in galleries if uses[id(g)] > 1}

    def _list_gallery(self, gallery: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
        """(I,) how often each frame is listed, (N,) the detections of the gallery."""
        listed = np.bincount(gallery, minlength=len(self.all_frames))
        return listed, np.flatnonzero(listed[self.detections.frame_of])

    def rank(self, protocol: SearchProtocol, query: int, values: np.ndarray) -> QueryResult:
        """Rank the query by ``values`` (D,), its similarity to every detection."""
        gallery, own = protocol.galleries[query], protocol.query_frames[query]
        if gallery is None:
            listed, columns = self.all_frames.copy(), slice(None)
            listed[own] = 0
            values = values.copy()
            values[self.outside] = -np.inf
            values[self.detections.offsets[own] : self.detections.offsets[own + 1]] = -np.inf
        else:
            listed, columns = self.shared.get(id(gallery)) or self._list_gallery(gallery)
        found = self.matches.of(protocol.person_ids[query])
        times = listed[found.frames]
        true_positives = found.first_of_each(values)
        true_positives[times == 0] = -1
        dets = true_positives[true_positives >= 0]
        candidates = values[columns]
        ranking = np.sort(candidates)
        num_gt = int(times.sum())
        hits = self._head(candidates, ranking, columns, dets)
        return QueryResult(
            average_precision(values[dets], ranking, num_gt),
            first_hit_rank(values[dets], ranking),
            num_gt,
            found.gt_rows[times > 0],
            true_positives[times > 0],
            hits,
            values[hits],
        )

    def _head(self, candidates, ranking, columns, right) -> np.ndarray:
        """The first ``num_hits`` detections: by similarity, then wrong before right, then place."""
        count = int(np.isfinite(ranking[-self.num_hits :]).sum()) if self.num_hits else 0
        if count == 0:
            return np.zeros(0, dtype=np.int64)
        places = np.flatnonzero(candidates >= ranking[-count])
        dets = places if isinstance(columns, slice) else columns[places]
        order = np.lexsort((dets, np.isin(dets, right), -candidates[places]))
        return dets[order[:count]]
