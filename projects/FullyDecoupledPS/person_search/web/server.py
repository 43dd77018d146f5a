"""Serving the search page."""

import os
import socket
import tempfile
from collections.abc import Sequence

import gradio as gr
from fastapi import FastAPI

from . import views
from .gradio_guard import GradioGuard
from .listening import serve_until_stopped
from .page import SearchPage
from .service import SearchService
from .uploads import Uploads, add_upload_route

# Fonts of the visitor's machine: the page needs nothing from elsewhere.
FONTS = ("system-ui", "sans-serif")


def make_app(service: SearchService, host: str, names: Sequence[str] = ()) -> FastAPI:
    """The web application; for ``host`` and ``names`` see :class:`.guard.Guard`."""
    uploads = Uploads()
    app = FastAPI(openapi_url=None)
    add_upload_route(app, uploads)
    blocks = SearchPage(service, uploads).blocks
    # those without a function are the page's scripts
    calls = {number: len(fn.inputs) for number, fn in blocks.fns.items() if fn.fn is not None}
    app.add_middleware(GradioGuard, host=host, calls=calls, names=names)
    return gr.mount_gradio_app(
        app,
        blocks,
        path="/",
        footer_links=[],
        run_history=False,  # else the browser would keep what was searched
        ssr_mode=False,
        mcp_server=False,
        enable_monitoring=False,
        theme=_theme(),
        css=views.read_template("page.css"),
    )


def _theme() -> gr.themes.Base:
    """Gradio's own, with darker texts where its own are too pale to read."""
    return gr.themes.Default(
        primary_hue="indigo", neutral_hue="slate", font=FONTS, font_mono=("monospace",)
    ).set(
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_300",
        block_title_text_color="*neutral_700",
        block_title_text_color_dark="*neutral_200",
        input_placeholder_color="*neutral_500",
        input_placeholder_color_dark="*neutral_400",
    )


def serve(
    service: SearchService,
    bound: socket.socket,
    host: str,
    *,
    browser: bool,
    names: Sequence[str] = (),
) -> None:
    """Serve at a socket of :func:`bind` until Ctrl-C or SIGTERM; ``browser``: open a browser."""
    with tempfile.TemporaryDirectory(prefix="person-search-") as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder
        serve_until_stopped(
            lambda: make_app(service, host, names),
            bound,
            host,
            page="search page",
            exposes="sees the pictures and can search them",
            browser=browser,
        )
