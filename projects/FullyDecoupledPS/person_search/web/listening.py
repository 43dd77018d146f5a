"""An address to serve a page at: this machine alone, unless another one is asked for."""

import errno
import ipaddress
import logging
import signal
import socket
import sys
import webbrowser
from collections.abc import Callable

import uvicorn

from ..errors import UserError

logger = logging.getLogger(__name__)


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


def address(bound: socket.socket, host: str) -> str:
    """The page's URL, for a browser on this machine."""
    ip, port = bound.getsockname()[:2]
    if ip in ("0.0.0.0", "::"):
        ip = "127.0.0.1"
    name = host if host == "localhost" else f"[{ip}]" if ":" in ip else ip
    return f"http://{name}:{port}/"


class _Server(uvicorn.Server):
    """Ends without messages about the browsers that are still connected and get cut off."""

    async def shutdown(self, sockets=None) -> None:
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        await super().shutdown(sockets)


def make_server(app) -> uvicorn.Server:
    """A server whose ``run(sockets=[...])`` serves ``app``, and returns after ``should_exit``."""
    # do not wait for connections that browsers keep open
    return _Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1))


def serve_until_stopped(
    make_app: Callable, bound: socket.socket, host: str, *, page: str, exposes: str, browser: bool
) -> None:
    """Serve a page at a socket of :func:`bind` until Ctrl-C or SIGTERM.

    Args:
        make_app: makes the ASGI application.
        host: that was given to :func:`bind`.
        page: its name, such as "search page".
        exposes: what everybody can do who reaches it, such as "sees the pictures".
        browser: open a browser.
    """
    if not is_loopback(host):
        logger.warning(
            "Everybody who reaches port %d of this machine %s; leave --host out to serve this "
            "machine alone",
            bound.getsockname()[1],
            exposes,
        )
    # uvicorn raises the signal again after its shutdown; SystemExit, unlike the default, cleans up
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    server = make_server(make_app())
    url = address(bound, host)
    logger.info("The %s is at %s  (Ctrl-C ends it)", page, url)
    if browser:
        webbrowser.open(url)
    server.run(sockets=[bound])
