"""The web application of the labelling page."""

from collections.abc import Sequence
from pathlib import Path

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import (
    FileResponse,
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
)
from starlette.routing import Route

from fully_decoupled_ps.utils.names import printable

from ... import web
from ...errors import UserError
from ...web import guard
from . import views
from .decisions import LARGEST, decide, describe, parse_request
from .service import LabelService

MAX_DECISION = 100_000  # bytes
JPEG = "image/jpeg"
# What pages are made of, and where it is.
FILES = {
    "page.css": Path(web.__file__).parent / "templates",  # the search page's
    **dict.fromkeys(("label.css", "label.js", "frame.js"), views.TEMPLATES),
}
# Nothing is inline, and nothing is from other servers.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def make_app(service: LabelService, host: str, names: Sequence[str] = ()) -> Starlette:
    """The web application; ``host`` and ``names`` are those of the guard."""
    pages = Pages(service)
    routes = pages.routes()
    allowed = [
        guard.Route(tuple(route.methods), route.path_regex, MAX_DECISION) for route in routes
    ]
    return Starlette(
        routes=routes,
        middleware=[Middleware(guard.Guard, host=host, routes=allowed, policy=POLICY, names=names)],
        exception_handlers={UserError: pages.problem},
    )


class Pages:
    """Answers requests. A :class:`UserError` of any is answered by :meth:`problem`."""

    def __init__(self, service: LabelService):
        self.service = service
        self.labelling = service.labelling

    def routes(self) -> list[Route]:
        files = [Route(f"/{name}", self.file) for name in FILES]
        return [
            Route("/", self.question),
            Route("/compare", self.compare),
            Route("/persons", self.persons),
            Route("/person", self.person),
            Route("/frames/{frame:int}", self.frame),
            Route("/history", self.history),
            Route("/crops/{tracklet:int}/{number:int}", self.crop),
            Route("/pictures/{frame:int}", self.picture),
            Route("/decide", self.decide, methods=["POST"]),
            *files,
        ]

    # pages

    def question(self, request: Request) -> Response:
        return HTMLResponse(views.question(self.service))

    def compare(self, request: Request) -> Response:
        """Two units, ``a`` and ``b``; or unit ``a`` and the person with a ``number``."""
        a = _number(request, "a")
        if "number" in request.query_params:
            other = self.service.group_of_number(_number(request, "number"))
            return RedirectResponse(f"/compare?a={a}&b={other.units[0]}", 303)
        b = _number(request, "b")
        if b in self.labelling.group_of(a).units:
            return RedirectResponse(f"/person?unit={a}", 303)
        return HTMLResponse(views.comparison(self.service, a, b))

    def persons(self, request: Request) -> Response:
        return HTMLResponse(views.persons(self.service, _number(request, "page", 1)))

    def person(self, request: Request) -> Response:
        """The person that has a ``unit``, or a ``number``."""
        if "number" in request.query_params:
            group = self.service.group_of_number(_number(request, "number"))
            return RedirectResponse(f"/person?unit={group.units[0]}", 303)
        return HTMLResponse(views.person(self.service, _number(request, "unit")))

    def frame(self, request: Request) -> Response:
        return HTMLResponse(views.frame(self.service, _number(request, "frame")))

    def history(self, request: Request) -> Response:
        return HTMLResponse(views.history(self.service, _number(request, "page", 1)))

    def problem(self, request: Request, error: UserError) -> Response:
        text = printable(str(error))
        if request.url.path.startswith(("/crops/", "/pictures/")):
            return PlainTextResponse(text, 404)
        return HTMLResponse(views.problem(self.service, text), 404)

    # pictures and files

    def crop(self, request: Request) -> Response:
        numbers = _number(request, "tracklet"), _number(request, "number")
        return Response(self.service.crop(*numbers), media_type=JPEG)

    def picture(self, request: Request) -> Response:
        return Response(self.service.frame_picture(_number(request, "frame")), media_type=JPEG)

    def file(self, request: Request) -> Response:
        name = request.url.path.removeprefix("/")
        return FileResponse(FILES[name] / name)

    # decisions

    async def decide(self, request: Request) -> Response:
        body = await request.body()
        try:
            return JSONResponse({"said": await run_in_threadpool(self._decide, body)})
        except UserError as error:
            return JSONResponse({"error": printable(str(error))}, 400)

    def _decide(self, body: bytes) -> str:
        decision = decide(self.labelling, self.service.key, parse_request(body))
        return describe(self.labelling, decision)


def _number(request: Request, name: str, default: int | None = None) -> int:
    """A whole number of the address."""
    text = request.path_params.get(name, request.query_params.get(name, default))
    try:
        number = int(text)
    except (TypeError, ValueError):
        number = None
    if number is None or abs(number) > LARGEST:
        raise UserError(f"{name} in the address is {text!r} and must be a whole number")
    return number
