"""The allow-list of requests: a browser reaches the page, and no other part of Gradio.

Gradio serves files by their path, describes its interface, and accepts calls of many kinds. The
page needs few of these; the rest is refused before Gradio sees it.
"""

import ipaddress
import json
import re
import socket
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse

from .uploads import MAX_UPLOAD, UPLOAD_PATH

READ, WRITE = ("GET", "HEAD"), ("POST",)
# All requests of the page: (methods, path, most bytes of the body).
ROUTES = (
    (READ, re.compile(r"/"), 0),
    (READ, re.compile(r"/(favicon\.ico|theme\.css)"), 0),
    (READ, re.compile(r"/assets/[\w.@-]+\.(css|js|woff2?|svg|png)"), 0),
    (READ, re.compile(r"/static/js/iframeResizer\.contentWindow\.min\.js"), 0),
    (READ, re.compile(r"/gradio_api/heartbeat/\w+"), 0),
    (READ, re.compile(r"/gradio_api/queue/data"), 0),
    (WRITE, re.compile(r"/gradio_api/queue/join"), 1_000_000),
    (WRITE, re.compile(re.escape(UPLOAD_PATH)), MAX_UPLOAD),
)
# Gradio's scripts are inline, and some are generated from text; nothing is from other servers.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "object-src 'none'; form-action 'none'; base-uri 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
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

    def __init__(self, app, host: str, calls: Mapping[int, int], names: Iterable[str] = ()):
        """
        Args:
            host: at which the page is served.
            calls: number of inputs of each of the page's functions, by Gradio's number for it.
            names: further host names in the browser's address, such as a proxy's.
        """
        self.app = app
        self.calls = calls
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
        send = _with_headers(send, scope["path"])
        try:
            limit = self._check(scope)
            if scope["method"] == "POST":
                receive = await self._read_body(scope, receive, limit)
        except Refused as refusal:
            status, text = refusal.args
            return await PlainTextResponse(text, status)(scope, receive, send)
        if scope["path"] == "/":
            # the state in the address is for the page's scripts, not for Gradio
            scope = {**scope, "query_string": b""}
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
        for allowed, path, limit in ROUTES:
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
                raise Refused(413, f"Too large: {limit // 1_000_000} MB are allowed")
            more = message.get("more_body", False)
        body = b"".join(chunks)
        if scope["path"].startswith("/gradio_api/"):
            self._check_call(body)
        messages = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive_again():
            return messages.pop() if messages else await receive()

        return receive_again

    def _check_call(self, body: bytes) -> None:
        """Refuse calls that the page does not make, and objects in place of a field's value.

        Gradio fails at the former. It takes the latter for files, and would copy the file that they
        name, or download it.
        """
        try:
            call = json.loads(body)
            # neither NaN nor a lone surrogate: Gradio fails at both
            json.dumps(call, ensure_ascii=False, allow_nan=False).encode()
            values, event = list(call["data"]), call.get("event_data")
            number, session = call["fn_index"], call["session_hash"]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise Refused(400, "Not a call of this page") from error
        flat = [v for value in values for v in (value if isinstance(value, list) else [value])]
        flat += event.values() if isinstance(event, dict) else [event]
        if (
            not all(value is None or isinstance(value, (str, int, float)) for value in flat)
            or type(number) is not int  # True is an int too
            or self.calls.get(number) != len(values)
            or not (isinstance(session, str) and re.fullmatch(r"\w+", session))
        ):
            raise Refused(400, "Not a call of this page")


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


def _with_headers(send, path: str):
    """Add ``HEADERS`` to a response, and remove those that would let other pages read it."""

    async def send_with_headers(message):
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name in [n for n in headers if n.startswith("access-control-")]:
                del headers[name]
            headers.update(HEADERS)
            if not path.startswith(("/assets/", "/static/")):
                headers["Cache-Control"] = "no-store"
        await send(message)

    return send_with_headers
