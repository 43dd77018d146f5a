"""A world to search, drawn once, and its index and service, opened anew for every test."""

import pytest

from fully_decoupled_ps.index import open_index
from fully_decoupled_ps.web.service import SearchService

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
