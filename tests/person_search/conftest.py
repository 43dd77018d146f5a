"""What tests of the index and of the commands share."""

import time
from types import SimpleNamespace

import pytest


@pytest.fixture
def impatient_milvus(monkeypatch):
    """pymilvus asks every 5 ms whether a collection's index is built, not every half second."""
    grpc_handler = pytest.importorskip("pymilvus.client.grpc_handler")
    quick = SimpleNamespace(**vars(time))
    quick.sleep = lambda seconds: time.sleep(min(seconds, 0.005))
    monkeypatch.setattr(grpc_handler, "time", quick)
