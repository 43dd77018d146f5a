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

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from .frame_tables import Detections, GroundTruth
from .galleries import Galleries, needed_frames
from .person_matches import PersonMatches
from .ranking import QueryResult
from .search_plan import ProtocolPlan, SearchProtocol, SearchVariant, VariantPlan
from .similarity import similarity_blocks

TOP_KS = (1, 5, 10)
METRICS = ("mAP", *(f"top{k}" for k in TOP_KS))
# Similarities ranked at once: few enough for copies of them to stay in the processor's cache.
PART_BYTES = 8 * 2**20
# How many such parts are sorted in the background.
PARTS_AHEAD = 3


@dataclass(frozen=True)
class SearchResult:
    """The results of all queries of a protocol."""

    queries: list[QueryResult]
    skip_without_ground_truth: bool = False

    @cached_property
    def counted(self) -> list[QueryResult]:
        """The queries that the means are taken over."""
        return [q for q in self.queries if q.num_gt or not self.skip_without_ground_truth]

    @property
    def num_without_ground_truth(self) -> int:
        return sum(q.num_gt == 0 for q in self.queries)

    def metrics(self) -> dict[str, float]:
        """``METRICS`` over the counted queries, in percent; an empty dict if there is none."""
        n = len(self.counted)
        if n == 0:
            return {}
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
    gallery_frames: np.ndarray | None = None,
    device: str = "cpu",
) -> dict[tuple[str, SearchVariant], SearchResult]:
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
    listed = [gallery for p in protocols for gallery in p.galleries]
    galleries = Galleries(detections.offsets, gallery_frames, listed)
    matches = PersonMatches(detections, ground_truth)
    plans = [ProtocolPlan(p, matches, galleries) for p in protocols]
    variants = [VariantPlan(v, detections) for v in dict.fromkeys(variants)]
    rows = np.concatenate([p.query_rows for p in protocols])
    needed = needed_frames(listed, rows, len(query_features))
    blocks = similarity_blocks(
        query_features, detections.features, detections.offsets, needed, device
    )
    results = {(p.name, v.variant): [None] * len(p) for p in protocols for v in variants}
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        for first, values in blocks:
            for plan, query, variant, result in _rank(first, values, plans, variants, pool):
                results[plan.protocol.name, variant][query] = result
    return {
        (p.name, v.variant): SearchResult(results[p.name, v.variant], p.skip_without_ground_truth)
        for p in protocols
        for v in variants
    }


def _rank(first: int, values: np.ndarray, plans, variants, pool: Executor):
    """Rank a block of query rows in parts; while one is ranked, the next ones are being sorted."""
    rows = max(1, PART_BYTES // (4 * max(values.shape[1], 1)))
    sorts = any(plan.sorts for plan in plans)
    waiting = deque()
    jobs = [(start, v) for start in range(0, len(values), rows) for v in variants]
    for start, v in [*jobs, *[(None, None)] * PARTS_AHEAD]:
        if v:
            part = values[start : start + rows]
            waiting.append((first + start, v, pool.submit(v.block, part, sorts)))
        if len(waiting) > PARTS_AHEAD or (waiting and not v):
            start, v, block = waiting.popleft()
            for plan in plans:
                for query, result in plan.rank(start, block.result(), v):
                    yield plan, query, v.variant, result
