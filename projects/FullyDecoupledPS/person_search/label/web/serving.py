"""Serving the labelling page of a project."""

from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path

from ...errors import UserError
from ...index.locking import WriterLock
from ..labelling import TARGET_RECALL, Labelling, collect_seldom
from ..store import open_project


def check_page(host: str, port: int) -> None:
    """Whether a page can be served.

    Raises:
        UserError: if the port is in use, or a package is missing.
    """
    bind, _ = _listening()
    bind(host, port).close()


def _listening():
    try:
        from ...web.listening import bind, serve_until_stopped
    except ImportError as error:
        raise UserError(
            f'the page needs the package {error.name}: pip install "starlette>=1.10" '
            '"uvicorn>=0.54"'
        ) from error
    return bind, serve_until_stopped


def serve_labelling(
    folder: str | Path,
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    browser: bool = False,
    names: Sequence[str] = (),
    target_recall: float = TARGET_RECALL,
) -> None:
    """Serve the page of the project in ``folder`` until Ctrl-C or SIGTERM.

    The project is locked meanwhile: nobody else changes it.

    Args:
        port: 0: any that is free.
        browser: open a browser.
        names: further host names in the browser's address, such as a proxy's.
        target_recall: 0..1, up to which the page counts the decisions that are left.

    Raises:
        UserError: if there is no project, another process writes to it, the port is in use, or a
            package is missing.
    """
    bind, serve_until_stopped = _listening()
    from .app import make_app
    from .service import LabelService

    with ExitStack() as stack:
        project = stack.enter_context(closing(open_project(folder)))
        stack.callback(WriterLock(Path(folder)).release)
        bound = stack.enter_context(bind(host, port))
        pictures = stack.enter_context(closing(open_project(folder)))
        service = LabelService(Labelling(project, target_recall), pictures)
        collect_seldom()
        serve_until_stopped(
            lambda: make_app(service, host, names),
            bound,
            host,
            page="labelling page",
            exposes="sees the pictures and can change who is who",
            browser=browser,
        )
