"""The allow-list of the search page: a browser reaches the page, and no other part of Gradio.

Gradio serves files by their path, describes its interface, and accepts calls of many kinds. The
page needs few of these; the rest is refused before Gradio sees it.
"""

import json
import re
from collections.abc import Iterable, Mapping

from .guard import READ, WRITE, Guard, Refused, Route
from .uploads import MAX_UPLOAD, UPLOAD_PATH

# All requests of the page.
ROUTES = (
    Route(READ, re.compile(r"/"), 0),
    Route(READ, re.compile(r"/(favicon\.ico|theme\.css)"), 0),
    Route(READ, re.compile(r"/assets/[\w.@-]+\.(css|js|woff2?|svg|png)"), 0),
    Route(READ, re.compile(r"/static/js/iframeResizer\.contentWindow\.min\.js"), 0),
    Route(READ, re.compile(r"/gradio_api/heartbeat/\w+"), 0),
    Route(READ, re.compile(r"/gradio_api/queue/data"), 0),
    Route(WRITE, re.compile(r"/gradio_api/queue/join"), 1_000_000),
    Route(WRITE, re.compile(re.escape(UPLOAD_PATH)), MAX_UPLOAD),
)
# Gradio's scripts are inline, and some are generated from text; nothing is from other servers.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "object-src 'none'; form-action 'none'; base-uri 'self'; frame-ancestors 'none'"
)


class GradioGuard(Guard):
    """The guard of the search page."""

    def __init__(self, app, host: str, calls: Mapping[int, int], names: Iterable[str] = ()):
        """
        Args:
            calls: number of inputs of each of the page's functions, by Gradio's number for it.
            host, names: as of :class:`Guard`.
        """
        super().__init__(app, host, ROUTES, POLICY, names)
        self.calls = calls

    async def __call__(self, scope, receive, send):
        if scope.get("path") == "/":
            # the state in the address is for the page's scripts, not for Gradio
            scope = {**scope, "query_string": b""}
        return await super().__call__(scope, receive, send)

    def is_cached(self, path: str) -> bool:
        return path.startswith(("/assets/", "/static/"))

    def check_body(self, path: str, body: bytes) -> None:
        if path.startswith("/gradio_api/"):
            self._check_call(body)

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
