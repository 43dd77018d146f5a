"""``person-search serve``: what is refused before all work, and with what the page is served."""

import argparse
import json
import sys

import pytest

from person_search.cli import serve
from person_search.cli.main import main
from person_search.index import IndexInfo, open_index
from person_search.web import server
from person_search.web.listening import bind


@pytest.fixture
def made_index(tmp_path, network):
    """An empty index of the tiny network."""
    info = IndexInfo(network.fingerprint, network.dim, network.location, network.weights)
    with open_index(str(tmp_path / "index"), create=info) as index:
        return index.location


@pytest.fixture
def served(monkeypatch):
    """What would have been served."""
    calls = []
    monkeypatch.setattr(server, "serve", lambda *args, **options: calls.append((*args, options)))
    return calls


def refused(capsys, *args):
    """The one line that a refused command prints."""
    assert main(["serve", "--port", "0", *map(str, args)]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    return lines[-1]


def change_info(location, **values):
    path = f"{location}/index.json"
    with open(path) as file:
        info = json.load(file)
    with open(path, "w") as file:
        json.dump({**info, **values}, file)


def test_no_index(capsys, tmp_path, served):
    assert "there is no index; make one with" in refused(capsys, "--index", tmp_path / "none")
    assert served == []


def test_an_index_of_another_version(capsys, made_index, served):
    change_info(made_index, version=99)
    assert "is of version 99, and this code reads" in refused(capsys, "--index", made_index)
    assert served == []


def test_a_port_in_use(capsys, made_index, served):
    with bind("127.0.0.1", 0) as bound:
        bound.listen()
        port = bound.getsockname()[1]
        assert f"--port {port} is in use" in refused(capsys, "--index", made_index, "--port", port)
    assert served == []


def test_gradio_is_missing(capsys, made_index, served, monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)  # an import of it fails
    assert 'pip install "gradio' in refused(capsys, "--index", made_index)
    assert served == []


def test_a_network_that_is_asked_for_has_to_be_the_index_s(capsys, made_index, run_folder, served):
    change_info(made_index, fingerprint="c" * 64)
    line = refused(capsys, "--index", made_index, "--model", run_folder, "--device", "cpu")
    assert "features of two models can't be compared" in line
    assert served == []


def test_the_network_of_the_index_is_used(made_index, served):
    assert main(["serve", "--port", "0", "--index", made_index, "--device", "cpu"]) == 0
    service, bound, host, options = served[0]
    assert service.network.fingerprint == service.index.info.fingerprint
    assert host == "127.0.0.1" and options == {"browser": False, "names": []}


@pytest.mark.parametrize("change", [{"model": "/moved/run"}, {"fingerprint": "c" * 64}])
def test_without_its_network_all_but_own_pictures_works(capsys, made_index, served, change):
    change_info(made_index, **change)
    assert main(["serve", "--port", "0", "--index", made_index]) == 0
    service = served[0][0]
    assert service.network is None
    assert service.no_network.startswith("Own pictures can't be searched on this page: ")
    assert next(iter(change.values()))[:12] in service.no_network


def test_loopback_is_the_default():
    parser = argparse.ArgumentParser()
    serve.add_arguments(parser)
    assert parser.parse_args(["--index", "DIR"]).host == "127.0.0.1"
