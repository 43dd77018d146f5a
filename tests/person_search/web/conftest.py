"""A world to search, drawn once, and its index and service, opened anew for every test."""

import pytest

from person_search.index import open_index
from person_search.web.service import SearchService

from .made_up_world import make_world


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture
def index(world):
    with open_index(world.location) as index:
        yield index


@pytest.fixture
def service(index):
    return SearchService(index, no_network="the network is elsewhere")
