"""A drawn project, anew for every test, its page, and a browser."""

import shutil
from contextlib import closing

import pytest
from starlette.testclient import TestClient

import make_screenshots as screenshots
from person_search.label.labelling import Labelling
from person_search.label.store import FILE_NAME, open_project
from person_search.label.web.app import make_app
from person_search.label.web.service import LabelService
from tests.person_search.web.browser import chromium

from .drawn_project import make_project
from .visitor import DESKTOP, PHONE, Visitor

OWN = "http://127.0.0.1:7860"


@pytest.fixture(scope="session")
def drawn(tmp_path_factory):
    return make_project(tmp_path_factory.mktemp("drawn"))


@pytest.fixture
def folder(drawn, tmp_path):
    """Of a project of the test's own; its pictures are shared."""
    shutil.copy(drawn / FILE_NAME, tmp_path)
    return tmp_path


@pytest.fixture
def labelling(folder):
    with closing(open_project(folder)) as project:
        yield Labelling(project)


@pytest.fixture
def service(labelling, folder):
    with closing(open_project(folder)) as project:
        yield LabelService(labelling, project)


@pytest.fixture
def client(service):
    return TestClient(make_app(service, "127.0.0.1"), base_url=OWN)


@pytest.fixture(scope="module")
def window():
    with chromium() as browser:
        yield browser.new_context()


@pytest.fixture(params=[DESKTOP, PHONE], ids=["desktop", "phone"])
def any_width(request):
    return request.param


@pytest.fixture
def serve(service):
    with screenshots.running(make_app(service, "127.0.0.1")) as url:
        yield url


@pytest.fixture
def visit(window, serve):
    """Opens the page at a size; at the end nothing may have gone wrong in it."""
    pages, complaints, requests = [], [], []

    def open_page(path="/", size=DESKTOP):
        page = window.new_page()
        pages.append(page)
        page.set_viewport_size(size)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda line: line.type == "error" and complaints.append(line.text))
        page.on("request", lambda request: requests.append(request.url))
        page.add_init_script(
            """const real = window.fetch; window.answers = 0;
            window.fetch = async (...all) => {
              const answer = await real(...all);
              if (all[0] === '/decide') window.answers += 1;
              return answer;
            };"""
        )
        visitor = Visitor(page, serve)
        visitor.go(path)
        return visitor

    yield open_page
    for page in pages:
        page.close()
    # what is refused, what is gone, and what fails is told in the page
    expected = ("400 (Bad Request)", "404 (Not Found)", "500 (Internal Server Error)")
    assert [c for c in complaints if not any(text in c for text in expected)] == []
    assert [r for r in requests if not r.startswith((serve, "data:"))] == []
