"""Fixtures of the report's tests."""

import pytest

from .made_up_run import make_run


@pytest.fixture(scope="session")
def big_run(tmp_path_factory):
    """A run of 30 queries, of which the report shows 12. Not to be changed."""
    return make_run(tmp_path_factory.mktemp("big") / "run", num_queries=30)


@pytest.fixture
def run(tmp_path):
    """A run of 3 queries, for tests that change it."""
    return make_run(tmp_path / "run", num_queries=3)
