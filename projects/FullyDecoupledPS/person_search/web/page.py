"""The search page's layout in Gradio."""

import gradio as gr

from . import views
from .address import View
from .handlers import Handlers, explained
from .service import SearchService
from .state import DEFAULT_TOP, Options, Search, Shown
from .uploads import Uploads

TITLE = "Person search"
TIME_HINT = "2024-05-31T18:30"

# Scroll to the heading of the new part, and focus it for keyboards and screen readers.
FOCUS = """setTimeout(() => {{
  const heading = document.querySelector('#{} .ps-heading');
  heading?.focus({{ preventScroll: true }});
  heading?.scrollIntoView();
}}, 50);"""
# Put the address of what is shown into the browser's history.
GO_TO = """(address) => {{
  if (address !== location.search) history.{}(null, '', address || location.pathname);
  {}
}}"""
SAVE_FILE = """(file) => {
  if (!file) return;
  const bytes = Uint8Array.from(atob(file.base64), (char) => char.charCodeAt(0));
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([bytes], { type: file.media_type }));
  link.download = file.name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}"""


class SearchPage:
    """Builds the page; ``blocks`` is what Gradio serves.

    Each visitor has a state of their own: the view, the search, the token of the uploaded picture.
    """

    def __init__(self, service: SearchService, uploads: Uploads):
        self.service = service
        self.handlers = Handlers(service, uploads)
        with gr.Blocks(title=TITLE, analytics_enabled=False) as self.blocks:
            self.search = gr.State(Search())
            self.view = gr.State(View())
            self.upload = gr.State(None)
            self.address = gr.Textbox(visible=False)
            self.saved = gr.JSON(visible=False)
            self.header = self._part("ps-header", "address.js")
            self._make_filters()
            with gr.Tabs() as self.tabs:
                with gr.Tab("Frames", id="frames"):
                    self._make_frames()
                with gr.Tab("Own picture", id="upload"):
                    self._make_upload()
                with gr.Tab("Result", id="result"):
                    self.result = self._part("ps-result")
                    self.result.value = views.note(views.NOTHING_SEARCHED)
            self._connect()

    # layout

    def _part(self, elem_id: str, script: str = "page.js") -> gr.HTML:
        """A part of the page whose buttons trigger events, see page.js."""
        js = views.read_template(script)
        return gr.HTML("", js_on_load=js, elem_id=elem_id, apply_default_css=False)

    def _make_filters(self) -> None:
        with gr.Accordion("Filters", open=False) as self.filters_box:
            with gr.Row(elem_classes="ps-fields"):
                self.cameras = gr.Dropdown([], multiselect=True, label="Cameras (none: all)")
                self.start = gr.Textbox(label="From", placeholder=TIME_HINT, max_lines=1)
                self.end = gr.Textbox(label="To", placeholder=TIME_HINT, max_lines=1)
                self.min_score = gr.Number(0, label="Detection score at least", step=0.05)
                self.top = gr.Number(DEFAULT_TOP, label="Hits at most", precision=0)
            with gr.Row(elem_classes="ps-checks"):
                self.cws = gr.Checkbox(label="Weigh similarities by detection score")
                self.merge = gr.Checkbox(label="Add the next person as another view")
                self.clear = gr.Button("Clear filters", min_width=120)
                self.apply = gr.Button("Apply", variant="primary", min_width=120)

    def _make_frames(self) -> None:
        with gr.Column() as self.list_box:
            self.frames = self._part("ps-frames")
        with gr.Column(visible=False) as self.frame_box:
            self.frame = self._part("ps-frame")

    def _make_upload(self) -> None:
        has_network = self.service.network is not None
        self.own = self._part("ps-own")
        self.own.value = (
            views.own_picture_field() if has_network else views.note(self.service.no_network)
        )
        self.upload_part = self._part("ps-upload")
        with gr.Row(visible=False, elem_classes="ps-fields") as self.box_row:
            self.box = gr.Textbox(
                label="Box of the person: x0,y0,x1,y1 in pixels, typed or drawn above",
                max_lines=1,
            )
            self.search_box = gr.Button("Search for the person in the box", variant="primary")
            self.search_whole = gr.Button("The whole picture is the person")

    # events

    def _connect(self) -> None:
        do = self.handlers
        self.fields = [getattr(self, name) for name in Options._fields]
        now = [self.view, self.search, self.merge, *self.fields]
        self._connect_address()
        cleared = self._on(self.clear.click, lambda: ([], "", "", 0), None, self.fields[:4])
        typed = (self.start.submit, self.end.submit, self.min_score.submit, self.top.submit)
        for event in (self.apply.click, cleared.then, *typed):
            self._shows(event, do.apply, now)
        self._shows(self.frames.turn, do.turn_page, now)
        for part in (self.frames, self.result):
            self._shows(part.frame, do.open_frame, now, "ps-frame")
        self._shows(self.frame.neighbor, do.open_neighbor, now, "ps-frame")
        self._shows(self.frame.list, do.close_frame, now)
        for part in (self.frame, self.result):
            self._shows(part.person, do.search_person, now, "ps-result")
        self._shows(self.result.group, do.show_again, [self.view, self.search])
        made = self._on(self.result.download, do.download, self.search, self.saved)
        made.success(None, self.saved, None, js=SAVE_FILE)
        self._connect_upload(now)

    def _on(self, event, function, inputs, outputs):
        return event(explained(function), inputs, outputs, api_visibility="private")

    def _shows(self, event, function, inputs, focus: str = "", how: str = "pushState"):
        """Let an event change what is shown, and focus the heading of part ``focus``."""
        outputs = [getattr(self, name) for name in Shown._fields]
        done = self._on(event, function, inputs, outputs)
        script = GO_TO.format(how, FOCUS.format(focus) if focus else "")
        done.success(None, self.address, None, js=script)
        return done

    def _connect_address(self) -> None:
        do = self.handlers
        read = self.blocks.load(
            None, None, self.address, js="() => location.search", api_visibility="private"
        )
        started = self._on(read.then, do.start_page, None, [self.header, self.cameras])
        inputs = [self.address, self.search]
        self._shows(started.then, do.open_address, inputs, how="replaceState")
        self._shows(self.header.back, do.go_back, self.search, how="replaceState")

    def _connect_upload(self, now: list) -> None:
        do = self.handlers
        taken = [self.upload, self.upload_part, self.box, self.box_row]
        self._on(self.own.token, do.take_upload, None, taken)
        self._on(self.upload_part.drawn, do.drawn_box, None, self.box)
        typed = [self.upload, self.box, *now]
        for event in (self.search_box.click, self.box.submit):
            self._shows(event, do.search_box, typed, "ps-result")
        chosen = [self.upload, *now]
        self._shows(self.upload_part.box, do.search_chosen_box, chosen, "ps-result")
        self._shows(self.search_whole.click, do.search_whole_picture, chosen, "ps-result")
