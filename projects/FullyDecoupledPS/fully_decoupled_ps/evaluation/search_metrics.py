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

Letters for shapes: see ``frame_tables.py``; Q queries of a protocol, U distinct query boxes.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import torch

from .context_matching import ContextMatcher
from .frame_tables import Detections, GroundTruth
from .person_matches import PersonMatches
from .ranking import Galleries, QueryResult, Similarities, rank_query
from .similarity import similarity_blocks

TOP_KS = (1, 5, 10)


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
    # Leave the query's own frame out of galleries that list it.
    without_own_frame: bool = False
    query_boxes: Optional[np.ndarray] = None  # (Q, 4), for context matching

    def __len__(self) -> int:
        return len(self.query_rows)


class SearchVariant(NamedTuple):
    """What is varied under one protocol."""

    # Class weighted similarity (CWS): a similarity is multiplied by the gallery detection's score.
    weight_by_score: bool = False
    # Gallery detections of a lower score take no part.
    score_thresh: float = 0.0
    # (k1, k2) of context matching (CBGM), see context_matching.py.
    context: Optional[Tuple[int, int]] = None
    # How many detections at the head of each ranking to return.
    num_hits: int = 0


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
    variants: Sequence[SearchVariant] = (SearchVariant(),),
    *,
    gallery_frames: Optional[np.ndarray] = None,
    device: str = "cpu",
) -> Dict[Tuple[str, SearchVariant], SearchResult]:
    """Search every query in its gallery, under all protocols and variants in one pass.

    Args:
        detections: of all I frames, with features.
        ground_truth: the annotated boxes of the same frames.
        query_features: (U, F) float32, L2-normalised.
        gallery_frames: (I,) bool, the frames that belong to a gallery ``None``; default all.
        device: where similarities are computed.

    Returns:
        the result of each (protocol name, variant).
    """
    if not protocols or not variants:
        return {}
    if gallery_frames is None:
        gallery_frames = np.ones(len(detections.offsets) - 1, dtype=bool)
    search = _Search(detections, ground_truth, gallery_frames, protocols, variants)
    blocks = similarity_blocks(
        query_features,
        detections.features,
        detections.offsets,
        _needed_frames(protocols, len(query_features)),
        device,
    )
    threads = torch.get_num_threads()
    with ThreadPoolExecutor(threads) as pool:
        for first, block in blocks:
            parts = np.array_split(block, threads)
            starts = first + np.cumsum([0] + [len(part) for part in parts])
            list(pool.map(search.rank_rows, starts, parts))
    return {
        (p.name, v): SearchResult(search.results[p.name, v], p.skip_without_ground_truth)
        for p in protocols
        for v in variants
    }


def _needed_frames(protocols: Sequence[SearchProtocol], rows: int) -> Optional[List[np.ndarray]]:
    """The frames that each query row is compared with; None if some row needs all of them."""
    if any(frames is None for p in protocols for frames in p.galleries):
        return None
    listed: List[List[np.ndarray]] = [[] for _ in range(rows)]
    for p in protocols:
        for row, frames in zip(p.query_rows, p.galleries):
            listed[row].append(frames)
    empty = np.zeros(0, dtype=np.int64)
    return [np.unique(np.concatenate([empty, *arrays])) for arrays in listed]


class _Search:
    """Ranks rows of similarities; safe to call from several threads."""

    def __init__(self, detections, ground_truth, gallery_frames, protocols, variants):
        self.scores = detections.scores
        self.matches = PersonMatches(detections, ground_truth)
        listed = [frames for p in protocols for frames in p.galleries]
        self.galleries = Galleries(detections, gallery_frames, listed)
        self.variants = variants
        self.low_scores = {
            v.score_thresh: np.flatnonzero(detections.scores < v.score_thresh) for v in variants
        }
        self.matchers = {
            v.context: ContextMatcher(detections, *v.context) for v in variants if v.context
        }
        self.results = {(p.name, v): [None] * len(p) for p in protocols for v in variants}
        rows = 1 + max((p.query_rows.max(initial=-1) for p in protocols), default=-1)
        self.queries_of_row: List[List[Tuple[SearchProtocol, int]]] = [[] for _ in range(rows)]
        for p in protocols:
            for query, row in enumerate(p.query_rows):
                self.queries_of_row[row].append((p, query))

    def rank_rows(self, first: int, block: np.ndarray) -> None:
        """``block`` (n, D) are the similarities of the query rows from ``first`` on."""
        for row, values in enumerate(block, first):
            if row >= len(self.queries_of_row) or not self.queries_of_row[row]:
                continue
            varied = [(v, self._vary(v, values)) for v in self.variants]
            for protocol, query in self.queries_of_row[row]:
                found = self.matches.of(protocol.person_ids[query])
                own_frame = protocol.query_frames[query]
                gallery = self.galleries.of(
                    protocol.galleries[query], own_frame, protocol.without_own_frame
                )
                for variant, similarities in varied:
                    if variant.context:
                        similarities = self.matchers[variant.context].revise(
                            similarities,
                            gallery,
                            protocol.query_boxes[query],
                            own_frame,
                            self._weights(variant),
                        )
                    self.results[protocol.name, variant][query] = rank_query(
                        found, gallery, similarities, variant.num_hits
                    )

    def _weights(self, variant: SearchVariant) -> np.ndarray:
        return self.scores if variant.weight_by_score else np.ones_like(self.scores)

    def _vary(self, variant: SearchVariant, values: np.ndarray) -> Similarities:
        values = values * self.scores if variant.weight_by_score else values
        low = self.low_scores[variant.score_thresh]
        if len(low):
            values = values.copy()
            values[low] = -np.inf
        return Similarities(values)
