"""A drawn project, anew for every test, and its page."""

import shutil
from contextlib import closing

import pytest
from starlette.testclient import TestClient

from person_search.label.labelling import Labelling
from person_search.label.store import FILE_NAME, open_project
from person_search.label.web.app import make_app
from person_search.label.web.service import LabelService

from .drawn_project import make_project

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
