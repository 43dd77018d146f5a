"""A tiny run, and its network."""

import pytest

from fully_decoupled_ps.inference import load_network
from tests.inference.tiny_run import make_run


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "reid")


@pytest.fixture(scope="session")
def network(run_folder):
    return load_network(str(run_folder), device="cpu")
