"""Serving the search page: on this machine alone, unless another address is asked for."""

import errno
import ipaddress
import logging
import os
import signal
import socket
import sys
import tempfile
import webbrowser
from collections.abc import Sequence

import gradio as gr
import uvicorn
from fastapi import FastAPI

from ..errors import UserError
from . import views
from .guard import Guard
from .page import SearchPage
from .service import SearchService
from .uploads import Uploads, add_upload_route

logger = logging.getLogger(__name__)

# Fonts of the visitor's machine: the page needs nothing from elsewhere.
FONTS = ("system-ui", "sans-serif")


def bind(host: str, port: int) -> socket.socket:
    """A socket that is bound to a free port.

    Raises:
        UserError: if the port is in use or not allowed, or the host is not this machine.
    """
    try:
        family, _, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, socket.SOCK_STREAM)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(place)
    except socket.gaierror as error:
        raise UserError(
            f"--host {host}: there is no such address; use 127.0.0.1 for this machine alone"
        ) from error
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            fix = f"is in use; name another, such as --port {port + 1}, or 0 for any that is free"
        elif error.errno == errno.EACCES:
            fix = "is not allowed to you; use one from 1024 on"
        else:
            raise UserError(
                f"--host {host}: {error.strerror}; use 127.0.0.1 for this machine alone"
            ) from error
        raise UserError(f"--port {port} {fix}") from error
    return bound


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def make_app(service: SearchService, host: str, names: Sequence[str] = ()) -> FastAPI:
    """The web application; for ``host`` and ``names`` see :class:`Guard`."""
    uploads = Uploads()
    app = FastAPI(openapi_url=None)
    add_upload_route(app, uploads)
    blocks = SearchPage(service, uploads).blocks
    # those without a function are the page's scripts
    calls = {number: len(fn.inputs) for number, fn in blocks.fns.items() if fn.fn is not None}
    app.add_middleware(Guard, host=host, calls=calls, names=names)
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


class _Server(uvicorn.Server):
    """Ends without messages about the browsers that are still connected and get cut off."""

    async def shutdown(self, sockets=None) -> None:
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        await super().shutdown(sockets)


def make_server(service: SearchService, host: str, names: Sequence[str] = ()) -> uvicorn.Server:
    """A server whose ``run(sockets=[...])`` serves the page, and returns after ``should_exit``."""
    # do not wait for connections that browsers keep open
    config = uvicorn.Config(
        make_app(service, host, names), log_level="warning", timeout_graceful_shutdown=1
    )
    return _Server(config)


def address(bound: socket.socket, host: str) -> str:
    """The page's URL, for a browser on this machine."""
    ip, port = bound.getsockname()[:2]
    if ip in ("0.0.0.0", "::"):
        ip = "127.0.0.1"
    name = host if host == "localhost" else f"[{ip}]" if ":" in ip else ip
    return f"http://{name}:{port}/"


def serve(
    service: SearchService,
    bound: socket.socket,
    host: str,
    *,
    browser: bool,
    names: Sequence[str] = (),
) -> None:
    """Serve at a socket of :func:`bind` until Ctrl-C or SIGTERM; ``browser``: open a browser."""
    if not is_loopback(host):
        logger.warning(
            "Everybody who reaches port %d of this machine sees the pictures and can search them; "
            "leave --host out to serve this machine alone",
            bound.getsockname()[1],
        )
    # uvicorn raises the signal again after its shutdown; SystemExit, unlike the default, cleans up
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    with tempfile.TemporaryDirectory(prefix="person-search-") as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder
        server = make_server(service, host, names)
        url = address(bound, host)
        logger.info("The search page is at %s  (Ctrl-C ends it)", url)
        if browser:
            webbrowser.open(url)
        server.run(sockets=[bound])
