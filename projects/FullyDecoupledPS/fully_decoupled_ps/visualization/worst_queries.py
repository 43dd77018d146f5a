"""The queries of the lowest average precision, each beside its first hits."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..data.images import read_image
from ..errors import UserError
from .frame_boxes import MARGIN, PAPER, text_line
from .query_cards import first_hit, place
from .visualizer import ranked_montage

COUNT = 8
HITS = 10


def worst_queries(queries: Sequence[dict[str, Any]], count: int = COUNT) -> list[dict[str, Any]]:
    """The `count` of lowest AP, lowest first, of those with a person to find."""
    return sorted((q for q in queries if q["num_gt"]), key=lambda q: q["ap"])[:count]


def draw_worst_queries(
    queries: Sequence[dict[str, Any]],
    title: str,
    *,
    count: int = COUNT,
    hits: int = HITS,
    read: Callable[[str], np.ndarray] = read_image,
) -> np.ndarray:
    """(H, W, 3) uint8 RGB: one row per query, its picture and its first hits.

    Hits are green with a tick if right, red with a cross if wrong, dashed where the person really
    stands. `queries` are records of a `queries_<protocol>.json`; `read` returns the RGB frame of a
    `file_name`. Raises UserError if there is no query, or a picture can't be read.
    """
    worst = worst_queries(queries, count)
    if not worst:
        raise UserError(
            "no query has a person to find in its gallery, so there are no worst queries"
        )
    rows = [ranked_montage(q, q["hits"][:hits], read=read) for q in worst]
    width = max(max(row.shape[1] for row in rows), 640) + 2 * MARGIN
    parts = [text_line(title, width, 0.6)]
    for query, row in zip(worst, rows):
        parts.append(text_line("  " + _caption(query), width, 0.5))
        band = np.full((row.shape[0] + MARGIN, width, 3), PAPER, np.uint8)
        band[: row.shape[0], MARGIN : MARGIN + row.shape[1]] = row
        parts.append(band)
    return np.concatenate(parts)


def _caption(query: dict[str, Any]) -> str:
    return (
        f"query {query['query_id']}, person {query['person_id']}, {place(query)}: "
        f"AP {100 * query['ap']:.1f}, {first_hit(query)}, {query['num_tp']} of {query['num_gt']} "
        "detected"
    )
