"""A tiny run, its network, and an index of four pictures."""

import functools
import os

import pytest

from person_search import network
from person_search.cli import queries
from person_search.network import load_network
from tests.tiny_run import save_picture

from .command import index_args, run

_load_once = functools.lru_cache(maxsize=6)(load_network)


@pytest.fixture(autouse=True)
def networks_are_loaded_once(monkeypatch):
    """It takes longer than everything else that the commands do here."""

    def load(location, weights="", device="", models_dir="", precision=""):
        return _load_once(str(location), str(weights), device, str(models_dir), precision)

    monkeypatch.setattr(network, "load_network", load)
    monkeypatch.setattr(queries, "load_network", load)


@pytest.fixture
def pictures(tmp_path):
    """By camera: cam0/0.png, cam1/1.png, cam0/2.png, cam1/3.png; times 100 to 103."""
    paths = []
    for i in range(4):
        paths.append(save_picture(tmp_path / "media" / f"cam{i % 2}" / f"{i}.png", seed=i))
        os.utime(paths[-1], (100 + i, 100 + i))
    return paths


@pytest.fixture
def index_folder(tmp_path, run_folder, pictures):
    folder = tmp_path / "index"
    assert run(*index_args(run_folder, folder, tmp_path / "media")) == 0
    return folder
