"""The state of a visitor's page: the search, the fields, and what is shown next."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import gradio as gr

from fully_decoupled_ps.utils.names import decode_name

from ..errors import UserError
from ..index import NO_FILTERS, Filters, Hit
from ..search.filters import make_filters
from ..search.query import Query
from .address import LARGEST, View, format_view
from .filters import NAMES

DEFAULT_TOP = 50


@dataclass(frozen=True)
class OwnQuery(Query):
    """A person in a visitor's own picture, which ``Uploads`` keeps; ``image`` is None."""

    token: str  # of ``Uploads``


@dataclass(frozen=True)
class Search:
    """What a visitor has searched last."""

    queries: tuple[Query, ...] = ()  # of one person
    hits: tuple[Hit, ...] = ()
    filters: Filters = NO_FILTERS  # that the hits passed
    # searches with own pictures, which no address can hold, each with its number there
    own: tuple[tuple[int, tuple[Query, ...]], ...] = ()


class Options(NamedTuple):
    """The values of the fields that every search depends on, in their order."""

    cameras: list[str]  # as encode_name writes them
    start: str
    end: str
    min_score: float | None
    top: float | None
    cws: bool

    def of(self, view: View) -> View:
        """The view with these values; raises a UserError if one is invalid."""
        if self.top is None or not math.isfinite(self.top):
            raise UserError("Hits at most: type a number, such as 50")
        top = int(self.top)
        made = view._replace(
            cameras=tuple(decode_name(camera) for camera in self.cameras or ()),
            start=self.start or "",
            end=self.end or "",
            min_score=float(self.min_score or 0),
            top=None if top == DEFAULT_TOP else top,
            cws=bool(self.cws),
        )
        filters_of(made)
        return made


def filters_of(view: View) -> Filters:
    """As :func:`make_filters`, of the page's fields."""
    return make_filters(view.cameras, view.start, view.end, view.min_score, NAMES)


class Shown(NamedTuple):
    """New values of the page's parts; ``gr.skip()`` leaves a part as it is."""

    search: Any
    view: Any
    address: Any
    frames: Any
    frame: Any
    result: Any
    filters_box: Any
    list_box: Any
    frame_box: Any
    tabs: Any
    merge: Any
    # the fields, in the order of Options
    cameras: Any
    start: Any
    end: Any
    min_score: Any
    top: Any
    cws: Any


def shown(view: View, **parts) -> Shown:
    """:class:`Shown` of a view, with its address."""
    parts |= {"view": view, "address": format_view(view)}
    return Shown(**{field: parts.get(field, gr.skip()) for field in Shown._fields})


def read_field(event: gr.EventData, name: str, kind=str):
    """A value that came with a click; a UserError if it is missing or not of its ``kind``."""
    try:
        return kind(event._data[name])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError("the page is out of date; reload it") from error


def whole(text: str) -> int:
    """A whole number in the range of an index's ids and time stamps."""
    number = int(text)
    if abs(number) > LARGEST:
        raise ValueError(number)
    return number
