"""The allow-list of requests to a page: who may make them, and which.

Only requests by the page's own host names are answered, and none that other web pages make.
"""

import ipaddress
import socket
from collections.abc import Iterable
from re import Pattern
from typing import NamedTuple
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse

READ, WRITE = ("GET", "HEAD"), ("POST",)


class Route(NamedTuple):
    """Requests that a page makes."""

    methods: tuple[str, ...]
    path: Pattern  # of the whole path
    limit: int  # most bytes of the body


HEADERS = {
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",  # the address names who is searched
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_LOOPBACK = frozenset(("localhost", "127.0.0.1", "::1"))


class Refused(Exception):
    """A request that is not answered: status and text."""


class Guard:
    """ASGI middleware that answers 403, 404, 405 or 413 in place of the application."""

    def __init__(
        self, app, host: str, routes: Iterable[Route], policy: str, names: Iterable[str] = ()
    ):
        """
        Args:
            host: at which the page is served.
            routes: all requests of the page.
            policy: of the page's content (``Content-Security-Policy``).
            names: further host names in the browser's address, such as a proxy's.
        """
        self.app = app
        self.routes = tuple(routes)
        self.headers = {**HEADERS, "Content-Security-Policy": policy}
        self.proxies = frozenset(name.lower() for name in names)
        self.names = self.proxies | {host.lower(), *_LOOPBACK}
        self.any_address = host not in _LOOPBACK
        if self.any_address:
            self.names |= {socket.gethostname().lower(), socket.getfqdn().lower()}

    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        if scope["type"] != "http":  # the page has no web socket
            return await send({"type": "websocket.close", "code": 1008})
        send = self._with_headers(send, scope["path"])
        try:
            limit = self._check(scope)
            if scope["method"] == "POST":
                receive = await self._read_body(scope, receive, limit)
        except Refused as refusal:
            status, text = refusal.args
            return await PlainTextResponse(text, status)(scope, receive, send)
        return await self.app(scope, receive, send)

    def _check(self, scope) -> int:
        """The most bytes that the request may have; raises Refused if it is not the page's."""
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        name = _host_name(host)
        if not self._is_ours(name) or "@" in host:
            fix = f"; start it with --name {name} if it is" if name else ""
            raise Refused(403, f"This page is not served as {name!r}{fix}")
        self._check_origin(headers, host, is_page=scope["path"] == "/")
        methods = set()
        for allowed, path, limit in self.routes:
            if path.fullmatch(scope["path"]) and scope["path"].isascii():
                if scope["method"] in allowed:
                    return limit
                methods |= set(allowed)
        raise Refused(405, "Method not allowed") if methods else Refused(404, "Not found")

    def _is_ours(self, name: str) -> bool:
        if name in self.names:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return self.any_address

    def _check_origin(self, headers: Headers, host: str, is_page: bool) -> None:
        origin, site = headers.get("origin"), headers.get("sec-fetch-site", "none")
        if origin is not None:
            # behind a proxy the host can be another than the browser's
            authority = _authority(origin)
            own = authority.lower() == host.lower()
            if not own and _host_name(authority) not in self.proxies:
                raise Refused(403, "Requests of other pages are refused")
        elif site not in ("same-origin", "none"):
            # a link to the page may be followed, but no other page may embed parts of it
            if not (is_page and headers.get("sec-fetch-dest") == "document"):
                raise Refused(403, "Requests of other pages are refused")

    async def _read_body(self, scope, receive, limit: int):
        """Read the whole body; returns a ``receive`` that gives it again, or raises Refused."""
        chunks, size, more = [], 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                break
            chunks.append(message.get("body", b""))
            size += len(chunks[-1])
            if size > limit:
                raise Refused(413, f"Too large: {limit / 1e6:g} MB are allowed")
            more = message.get("more_body", False)
        body = b"".join(chunks)
        self.check_body(scope["path"], body)
        messages = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive_again():
            return messages.pop() if messages else await receive()

        return receive_again

    def is_cached(self, path: str) -> bool:
        """Whether a browser may keep what is at ``path``."""
        return False

    def check_body(self, path: str, body: bytes) -> None:
        """Raise Refused if it is none of the page's."""

    def _with_headers(self, send, path: str):
        """Add our headers to a response, and remove those that let other pages read it."""

        async def send_with_headers(message):
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name in [n for n in headers if n.startswith("access-control-")]:
                    del headers[name]
                headers.update(self.headers)
                if not self.is_cached(path):
                    headers["Cache-Control"] = "no-store"
            await send(message)

        return send_with_headers


def _authority(origin: str) -> str:
    """Host and port; "" if it is no origin of a web page.

    >>> _authority("http://[::1]:7860"), _authority("null"), _authority("http://[")
    ('[::1]:7860', '', '')
    """
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


def _host_name(authority: str) -> str:
    """
    >>> _host_name("LocalHost:7860"), _host_name("[::1]:7860")
    ('localhost', '::1')
    """
    try:
        return (urlsplit(f"//{authority}").hostname or "").lower()
    except ValueError:
        return ""
