"""Hits as rows of a table, and as the records that pages and montages are drawn from."""

from pathlib import Path
from typing import Callable

from ..errors import UserError
from ..index import Hit
from .files import format_time
from .frames import read_frame
from .query import PersonQuery, Query, read_named_frame

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
                **{"file_name": frame.name, "image_id": Path(frame.name).name},
                **{"rank": hit.rank, "similarity": hit.similarity, "bbox": person.box},
                **{"score": person.score, "camera_id": frame.camera},
                **{"person_id": person.person_id, "time": format_time(frame.time)},
                "weak": hit.is_weak,
            }
        )
    return shown, records, _Pictures(queries, hits)


def _query_record(query: Query) -> dict:
    frame = query.person.frame if isinstance(query, PersonQuery) else None
    return {
        **{"file_name": query.name, "image_id": Path(query.name).name, "bbox": query.box},
        "camera_id": frame and frame.camera,
        "time": frame and format_time(frame.time),
    }


class _Pictures:
    """Calls return the picture of a record's ``file_name``, RGB, or None if it is gone."""

    def __init__(self, queries: list[Query], hits: list[Hit]):
        self._images = {q.name: q.image for q in queries if q.image is not None}
        self._frames = {hit.person.frame.name: hit.person.frame for hit in hits}

    def __call__(self, name: str):
        if name in self._images:
            return self._images[name]
        try:
            if name in self._frames:
                return read_frame(self._frames[name].path, self._frames[name].number)
            return read_named_frame(name)
        except UserError:
            return None
