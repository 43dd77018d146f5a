"""What happens on a click: from the values of the page's fields to what is shown next."""

import base64
import functools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import gradio as gr
import numpy as np

from ..errors import UserError
from ..index import NO_FILTERS, Filters, Frame, Hit
from ..inference import read_picture
from ..inference.query import Query, parse_numbers
from ..names import decode_name, encode_name, printable
from . import views
from .downloads import DOWNLOADS
from .filters import describe_filters, make_filters
from .service import SearchService

# In place of seconds: hits are not grouped.
ONE_RANKING = -1.0
# Searches that Back leads to.
MAX_EARLIER = 50


@dataclass(frozen=True)
class Search:
    """What a visitor has searched last."""

    queries: tuple[Query, ...] = ()  # of one person
    hits: tuple[Hit, ...] = ()
    filters: Filters = NO_FILTERS  # that the hits passed
    earlier: tuple[tuple[Query, ...], ...] = ()  # the queries of the searches before


class Options(NamedTuple):
    """The values of the fields that every search depends on, in their order."""

    cameras: list[str]
    start: str
    end: str
    min_score: float | None
    top: float | None
    cws: bool
    pause: float

    def filters(self) -> Filters:
        """What is looked at.

        Raises:
            UserError: see :func:`make_filters`.
        """
        return make_filters(self.cameras, self.start, self.end, self.min_score)


class Upload(NamedTuple):
    """A picture of the visitor's own."""

    name: str
    image: np.ndarray  # (H, W, 3) RGB uint8


def explained(function):
    """Shows a :class:`UserError` on the page; what was there stays."""

    @functools.wraps(function)
    def call(*args):
        try:
            return function(*args)
        except UserError as error:
            raise gr.Error(
                printable(str(error)), duration=None, title="Not possible", print_exception=False
            ) from error

    return call


