"""A search's result as a file, as ``person-search query`` gives it."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ..index import Hit
from ..search.hit_records import csv_text, json_content, picture_records
from ..search.query import PersonQuery, Query
from ..search.search_pages import write_montage, write_page


class Download(NamedTuple):
    """A file for the browser to save."""

    name: str
    media_type: str
    content: bytes


def make_csv(index: str, queries: Sequence[Query], hits: Sequence[Hit]) -> Download:
    """One row for each hit."""
    return Download("hits.csv", "text/csv", csv_text(hits).encode())


def make_json(index: str, queries: Sequence[Query], hits: Sequence[Hit]) -> Download:
    """The queries and the hits."""
    own = sorted({q.person.person_id for q in queries if isinstance(q, PersonQuery)})
    content = json_content(index, queries, hits, left_out=own)
    return Download("hits.json", "application/json", json.dumps(content, indent=2).encode())


def make_montage(index: str, queries: Sequence[Query], hits: Sequence[Hit]) -> Download:
    """The persons searched and the hits, side by side."""
    with tempfile.TemporaryDirectory() as folder:
        path = write_montage(Path(folder, "hits.png"), *picture_records(queries, hits))
        return Download("hits.png", "image/png", path.read_bytes())


def make_html(index: str, queries: Sequence[Query], hits: Sequence[Hit]) -> Download:
    """A page that is complete in itself."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "hits.html")
        write_page(path, *picture_records(queries, hits), index=index)
        return Download("hits.html", "text/html", path.read_bytes())


# What the page offers: label -> what makes it.
DOWNLOADS = {"CSV": make_csv, "JSON": make_json, "Montage": make_montage, "Web page": make_html}
