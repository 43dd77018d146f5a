"""The pictures of one search, as a file: a montage, or a page that is complete in itself."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fully_decoupled_ps.utils.names import printable
from fully_decoupled_ps.visualization import visualizer
from fully_decoupled_ps.visualization.html_templates import template_environment
from fully_decoupled_ps.visualization.visualizer import Record, picture

from ..errors import UserError
from ..index import WEAK_SIMILARITY, Hit
from ..media.frames import read_frame
from ..media.times import format_time
from .query import PersonQuery, Query

WEAK_LEGEND = f"Pale: weak hits, with a similarity below {WEAK_SIMILARITY}."
TEMPLATES = Path(__file__).parent / "templates"
# Tiles in a row of a montage.
COLUMNS = 10


def make_montage(queries: Sequence[Query], hits: Sequence[Hit], extension: str = ".png") -> bytes:
    """The queries, then the hits, in rows; as a file of type ``extension``, .png or .jpg."""
    montage = visualizer.ranked_montage(
        [_query_record(query) for query in queries],
        [_hit_record(hit) for hit in hits],
        read=_FrameReader(queries, hits),
        columns=COLUMNS,
        legend=_legend(hits),
    )
    return visualizer.encode_image(montage, extension, 90)


def make_page(index: str, queries: Sequence[Query], hits: Sequence[Hit]) -> bytes:
    """An HTML page with the queries and, the best first, the hits.

    Args:
        index: what was searched, to be named.
        queries: of one person.
        hits: the most similar first.
    """
    frames = _FrameReader(queries, hits)
    page = template_environment(TEMPLATES).get_template("search.html")
    return page.render(
        index=index,
        queries=[_query_card(_query_record(query), frames) for query in queries],
        hits=[_hit_card(_hit_record(hit), frames) for hit in hits],
        weak_legend=_legend(hits),
    ).encode()


def _legend(hits: Sequence[Hit]) -> str:
    return WEAK_LEGEND if any(hit.is_weak for hit in hits) else ""


def _query_record(query: Query) -> Record:
    frame = query.person.frame if isinstance(query, PersonQuery) else None
    return {
        **{"file_name": query.name, "image_id": printable(query.title), "bbox": query.box},
        "camera_id": frame and printable(frame.camera),
        "time": frame and format_time(frame.time),
    }


def _hit_record(hit: Hit) -> Record:
    person, frame = hit.person, hit.person.frame
    return {
        **{"file_name": frame.name, "image_id": printable(frame.title)},
        **{"rank": hit.rank, "similarity": hit.similarity, "bbox": person.box},
        **{"score": person.score, "camera_id": printable(frame.camera)},
        **{"person_id": person.person_id, "time": format_time(frame.time)},
        "weak": hit.is_weak,
    }


def _query_card(query: Record, frames: "_FrameReader") -> dict[str, Any]:
    drawn = visualizer.draw_query(frames(query["file_name"]), query)
    return {"record": query, "picture": picture(drawn, f"{query['image_id']}: the person searched")}


def _hit_card(hit: Record, frames: "_FrameReader") -> dict[str, Any]:
    frame = frames(hit["file_name"])
    place = f"hit {hit['rank']}, {hit['image_id']}"
    return {
        "record": hit,
        "is_gone": hit["file_name"] in frames.gone,
        "picture": picture(visualizer.draw_hit(frame, hit), place),
        "frame": picture(visualizer.draw_frame(frame, hit), f"{place}: the whole frame"),
    }


class _FrameReader:
    """Calls return the picture of a record's ``file_name``, RGB; one that is gone is grey.

    One at a time is in memory.
    """

    def __init__(self, queries: Sequence[Query], hits: Sequence[Hit]):
        self.gone: set[str] = set()
        self._queries = {query.name: query for query in queries}
        self._frames = {hit.person.frame.name: hit.person.frame for hit in hits}
        self._frames |= {q.name: q.person.frame for q in queries if isinstance(q, PersonQuery)}

    def __call__(self, name: str) -> np.ndarray:
        query, frame = self._queries.get(name), self._frames.get(name)
        if query is not None and query.image is not None:
            return query.image
        if frame is not None:
            size = frame.height, frame.width
            try:
                return read_frame(frame.path, frame.pts, frame.checksum)
            except UserError:
                pass
        else:  # a visitor's own picture that is not kept any more: as large as its box reaches
            size = math.ceil(query.box[3]), math.ceil(query.box[2])
        self.gone.add(name)
        return np.full((*size, 3), visualizer.PADDING_COLOR, np.uint8)
