"""``person-search models``, and which network the other commands take."""

import json
import logging
import os

import pytest

from fully_decoupled_ps import ready
from fully_decoupled_ps.predictor import Predictor
from person_search import network as door
from person_search.errors import UserError
from person_search.index import IndexInfo, open_index
from person_search.network import choose_network
from tests.ready_network import publishing
from tests.tiny_run import make_run

from .command import run


@pytest.fixture
def published(tmp_path, monkeypatch):
    with publishing(tmp_path, monkeypatch) as server:
        yield server


def test_the_list(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert run("models", "--models-dir", tmp_path) == 0
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0] == f"{ready.DEFAULT_NETWORK} (not here yet, the default)"
    assert lines[-1] == f"Folder of the files: {tmp_path}"
    text = " ".join(out.split())
    for network in ready.ready_networks():
        assert f"{network.name} (not here yet" in out and network.use in text
    # by the yaml: 17,293,009 bytes
    assert "re-id OSNetAIN, 17 MB; licence MIT; its author: for research only; trained on" in text
    assert "detector faster_rcnn_R_50_FPN_3x, 167 MB; licence CC BY-SA 3.0;" in text


def test_what_is_not_known_is_said(published, capsys):
    assert run("models") == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "size not known; licence not known; trained on data that are not known" in text
    assert run("models", "--json") == 0
    (record,) = json.loads(capsys.readouterr().out)
    detector = record["parts"]["detector"]
    assert (detector["bytes"], detector["sha256"], detector["licence"]) == (None, None, None)
    assert detector["address"] == published.url.replace("weights", "detector")
    assert detector["file"] == "detector.pth"


