"""CBGM, context bipartite graph matching: people around the query help to find it.

From SeqNet (Li and Miao, AAAI 2021); not in the paper. As its published code does it, step by step:

1. The frames of the k1 most similar detections in the gallery are looked at again.
2. The query, and the k2 - 1 other people of its frame with the highest detection scores, are
   matched one to one with the people of such a frame, so that the sum of similarities is highest
   (Kuhn-Munkres). The smaller of the two groups is matched completely.
3. The detection matched with the query gets the largest single similarity of the whole matching
   as its own, be it the query's or that of two other people. It is not the sum. If the query has no
   partner, as there are fewer people in the gallery frame, nothing changes; nor does the similarity
   of any other detection.
4. The gallery is ranked and scored with these similarities like any other.

For example, the query resembles a by 0.7 and the companion of both frames resembles itself by 0.9:
a gets 0.9, and comes before a look-alike of 0.8 that nobody known accompanies.

With CWS all similarities, those of the other people too, are multiplied by the gallery detection's
score, and by no score of the query's frame.
"""

import numpy as np
from scipy.optimize import linear_sum_assignment

from .frame_tables import Detections, pair_iou

# A detection of the query's frame that overlaps the query box more is the query itself. SeqNet adds
# the query box to the frame's detections and suppresses what overlaps it by more than this.
SAME_PERSON_IOU = 0.5


class ContextMatcher:
    """Revises the similarities of one query at a time."""

    def __init__(self, detections: Detections, k1: int, k2: int):
        """
        Args:
            detections: of all frames, with features.
            k1: how many of the most similar gallery detections name the frames to look at.
            k2: how many people of the query's frame take part, the query included.
        """
        self.detections = detections
        self.k1, self.k2 = k1, k2

    def revise(
        self,
        values: np.ndarray,
        top: np.ndarray,
        query_box: np.ndarray,
        query_frame: int,
        weights: np.ndarray | None = None,
    ) -> None:
        """
        Args:
            values: (D,) the query's similarities, which are changed; -inf where a detection takes
                no part.
            top: (k1,) the most similar detections of the gallery.
            query_box: (4,) where the query is in its frame.
            weights: (D,) what the similarities were multiplied by (CWS); those of the context are
                multiplied by the same.
        """
        features, offsets = self.detections.features, self.detections.offsets
        context = features[self._context(query_box, query_frame, values)]
        for frame in np.unique(self.detections.frame_of[top]):
            dets = np.arange(offsets[frame], offsets[frame + 1])
            dets = dets[values[dets] > -np.inf]
            around = context @ features[dets].T
            if weights is not None:
                around *= weights[dets]
            graph = np.concatenate([values[dets][None], around])
            people, matched = linear_sum_assignment(graph, maximize=True)
            if people[0] == 0:  # else there are fewer people in the frame, and none for the query
                values[dets[matched[0]]] = graph[people, matched].max()

    def _context(self, box: np.ndarray, frame: int, values: np.ndarray) -> np.ndarray:
        """The k2 - 1 highest-scoring detections of the query's frame that are not the query."""
        start, end = self.detections.offsets[frame : frame + 2]
        iou = pair_iou(box[None], self.detections.boxes[start:end])
        others = start + np.flatnonzero((iou <= SAME_PERSON_IOU) & (values[start:end] > -np.inf))
        order = np.argsort(-self.detections.scores[others], kind="stable")
        return others[order[: self.k2 - 1]]
