"""A search's result as a file, as ``person-search query`` gives it."""

from collections.abc import Sequence
from typing import NamedTuple

from ..index import Hit
from ..search import search_pages
from ..search.hit_records import csv_text, json_text
from ..search.query import PersonQuery, Query


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
    text = json_text(index, queries, hits, left_out=own)
    return Download("hits.json", "application/json", text.encode())


def make_montage(index: str, queries: Sequence[Query], hits: Sequence[Hit]) -> Download:
    """The persons searched and the hits, side by side."""
    return Download("hits.png", "image/png", search_pages.make_montage(queries, hits))


def make_page(index: str, queries: Sequence[Query], hits: Sequence[Hit]) -> Download:
    """A page that is complete in itself."""
    return Download("hits.html", "text/html", search_pages.make_page(index, queries, hits))


# What the page offers: label -> what makes it.
DOWNLOADS = {"CSV": make_csv, "JSON": make_json, "Montage": make_montage, "Web page": make_page}
