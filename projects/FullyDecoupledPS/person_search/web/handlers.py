"""What happens on a click: from the values of the page's fields to what is shown next."""

import base64
import functools
import html
from dataclasses import replace

import gradio as gr

from fully_decoupled_ps.utils.names import decode_name, encode_name, printable

from ..errors import UserError
from ..search.filters import check_cameras
from ..search.query import PersonQuery, Query, parse_numbers
from . import views
from .address import View, parse_view
from .downloads import DOWNLOADS
from .filters import NAMES, describe_filters
from .service import SearchService
from .state import (
    DEFAULT_TOP,
    Options,
    OwnQuery,
    Search,
    Shown,
    filters_of,
    read_field,
    shown,
    whole,
)
from .uploads import Uploads

# Searches with pictures of a visitor's own that Back leads to.
MAX_OWN = 20


def explained(function):
    """Wrap a function so that its UserErrors are shown as messages; the page stays as it was."""

    @functools.wraps(function)
    def call(*args):
        try:
            return function(*args)
        except UserError as error:
            raise gr.Error(
                _message(error), duration=None, title="Not possible", print_exception=False
            ) from error

    return call


def _message(text) -> str:
    """Escape a text for Gradio's messages, which are HTML; names in it may be of any origin."""
    return html.escape(printable(str(text)), quote=False)


