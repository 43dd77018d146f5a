"""Hits as rows of a table, and as the records that pages and montages are drawn from."""

import csv
import io
from collections.abc import Callable, Sequence

from fully_decoupled_ps.utils.names import printable

from ..errors import UserError
from ..index import Hit
from ..media.frames import read_frame
from ..media.times import format_time
from .query import PersonQuery, Query

COLUMNS = ("rank", "similarity", "person", "score", "camera", "time", "frame", "box")


def hit_rows(hits: list[Hit]) -> tuple[tuple[str, ...], list[list]]:
    """The columns, and a row for each hit, of JSON's types."""
    rows = []
    for hit in hits:
        person, frame = hit.person, hit.person.frame
        rows.append(
            [
                *(hit.rank, round(hit.similarity, 4), person.person_id, round(person.score, 4)),
                *(frame.camera, format_time(frame.time), frame.name),
                [round(value, 1) for value in person.box],
            ]
        )
    return COLUMNS, rows


def json_content(
    index: str, queries: Sequence[Query], hits: Sequence[Hit], left_out: Sequence[int]
) -> dict:
    """A search as JSON has it.

    Args:
        index: where it is.
        queries: of one person.
        hits: the most similar first.
        left_out: ids of persons of the index that are the query itself, and not among the hits.
    """
    columns, rows = hit_rows(hits)
    return {
        "index": index,
        "queries": [{"image": q.name, "box": [round(v, 1) for v in q.box]} for q in queries],
        "left_out": list(left_out),
        "hits": [dict(zip(columns, row)) for row in rows],
    }


def text_rows(hits: list[Hit]) -> tuple[tuple[str, ...], list[list]]:
    """:func:`hit_rows` for people: one value per cell, names as they can be shown."""
    columns, rows = hit_rows(hits)
    return columns, [[_cell(value) for value in row] for row in rows]


def csv_text(hits: list[Hit]) -> str:
    """The rows of :func:`text_rows` as CSV, below their columns."""
    columns, rows = text_rows(hits)
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([columns, *rows])
    return text.getvalue()


def _cell(value):
    if isinstance(value, list):
        return ",".join(map(str, value))
    return printable(value) if isinstance(value, str) else value


def picture_records(
    queries: list[Query], hits: list[Hit]
) -> tuple[list[dict], list[dict], Callable]:
    """What :mod:`..utils.search_pages` draws: records of queries and hits, and pictures by name."""
    shown = [_query_record(query) for query in queries]
    records = []
    for hit in hits:
        person, frame = hit.person, hit.person.frame
        records.append(
            {
                **{"file_name": frame.name, "image_id": printable(frame.title)},
                **{"rank": hit.rank, "similarity": hit.similarity, "bbox": person.box},
                **{"score": person.score, "camera_id": printable(frame.camera)},
                **{"person_id": person.person_id, "time": format_time(frame.time)},
                "weak": hit.is_weak,
            }
        )
    return shown, records, _Pictures(queries, hits)


def _query_record(query: Query) -> dict:
    frame = query.person.frame if isinstance(query, PersonQuery) else None
    return {
        **{"file_name": query.name, "image_id": printable(query.title), "bbox": query.box},
        "camera_id": frame and printable(frame.camera),
        "time": frame and format_time(frame.time),
    }


class _Pictures:
    """Calls return the picture of a record's ``file_name``, RGB, or None if it is gone."""

    def __init__(self, queries: list[Query], hits: list[Hit]):
        self._images = {q.name: q.image for q in queries if q.image is not None}
        self._frames = {hit.person.frame.name: hit.person.frame for hit in hits}
        self._frames |= {q.name: q.person.frame for q in queries if isinstance(q, PersonQuery)}

    def __call__(self, name: str):
        if name in self._images:
            return self._images[name]
        frame = self._frames.get(name)
        if frame is None:  # a visitor's own picture that is not kept any more
            return None
        try:
            return read_frame(frame.path, frame.pts, frame.checksum)
        except UserError:
            return None
