"""An empty index of each kind."""

import importlib.util

import pytest

from person_search.index import open_index

from .made_up_index import INFO

HAS_MILVUS = all(importlib.util.find_spec(name) for name in ("pymilvus", "milvus_lite"))


@pytest.fixture(
    params=[
        "folder",
        pytest.param(
            "milvus", marks=pytest.mark.skipif(not HAS_MILVUS, reason="Milvus Lite is missing")
        ),
    ]
)
def location(request, tmp_path):
    """What ``--index`` says of an index that is not there yet."""
    if request.param == "folder":
        return str(tmp_path / "index")
    request.getfixturevalue("impatient_milvus")
    return f"milvus://{tmp_path}/lite.db/persons"


@pytest.fixture
def index(location):
    with open_index(location, create=INFO) as index:
        yield index