class Handlers:
    """One object serves all visitors; their state is passed in arguments and results.

    Handlers that change what is shown take the view, the search, whether the next person is added
    to the search, and the options; they return :class:`Shown`.
    """

    def __init__(self, service: SearchService, uploads: Uploads):
        self.service = service
        self.uploads = uploads

    def start_page(self):
        """Head of the page, and the cameras to choose from."""
        counts, times = self.service.summary()
        header = views.header(self.service.index.location, counts, times)
        choices = [(printable(c), encode_name(c)) for c in self.service.cameras()]
        return header, gr.Dropdown(choices=choices)

    # the address

    def open_address(self, address: str, search: Search) -> Shown:
        """What the address names; if it can't be shown, why, and the start of the page."""
        try:
            return self._open(parse_view(address), search)
        except UserError as error:
            gr.Warning(_message(f"The address can't be followed: {error}"), duration=None)
            return self._open(View(), search)

    def go_back(self, event: gr.EventData, search: Search) -> Shown:
        """The browser's Back or Forward."""
        return self.open_address(read_field(event, "address"), search)

    def _open(self, view: View, search: Search) -> Shown:
        check_cameras(view.cameras, self.service.cameras(), NAMES)
        views.seconds_apart(view.pause)
        fields = {name: getattr(view, name) for name in Options._fields}
        fields["cameras"] = [encode_name(camera) for camera in view.cameras]
        fields["top"] = view.top or DEFAULT_TOP
        parts = fields | self._list(view)
        if view.persons or view.picture is not None:
            parts |= self._search_of_address(view, search)
        if view.frame:
            parts |= self._frame(view)
        return shown(view, **parts)

    def _search_of_address(self, view: View, search: Search) -> dict:
        if view.picture is None:
            queries = tuple(self.service.query_of_person(i) for i in view.persons)
        else:
            queries = dict(search.own).get(view.picture)
        if queries is None:
            return {
                "result": views.note(views.OWN_PICTURE_IS_GONE),
                "search": Search(own=search.own),
                "tabs": gr.Tabs(selected="result"),
            }
        return self._run(view, queries, search.own)

    # frames

    def _list(self, view: View) -> dict:
        filters = filters_of(view)
        page = self.service.frame_page(filters, view.list_page)
        return {
            "frames": views.frame_list(page),
            "filters_box": gr.Accordion(label=f"Filters: {describe_filters(filters)}"),
            **{"list_box": gr.Column(visible=True), "frame_box": gr.Column(visible=False)},
            "tabs": gr.Tabs(selected="frames"),
        }

    def _frame(self, view: View) -> dict:
        found = self.service.find_frame(view.frame, view.pts, view.min_score)
        return {
            "frame": views.frame_view(found),
            **{"list_box": gr.Column(visible=False), "frame_box": gr.Column(visible=True)},
            "tabs": gr.Tabs(selected="frames"),
        }

    def apply(self, view: View, search: Search, merge: bool, *options) -> Shown:
        """The frames and the hits with the new filters; the tab stays."""
        view = Options(*options).of(view)._replace(list_page=1, frame="", pts=None)
        parts = self._list(view)
        if search.queries:
            parts |= self._run(view, search.queries, search.own)
        return shown(view, **{**parts, "tabs": gr.skip()})

    def turn_page(self, event: gr.EventData, view, search, merge, *options) -> Shown:
        """Another page of the list."""
        page = read_field(event, "page", whole)
        view = Options(*options).of(view)._replace(list_page=page, frame="", pts=None)
        return shown(view, **self._list(view))

    def open_frame(self, event: gr.EventData, view, search, merge, *options) -> Shown:
        """The frame of a button."""
        pts = read_field(event, "pts", whole) if read_field(event, "pts") else None
        path = read_field(event, "file", decode_name)
        view = Options(*options).of(view)._replace(frame=path, pts=pts)
        return shown(view, **self._frame(view))

    def open_neighbor(self, event: gr.EventData, view, search, merge, *options) -> Shown:
        """The next or the previous frame of the same camera."""
        step = 1 if read_field(event, "step", whole) > 0 else -1
        frame = self.service.find_frame(view.frame, view.pts).frame
        other = self.service.neighbor(frame, step)
        view = Options(*options).of(view)._replace(frame=other.path, pts=other.pts)
        return shown(view, **self._frame(view))

    def close_frame(self, view: View, search, merge, *options) -> Shown:
        """Back to the list."""
        view = Options(*options).of(view)._replace(frame="", pts=None)
        return shown(view, **self._list(view))

    # an own picture

    def take_upload(self, event: gr.EventData):
        """Show the picture with the persons in it: its token, its view, and no box."""
        token = read_field(event, "token")
        upload = self.uploads.get(token)
        if upload.note:
            gr.Warning(_message(f"{upload.name} {upload.note}"), duration=None)
        boxes = self.service.detect(upload.image)
        shown_picture = views.upload_view(upload.name, upload.image, boxes)
        return token, shown_picture, "", gr.Row(visible=True)

    def drawn_box(self, event: gr.EventData) -> str:
        """Into the field, where it can be corrected before it is searched."""
        return read_field(event, "box")

    # searching

    def search_person(self, event: gr.EventData, view, search, merge, *options) -> Shown:
        """The person of a button."""
        query = self.service.query_of_person(read_field(event, "id", whole))
        return self._add(query, view, search, merge, options)

    def search_box(self, upload: str, text: str, view, search, merge, *options) -> Shown:
        """The person in a box, as text, of the uploaded picture."""
        box = parse_numbers("Box of the person:", text or "", 4)
        return self._add(self._own_query(upload, box), view, search, merge, options)

    def search_chosen_box(
        self, event: gr.EventData, upload: str, view, search, merge, *options
    ) -> Shown:
        """The person that was detected in the uploaded picture."""
        return self.search_box(upload, read_field(event, "box"), view, search, merge, *options)

    def search_whole_picture(self, upload: str, view, search, merge, *options) -> Shown:
        """The uploaded picture is a crop of the person."""
        return self._add(self._own_query(upload), view, search, merge, options)

    def show_again(self, event: gr.EventData, view: View, search: Search) -> Shown:
        """The same hits, grouped in another way."""
        view = view._replace(pause=read_field(event, "value", float))
        return shown(view, result=self._result(view, search))

    def _own_query(self, token: str | None, box=None) -> OwnQuery:
        if not token:
            raise UserError("no picture is chosen; choose one first")
        upload = self.uploads.get(token)
        query = self.service.query_of_picture(upload.name, upload.image, box)
        return OwnQuery(query.name, None, query.box, query.feature, token)

    def _add(self, query: Query, view: View, search: Search, merge: bool, options) -> Shown:
        view = Options(*options).of(view)
        if merge and isinstance(query, OwnQuery):
            if any(q.name == query.name and q.token != query.token for q in _own(search.queries)):
                # the montage finds pictures by their names, so two pictures need two
                query = replace(query, name=f"{query.name} ({len(search.queries) + 1})")
        queries = (*search.queries, query) if merge else (query,)
        own, number = search.own, None
        if _own(queries):
            number = own[-1][0] + 1 if own else 1
            own = (*own, (number, queries))[-MAX_OWN:]
        ids = tuple(q.person.person_id for q in queries if isinstance(q, PersonQuery))
        view = view._replace(persons=ids, picture=number, frame="", pts=None)
        return shown(view, merge=False, **self._run(view, queries, own))

    def _run(self, view: View, queries: tuple[Query, ...], own) -> dict:
        filters = filters_of(view)
        top = DEFAULT_TOP if view.top is None else view.top
        hits = self.service.search(queries, filters, top, view.cws)
        search = Search(queries, hits, filters, own)
        return {
            **{"search": search, "result": self._result(view, search)},
            "tabs": gr.Tabs(selected="result"),
        }

    def _result(self, view: View, search: Search) -> str:
        queries = self._with_pictures(search.queries)
        return views.result_view(queries, search.hits, search.filters, view.pause)

    def _with_pictures(self, queries: tuple[Query, ...]) -> list[Query]:
        """With the own pictures that are still kept."""
        return [self._with_picture(q) if isinstance(q, OwnQuery) else q for q in queries]

    def _with_picture(self, query: OwnQuery) -> Query:
        try:
            return replace(query, image=self.uploads.get(query.token).image)
        except UserError:
            return query

    def download(self, event: gr.EventData, search: Search) -> dict:
        """The result as a file, for the browser to save."""
        make = DOWNLOADS.get(read_field(event, "kind"))
        if make is None or not search.queries:
            raise UserError("nothing is searched yet; search for somebody first")
        location = self.service.index.location
        name, media_type, content = make(location, self._with_pictures(search.queries), search.hits)
        data = base64.b64encode(content).decode()
        return {"name": name, "media_type": media_type, "base64": data}


def _own(queries) -> list[OwnQuery]:
    return [query for query in queries if isinstance(query, OwnQuery)]
