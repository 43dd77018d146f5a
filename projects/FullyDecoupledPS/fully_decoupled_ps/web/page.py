"""The search page's layout in Gradio."""

import functools

import gradio as gr

from . import views
from .downloads import DOWNLOADS
from .handlers import ONE_RANKING, Handlers, Search, explained
from .service import SearchService

TITLE = "Person search"
DEFAULT_TOP = 50
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
GROUPINGS = [
    ("Camera and time (1 minute apart)", MINUTE),
    ("Camera and time (10 minutes apart)", 10 * MINUTE),
    ("Camera and time (1 hour apart)", HOUR),
    ("Camera and time (1 day apart)", DAY),
    ("Nothing: one ranking", ONE_RANKING),
]
DEFAULT_PAUSE = 10 * MINUTE
# Seconds after which an uploaded file is removed; the visitor's state has its picture.
UPLOAD_AGE = 600
TIME_HINT = "2024-05-31 or 2024-05-31T18:30"

# To the top of what is new, for eyes, keyboards and screen readers alike.
FOCUS = """() => setTimeout(() => {{
  const heading = document.querySelector('#{} .ps-heading');
  heading?.focus();
  heading?.scrollIntoView();
}}, 50)"""
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

    Every visitor has an own state: the search, the frame that is open, the uploaded picture.
    """

    def __init__(self, service: SearchService):
        self.service = service
        self.handlers = Handlers(service)
        with gr.Blocks(
            title=TITLE, analytics_enabled=False, delete_cache=(UPLOAD_AGE, UPLOAD_AGE)
        ) as self.blocks:
            self.search = gr.State(Search())
            self.frame = gr.State(None)
            self.upload = gr.State(None)
            self.header = gr.HTML(js_on_load=None, apply_default_css=False)
            self._make_filters()
            with gr.Tabs() as self.tabs:
                with gr.Tab("Frames", id="frames"):
                    self._make_frames()
                with gr.Tab("Own picture", id="upload"):
                    self._make_upload()
                with gr.Tab("Result", id="result"):
                    self._make_result()
            self._connect()

    # layout

    def _part(self, elem_id: str, value: str = "") -> gr.HTML:
        """A part of the page whose buttons trigger events, see page.js."""
        js = views.read_template("page.js")
        return gr.HTML(value, js_on_load=js, elem_id=elem_id, apply_default_css=False)

    def _make_filters(self) -> None:
        with gr.Accordion("Filters", open=False) as self.filters_box:
            with gr.Row():
                self.cameras = gr.Dropdown([], multiselect=True, label="Cameras (none: all)")
                self.start = gr.Textbox(label="From", placeholder=TIME_HINT, max_lines=1)
                self.end = gr.Textbox(label="To", placeholder=TIME_HINT, max_lines=1)
                self.min_score = gr.Number(0, label="Least score of a detection", step=0.05)
            # a column each, for a form's fields would not wrap on a phone
            with gr.Row():
                with gr.Column(min_width=220):
                    self.top = gr.Number(DEFAULT_TOP, label="Hits at most", precision=0)
                with gr.Column(min_width=220):
                    self.cws = gr.Checkbox(
                        label="Weigh by score", info="Similarities times the detections' scores"
                    )
                with gr.Column(min_width=220):
                    self.merge = gr.Checkbox(
                        label="Add to the search",
                        info="The next person chosen is another view of the one searched",
                    )
            with gr.Row():
                self.apply = gr.Button("Apply", variant="primary")
                self.clear = gr.Button("Clear filters")

    def _make_frames(self) -> None:
        with gr.Column() as self.list_box:
            self.frames = self._part("ps-frames")
            with gr.Row():
                self.page_back = gr.Button("Previous page", min_width=120)
                self.page_number = gr.Number(1, label="Page", precision=0, min_width=80)
                self.page_on = gr.Button("Next page", min_width=120)
        with gr.Column(visible=False) as self.frame_box:
            with gr.Row():
                self.to_list = gr.Button("All frames", size="sm", min_width=90)
                self.frame_back = gr.Button("Earlier, same camera", size="sm", min_width=90)
                self.frame_on = gr.Button("Later, same camera", size="sm", min_width=90)
            self.frame_part = self._part("ps-frame")

    def _make_upload(self) -> None:
        has_network = self.service.network is not None
        if not has_network:
            note = views.note(self.service.no_network)
            gr.HTML(note, js_on_load=None, apply_default_css=False)
        self.file = gr.File(
            label="Picture of the person", file_types=["image"], height=140, visible=has_network
        )
        self.upload_part = self._part("ps-upload")
        with gr.Row(visible=False) as self.box_row:
            self.box = gr.Textbox(
                label="Box of the person: x0,y0,x1,y1 in pixels, typed or drawn above",
                max_lines=1,
            )
            self.search_box = gr.Button("Search for the person in the box", variant="primary")
            self.search_whole = gr.Button("The whole picture is the person")

    def _make_result(self) -> None:
        with gr.Row():
            small = {"size": "sm", "interactive": False, "min_width": 130}
            self.back = gr.Button("Search before", **small)
            self.downloads = {label: gr.Button(f"Download {label}", **small) for label in DOWNLOADS}
        self.grouping = gr.Dropdown(GROUPINGS, value=DEFAULT_PAUSE, label="Group hits by")
        self.result = self._part("ps-result", views.note(views.NOTHING_SEARCHED))
        self.saved = gr.JSON(visible=False)

    # events

    def _connect(self) -> None:
        self.filter_inputs = [self.cameras, self.start, self.end, self.min_score]
        self.options = [*self.filter_inputs, self.top, self.cws, self.grouping]
        self.search_outputs = [self.search, self.result, self.back, *self.downloads.values()]
        do = self.handlers
        self._connect_filters()
        self._connect_frames()
        for part in (self.frame_part, self.result):
            self._searches(part.person, do.search_person, [self.merge])
        self._searches(self.back.click, do.search_before, [])
        self._connect_upload()
        self._on(self.grouping.change, do.show_again, [self.search, self.grouping], self.result)
        for label, button in self.downloads.items():
            make = functools.partial(do.download, label)
            made = self._on(button.click, make, self.search, self.saved)
            made.success(None, self.saved, None, js=SAVE_FILE)

    def _on(self, event, function, inputs, outputs):
        return event(explained(function), inputs, outputs, api_visibility="private")

    def _searches(self, event, function, inputs) -> None:
        """Let an event search: show the result, and lead to its top."""
        outputs = [*self.search_outputs, self.tabs, self.merge]
        done = self._on(event, function, [self.search, *self.options, *inputs], outputs)
        done.success(None, None, None, js=FOCUS.format("ps-result"))

    def _connect_filters(self) -> None:
        do = self.handlers
        listed = [self.frames, self.page_number, self.filters_box, self.list_box, self.frame_box]
        started = self._on(self.blocks.load, do.start_page, None, [self.header, self.cameras])
        self._on(started.then, do.list_frames, self.filter_inputs, listed)
        cleared = self._on(self.clear.click, lambda: ([], "", "", 0), None, self.filter_inputs)
        typed = (self.start.submit, self.end.submit, self.min_score.submit, self.top.submit)
        for event in (self.apply.click, cleared.then, *typed):
            done = self._on(event, do.list_frames, self.filter_inputs, listed)
            inputs = [self.search, *self.options]
            self._on(done.success, do.search_again, inputs, self.search_outputs)

    def _connect_frames(self) -> None:
        do = self.handlers
        turns = (
            *((self.page_back.click, -1), (self.page_on.click, 1)),
            (self.page_number.submit, 0),
        )
        for event, step in turns:
            turn = functools.partial(do.turn_page, step)
            inputs = [self.page_number, *self.filter_inputs]
            self._on(event, turn, inputs, [self.frames, self.page_number])
        opened = [self.frame, self.frame_part, self.list_box, self.frame_box, self.tabs]
        for part in (self.frames, self.result):
            done = self._on(part.frame, do.open_frame, self.min_score, opened)
            done.success(None, None, None, js=FOCUS.format("ps-frame"))
        for button, step in ((self.frame_back, -1), (self.frame_on, 1)):
            move = functools.partial(do.open_neighbor, step)
            self._on(button.click, move, [self.frame, self.min_score], opened)
        self._on(self.to_list.click, do.close_frame, None, [self.list_box, self.frame_box])

    def _connect_upload(self) -> None:
        do = self.handlers
        taken = [self.upload, self.upload_part, self.box, self.box_row]
        self._on(self.file.change, do.take_upload, self.file, taken)
        self._on(self.upload_part.drawn, do.drawn_box, None, self.box)
        chosen = [self.upload, self.merge]
        self._searches(self.upload_part.box, do.search_chosen_box, chosen)
        self._searches(self.search_whole.click, do.search_whole_picture, chosen)
        typed = [self.upload, self.box, self.merge]
        for event in (self.search_box.click, self.box.submit):
            self._searches(event, do.search_box, typed)
