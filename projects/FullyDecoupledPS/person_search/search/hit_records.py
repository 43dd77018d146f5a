"""Hits as rows of a table, as CSV and as JSON."""

import csv
import io
import json
from collections.abc import Sequence

from fully_decoupled_ps.utils.names import printable

from ..index import Hit
from ..media.times import format_time
from .query import Query

COLUMNS = ("rank", "similarity", "person", "score", "camera", "time", "frame", "box")


def _rows(hits: Sequence[Hit]) -> list[list]:
    """A row of JSON's types for each hit."""
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
    return rows


def json_text(
    index: str, queries: Sequence[Query], hits: Sequence[Hit], left_out: Sequence[int]
) -> str:
    """A search as JSON.

    Args:
        index: where it is.
        queries: of one person.
        hits: the most similar first.
        left_out: ids of persons of the index that are the query itself, and not among the hits.
    """
    content = {
        "index": index,
        "queries": [{"image": q.name, "box": [round(v, 1) for v in q.box]} for q in queries],
        "left_out": list(left_out),
        "hits": [dict(zip(COLUMNS, row)) for row in _rows(hits)],
    }
    return json.dumps(content, indent=2)


def text_rows(hits: Sequence[Hit]) -> list[list]:
    """For people and their tables: one value per cell, names as they can be shown."""
    return [[_cell(value) for value in row] for row in _rows(hits)]


def csv_text(hits: Sequence[Hit]) -> str:
    """:func:`text_rows` as CSV, with a line of column names."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([COLUMNS, *text_rows(hits)])
    return text.getvalue()


def _cell(value):
    if isinstance(value, list):
        return ",".join(map(str, value))
    return printable(value) if isinstance(value, str) else value