class Handlers:
    """One object serves all visitors: what is theirs comes and goes as arguments."""

    def __init__(self, service: SearchService):
        self.service = service

    # frames

    def start_page(self):
        """Head of the page, and the cameras to choose from."""
        counts, times = self.service.summary()
        header = views.header(self.service.index.location, counts, times)
        choices = [(printable(c), encode_name(c)) for c in self.service.cameras()]
        return header, gr.Dropdown(choices=choices)

    def list_frames(self, *filter_values):
        """First page of the frames that pass, its number, and the filters in words."""
        filters = make_filters(*filter_values)
        page = self.service.frame_page(filters, 1)
        label = f"Filters: {describe_filters(filters)}"
        return (
            *(views.frame_list(page), 1, gr.Accordion(label=label)),
            *(gr.Column(visible=True), gr.Column(visible=False)),
        )

    def turn_page(self, step: int, number: float | None, *filter_values):
        """The page ``step`` further, and its number."""
        page = self.service.frame_page(make_filters(*filter_values), int(number or 1) + step)
        return views.frame_list(page), page.number

    def open_frame(self, event: gr.EventData, min_score: float | None):
        """The frame of a button: the state, its view, and what of the page is seen."""
        pts = int(event.pts) if event.pts else None
        return self._show_frame(decode_name(event.file), pts, min_score)

    def open_neighbor(self, step: int, frame: Frame, min_score: float | None):
        """The next or the last frame of the same camera."""
        other = self.service.neighbor(frame, step)
        return self._show_frame(other.path, other.pts, min_score)

    def _show_frame(self, path: str, pts: int | None, min_score: float | None):
        shown = self.service.find_frame(path, pts, min_score or 0.0)
        return (
            *(shown.frame, views.frame_view(shown)),
            *(gr.Column(visible=False), gr.Column(visible=True)),
            gr.Tabs(selected="frames"),
        )

    def close_frame(self):
        """Back to the list."""
        return gr.Column(visible=True), gr.Column(visible=False)

    # an own picture

    def take_upload(self, path: str | None):
        """Show the picture with the persons in it; nothing for None, when it is taken away."""
        if path is None:
            return None, "", "", gr.Row(visible=False)
        upload = Upload(Path(path).name, read_picture(path))
        boxes = self.service.detect(upload.image)
        return upload, views.upload_view(*upload, boxes), "", gr.Row(visible=True)

    def drawn_box(self, event: gr.EventData) -> str:
        """Into the field, where it can be corrected before it is searched."""
        return event.box

    # searching

    def search_person(self, event: gr.EventData, search: Search, *values):
        """The person of a button."""
        *options, merge = values
        query = self.service.query_of_person(int(event.id))
        return self._add(search, query, Options(*options), merge)

    def search_box(self, search: Search, *values):
        """The person in a box, as text, of the uploaded picture."""
        *options, upload, text, merge = values
        box = parse_numbers("Box of the person:", text, 4)
        query = self.service.query_of_picture(*self._uploaded(upload), box)
        return self._add(search, query, Options(*options), merge)

    def search_chosen_box(self, event: gr.EventData, search: Search, *values):
        """The person that was detected in the uploaded picture."""
        *options, upload, merge = values
        return self.search_box(search, *options, upload, event.box, merge)

    def search_whole_picture(self, search: Search, *values):
        """The uploaded picture is a crop of the person."""
        *options, upload, merge = values
        query = self.service.query_of_picture(*self._uploaded(upload))
        return self._add(search, query, Options(*options), merge)

    def search_before(self, search: Search, *values):
        """Back to the queries of the search before, with the filters of now."""
        if not search.earlier:
            raise UserError("there is no search before this one")
        *earlier, queries = search.earlier
        return (*self._run(queries, tuple(earlier), Options(*values)), *self._to_result())

    def search_again(self, search: Search, *values):
        """The same queries, with other filters."""
        if not search.queries:
            return (gr.skip(),) * (3 + len(DOWNLOADS))
        return self._run(search.queries, search.earlier, Options(*values))

    def show_again(self, search: Search, pause: float):
        """The same hits, grouped in another way."""
        return self._view(search, pause) if search.queries else gr.skip()

    def _uploaded(self, upload: Upload | None) -> Upload:
        if upload is None:
            raise UserError("no picture is uploaded; choose one first")
        return upload

    def _add(self, search: Search, query: Query, options: Options, merge: bool):
        earlier = search.earlier
        if search.queries:
            earlier = (*earlier, search.queries)[-MAX_EARLIER:]
        if merge and any(
            other.name == query.name and other.image is not None for other in search.queries
        ):  # another picture of the same name: the montage reads pictures by name
            query = replace(query, name=f"{query.name} ({len(search.queries) + 1})")
        queries = (*search.queries, query) if merge else (query,)
        return (*self._run(queries, earlier, options), *self._to_result())

    def _to_result(self):
        return gr.Tabs(selected="result"), False

    def _run(self, queries: tuple[Query, ...], earlier, options: Options):
        """The new state, its view, and what can be done with it."""
        top = 0 if options.top is None else int(options.top)
        filters = options.filters()
        hits = self.service.search(queries, filters, top, options.cws)
        search = Search(queries, hits, filters, earlier)
        return (
            *(search, self._view(search, options.pause), gr.Button(interactive=bool(earlier))),
            *(gr.Button(interactive=True) for _ in DOWNLOADS),
        )

    def _view(self, search: Search, pause: float) -> str:
        seconds = None if pause == ONE_RANKING else pause
        return views.result_view(search.queries, search.hits, search.filters, seconds)

    def download(self, label: str, search: Search) -> dict:
        """The result as a file, for the browser to save."""
        location = self.service.index.location
        name, media_type, content = DOWNLOADS[label](location, search.queries, search.hits)
        data = base64.b64encode(content).decode()
        return {"name": name, "media_type": media_type, "base64": data}