def test_fetch(published, tmp_path, capsys, caplog):
    caplog.set_level(logging.INFO)
    folder = tmp_path / "elsewhere"
    args = ("models", "--models-dir", folder)
    assert run(*args, "--fetch", "tiny") == 0
    assert f"tiny is here: its files are in {folder}" in caplog.text
    assert (folder / "detector.pth").read_bytes() == published.content
    assert run(*args) == 0
    assert capsys.readouterr().out.startswith("tiny (here)")
    assert run("models") == 0
    assert capsys.readouterr().out.startswith("tiny (not here yet)")
    # all of a file is checked, also where its size and time are the same
    before = (folder / "detector.pth").stat()
    (folder / "detector.pth").write_bytes(published.content[::-1])
    os.utime(folder / "detector.pth", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert run(*args, "--fetch", "tiny") == 2
    assert "detector.pth" in capsys.readouterr().err


def test_mistakes(published, capsys):
    assert run("models", "--fetch", "tiny", "tini") == 2
    err = capsys.readouterr().err
    assert err.startswith("error: --fetch tini: no ready network is called so; did you mean tiny?")
    assert err.count("\n") == 1 and published.asked == [], "before anything is downloaded"
    published.status = 404
    assert run("models", "--fetch", "tiny") == 2
    err = capsys.readouterr().err
    assert "the server says 404" in err and err.count("\n") == 1


INFO = IndexInfo("f" * 64, 4, "osnet-ain-fast", "")


def test_what_is_named_is_taken(tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    assert choose_network("run", "file", INFO) == ("run", "file")
    assert choose_network("osnet-ain", "", None) == ("osnet-ain", "")
    assert caplog.text == ""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "osnet-ain").mkdir()
    assert choose_network("osnet-ain", "", None) == ("osnet-ain", "")
    assert "the file or folder is ./osnet-ain" in caplog.text


def test_else_that_of_the_index(tmp_path):
    assert choose_network("", "", INFO) == ("osnet-ain-fast", "")
    assert choose_network("", "file", INFO) == ("osnet-ain-fast", "file")
    made_by_run = IndexInfo("f" * 64, 4, str(tmp_path), "own.pth")
    assert choose_network("", "", made_by_run) == (str(tmp_path), "own.pth")
    assert choose_network("", "file", made_by_run) == (str(tmp_path), "file")
    with pytest.raises(UserError, match="not at /gone any more"):
        choose_network("", "", IndexInfo("f" * 64, 4, "/gone", ""))


def test_else_the_default_one(caplog):
    caplog.set_level(logging.INFO)
    assert choose_network("", "", None) == (ready.DEFAULT_NETWORK, "")
    assert f"Network: {ready.DEFAULT_NETWORK}, as no --model is named" in caplog.text
    with pytest.raises(UserError, match="--weights file needs --model"):
        choose_network("", "file", None)


@pytest.fixture
def loaded(run_folder, monkeypatch):
    """Locations that the commands load; ready networks are the tiny run's."""
    locations = []
    load = door.load_network

    def load_tiny(location, weights="", device="", models_dir="", precision=""):
        locations.append((location, models_dir))
        if not ready.is_ready_name(location):
            return load(location, weights, device, precision=precision)
        tiny = load(run_folder, device="cpu", precision=precision)
        named = object.__new__(Predictor)
        named.__dict__.update(tiny.__dict__, location=location)
        return named

    monkeypatch.setattr(door, "load_network", load_tiny)
    monkeypatch.setattr("person_search.cli.queries.load_network", load_tiny)
    return locations


def info_of(folder):
    with open_index(str(folder)) as index:
        return index.info


def test_an_index_says_which_one_made_it(pictures, tmp_path, loaded):
    args = ("index", tmp_path / "media", "--workers", 0, "--index")
    assert run(*args, tmp_path / "a", "--models-dir", "/models") == 0
    assert loaded == [(ready.DEFAULT_NETWORK, "/models")]
    assert info_of(tmp_path / "a").model == ready.DEFAULT_NETWORK
    assert run(*args, tmp_path / "b", "--model", "osnet-ain-fast") == 0
    loaded.clear()
    # the same command without --model goes on with that one, and so does a query
    assert run(*args, tmp_path / "b") == 0
    assert run("query", pictures[0], "--index", tmp_path / "b", "--models-dir", "/m") == 0
    assert loaded == [("osnet-ain-fast", ""), ("osnet-ain-fast", "/m")]


def test_an_index_of_a_run_goes_on_with_it(pictures, tmp_path, run_folder, loaded, capsys):
    args = ("index", tmp_path / "media", "--workers", 0, "--index", tmp_path / "i")
    assert run(*args, "--model", run_folder) == 0
    assert run(*args) == 0
    assert [location for location, _ in loaded] == [str(run_folder)] * 2
    other = make_run(tmp_path / "other", ("INPUT.MIN_SIZE_TEST", 48))
    assert run(*args, "--model", other) == 2
    assert "features of two models can't be compared" in capsys.readouterr().err
    assert run(*args, "--model", "osnet-ein") == 2
    assert "did you mean osnet-ain or osnet-ain-fast?" in capsys.readouterr().err


def test_a_damaged_index_is_not_taken_for_none(pictures, tmp_path, loaded, capsys):
    (tmp_path / "i").mkdir()
    (tmp_path / "i" / "index.json").write_text("{")
    assert run("index", tmp_path / "media", "--index", tmp_path / "i") == 2
    assert "index.json is damaged" in capsys.readouterr().err and loaded == []


def test_serve_without_a_network_for_its_files(pictures, tmp_path, loaded, monkeypatch):
    """Offline on a new machine: all but own pictures works."""
    index = tmp_path / "i"
    assert run("index", tmp_path / "media", "--workers", 0, "--index", index) == 0

    def fail(*args):
        raise UserError("https://example.org can't be downloaded")

    monkeypatch.setattr(door, "load_network", fail)
    served = []
    monkeypatch.setattr("person_search.web.server.serve", lambda *a, **kw: served.append(a[0]))
    assert run("serve", "--index", index, "--port", 0) == 0
    assert served[0].network is None
    assert "https://example.org can't be downloaded" in served[0].no_network
