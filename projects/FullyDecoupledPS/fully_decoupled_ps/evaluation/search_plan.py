"""What a search consists of: protocols and variants, and what is precomputed for each."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .context_matching import ContextMatcher
from .frame_tables import Detections
from .galleries import Galleries, Gallery
from .person_matches import PersonMatches
from .ranking import QueryResult, SimilarityBlock, score_rankings


@dataclass(frozen=True)
class SearchProtocol:
    """Who is searched where: Q queries and their galleries."""

    name: str
    query_rows: np.ndarray  # (Q,) row of the query in the query features
    person_ids: np.ndarray  # (Q,) the person searched
    query_frames: np.ndarray  # (Q,) the frame that the query box lies in
    # Q arrays of the frames listed, or None: all gallery frames but the query's own. Queries that
    # share a gallery should share the array: it is then prepared once.
    galleries: Sequence[np.ndarray | None]
    # Leave queries without ground truth in their gallery out of the means; else they count as 0.
    skip_without_ground_truth: bool = False
    # Leave the query's own frame out of galleries that list it.
    without_own_frame: bool = False
    query_boxes: np.ndarray | None = None  # (Q, 4), for context matching

    def __len__(self) -> int:
        return len(self.query_rows)


class SearchVariant(NamedTuple):
    """What is varied under one protocol."""

    # Class weighted similarity (CWS): a similarity is multiplied by the gallery detection's score.
    weight_by_score: bool = False
    # Gallery detections of a lower score are ignored.
    score_thresh: float = 0.0
    # (k1, k2) of context matching (CBGM), see context_matching.py.
    context: tuple[int, int] | None = None
    # How many detections at the head of each ranking to return.
    num_hits: int = 0


class VariantPlan:
    """Turns similarities into those of a variant."""

    def __init__(self, variant: SearchVariant, detections: Detections):
        self.variant = variant
        self.weights = detections.scores if variant.weight_by_score else None
        self.left_out = np.flatnonzero(detections.scores < variant.score_thresh)
        self.matcher = ContextMatcher(detections, *variant.context) if variant.context else None

    def block(self, values: np.ndarray, sort: bool) -> SimilarityBlock:
        """(n, D) similarities -> those of the variant, and sorted where that is needed."""
        if self.weights is not None:
            values = values * self.weights
        elif len(self.left_out):
            values = values.copy()
        values[:, self.left_out] = -np.inf
        return SimilarityBlock(values, sort)


class ProtocolPlan:
    """Everything about a protocol's queries that does not depend on the similarities."""

    def __init__(self, protocol: SearchProtocol, matches: PersonMatches, galleries: Galleries):
        self.protocol = protocol
        # Queries in the order of their rows, so that a block of rows is a run of queries.
        self.order = np.argsort(protocol.query_rows, kind="stable")
        self.rows = protocol.query_rows[self.order]
        found = matches.of(protocol.person_ids[self.order])
        times: list[np.ndarray] = [np.zeros(0, dtype=np.int64)]
        self.galleries: list[Gallery] = []
        for i, query in enumerate(self.order.tolist()):
            times_listed, gallery = galleries.of(
                protocol.galleries[query],
                protocol.query_frames[query],
                protocol.without_own_frame,
                found.frames[found.offsets[i] : found.offsets[i + 1]],
            )
            times.append(times_listed)
            self.galleries.append(gallery)
        listed = np.concatenate(times)
        # (Q,) ground-truth boxes in the gallery, those of a frame listed twice counted twice.
        self.num_gt = np.bincount(found.queries, weights=listed, minlength=len(protocol))
        self.sightings = found.keep(listed > 0)
        # Whether a query's similarities to all detections must be sorted.
        self.sorts = any(gallery.dets is None for gallery in self.galleries)

    def rank(
        self, first_row: int, block: SimilarityBlock, plan: VariantPlan
    ) -> Iterator[tuple[int, QueryResult]]:
        """Score the queries whose rows are in the block, which begins with ``first_row``.

        Yields:
            (number of the query, result).
        """
        num_rows = len(block.values)
        first, last = np.searchsorted(self.rows, [first_row, first_row + num_rows])
        rows = self.rows[first:last] - first_row
        if plan.matcher:
            block = self._revise(first, rows, block, plan)
            rows = np.arange(last - first)
        found = self.sightings.between(first, last)
        candidate_rows = rows[found.queries[found.candidate_sightings]]
        right_dets = found.most_similar(block.values[candidate_rows, found.candidates])
        # (T,) for the sightings with a right detection.
        hit = np.flatnonzero(right_dets >= 0)
        right = block.values[rows[found.queries[hit]], right_dets[hit]]
        offsets = np.searchsorted(hit, found.offsets)
        galleries = self.galleries[first:last]
        at_least = np.empty(len(right), dtype=np.int64)
        for row, gallery, start, end in zip(rows, galleries, offsets, offsets[1:]):
            if end > start:
                at_least[start:end] = block.count_at_least(row, gallery, right[start:end])
        ap, first_hit = score_rankings(offsets, right, at_least, self.num_gt[first:last])
        for i, (row, gallery) in enumerate(zip(rows, galleries)):
            mine = slice(found.offsets[i], found.offsets[i + 1])
            hits = block.head(row, gallery, right_dets[mine], plan.variant.num_hits)
            result = QueryResult(
                float(ap[i]),
                int(first_hit[i]) or None,
                int(self.num_gt[first + i]),
                found.gt_rows[mine],
                right_dets[mine],
                hits,
                block.values[row, hits],
            )
            yield int(self.order[first + i]), result

    def _revise(self, first, rows, block: SimilarityBlock, plan: VariantPlan) -> SimilarityBlock:
        """Context matching; it depends on the gallery, so each query gets its own row."""
        values = block.values[rows]
        for i, row in enumerate(rows):
            query = self.order[first + i]
            gallery = self.galleries[first + i]
            plan.matcher.revise(
                values[i],
                block.head(row, gallery, np.zeros(0, dtype=np.int64), plan.matcher.k1),
                self.protocol.query_boxes[query],
                self.protocol.query_frames[query],
                plan.weights,
            )
        return SimilarityBlock(values, self.sorts)
