"""``person-search label``: what it adds, what it says of it, and what it refuses."""

import os
import shutil
import signal
import sys

import pytest

from fully_decoupled_ps.ready import DEFAULT_NETWORK
from person_search import network
from person_search.cli import label as label_command
from person_search.index import open_index
from person_search.label.building import locked_project
from person_search.label.store import open_project
from person_search.label.web import serving
from tests.person_search.label.coloured_people import (
    ColourNetwork,
    save_pictures,
    save_video,
    walk,
)

from .command import run

pytest.importorskip("trackers")


@pytest.fixture(autouse=True)
def loaded(monkeypatch):
    """Stands in for the network; what was asked for."""
    calls = []

    def load(*asked):
        calls.append(asked)
        return ColourNetwork()

    monkeypatch.setattr(network, "load_network", load)
    return calls


@pytest.fixture
def media(tmp_path):
    save_video(tmp_path / "media" / "hall" / "v.mkv", walk(15, red=10, blue=60))
    save_video(tmp_path / "media" / "door" / "v.mkv", walk(15, red=10))
    return tmp_path / "media"


@pytest.fixture
def label(tmp_path):
    def run_label(*args, page="--no-page"):
        return run("label", *args, "--project", tmp_path / "p", "--workers", 0, page)

    return run_label


def error_of(capsys):
    return capsys.readouterr().err.splitlines()[-1]


def test_the_project_and_what_is_said_of_it(media, label, tmp_path, loaded, caplog):
    caplog.set_level("INFO")
    (media / "hall" / "notes.txt").touch()
    assert label(media) == 0
    assert (
        f"2 recordings added, 0 unchanged; project {tmp_path / 'p'}: 2 recordings, 30 frames, "
        "3 tracklets" in caplog.text
    )
    assert "passed over: 1 .txt" in caplog.text
    assert "2 video(s) are taken to start at the time of the last change less the" in caplog.text
    assert loaded == [(DEFAULT_NETWORK, "", "", "", "auto")]
    project = open_project(tmp_path / "p")
    assert project.info().fps == 5 and not any(r.is_timed for r in project.recordings())
    assert [p.is_one_camera for p in project.simultaneous()] == [True]
    project.close()
    with open_index(str(tmp_path / "p" / "index")) as index:
        assert index.info.precision == ColourNetwork.precision
    caplog.clear()
    assert label(media, "--start", "1000s") == 0, "their times are others now"
    assert "0 recordings added, 2 unchanged" in caplog.text
    assert "its times are as they were said now" in caplog.text
    assert loaded[-1][-1] == ColourNetwork.precision, "later runs compute as the first one did"


def test_cameras_that_overlap(media, label, tmp_path):
    assert label(media, "--start", "1000s") == 0

    def between():
        project = open_project(tmp_path / "p")
        pairs = [p for p in project.simultaneous() if not p.is_one_camera]
        project.close()
        return len(pairs)

    assert between() == 2
    assert label("--overlap", "hall", "door") == 0
    assert between() == 0
    assert label(media, "--start", "1000s") == 0, "it is remembered"
    assert between() == 0


@pytest.mark.parametrize("pair, named", [(("hall", "gate"), "gate"), (("hall", "hall"), "hall")])
def test_cameras_that_are_none(media, label, capsys, loaded, pair, named):
    assert label(media, "--overlap", *pair) == 2
    said = error_of(capsys)
    assert "--overlap" in said and named in said and not loaded


@pytest.mark.parametrize(
    "option, value",
    [("--start", "2024-06-03"), ("--time-pattern", "(?P<seconds>x)"), ("--picture-fps", "5")],
)
def test_what_is_said_of_no_recording_is_refused(media, label, capsys, option, value):
    label(media)
    capsys.readouterr()
    assert label(option, value) == 2
    said = error_of(capsys)
    assert option in said and "none is named" in said


def test_a_copy_and_times_said_later_are_told(media, label, caplog):
    label(media)
    shutil.copytree(media / "hall", media / "hall2")
    assert label(media) == 0
    assert f"hall2{os.sep}" in caplog.text and "two people" in caplog.text
    assert label(media / "hall", "--start", "2020-01-01") == 0
    assert "its times are as they were said now" in caplog.text


def test_mistakes_are_told_before_the_network_is_loaded(media, label, tmp_path, capsys, loaded):
    assert label() == 2
    assert "there is no project" in error_of(capsys)
    assert label(tmp_path / "nothing") == 2
    assert "no such file or folder" in error_of(capsys)
    save_pictures(media / "gate", walk(3, red=10))
    assert label(media) == 2
    said = error_of(capsys)
    assert f"{media / 'gate'}: " in said and "--picture-fps" in said
    assert not loaded and not (tmp_path / "p").exists()
    (tmp_path / "p").mkdir()
    with locked_project(str(tmp_path / "p")):
        assert label(media / "hall") == 2
    assert "another process" in error_of(capsys) and not loaded


def test_without_the_tracker_it_says_what_to_install(media, label, capsys, monkeypatch, loaded):
    monkeypatch.setitem(sys.modules, "trackers", None)
    assert label(media) == 2
    assert 'pip install "trackers>=2.6"' in error_of(capsys) and not loaded


def test_pictures_and_what_is_assumed_of_them(tmp_path, label, caplog):
    folder = save_pictures(tmp_path / "media" / "gate", walk(8, red=10))
    assert label(folder, "--picture-fps", 5) == 0
    assert f"{folder}: its first picture is taken to be of when" in caplog.text
    assert label(folder, "--picture-fps", 5) == 0


def test_what_cant_be_read_is_listed_and_the_rest_is_added(media, label, tmp_path, caplog, capsys):
    (media / "hall" / "broken.mkv").write_bytes(b"none")
    assert label(media) == 1
    assert "1 file(s) could not be read:" in caplog.text and "broken.mkv" in caplog.text
    project = open_project(tmp_path / "p")
    assert len(project.recordings()) == 2
    project.close()
    assert label(media / "hall" / "broken.mkv") == 2
    assert "broken.mkv" in error_of(capsys)


def test_the_projects_own_files_are_no_recordings(media, label, tmp_path, caplog):
    caplog.set_level("INFO")
    assert label(media) == 0
    save_pictures(tmp_path / "p" / "export", walk(2, red=10))
    assert label(tmp_path) == 0
    assert "2 files of the project itself are passed over" in caplog.text
    assert "0 recordings added, 2 unchanged" in caplog.text


def test_the_projects_network_is_the_default(media, label, loaded, monkeypatch):
    monkeypatch.setattr(ColourNetwork, "location", str(media))
    assert label(media, "--model", "some") == 0
    assert label(media) == 0
    assert [asked[0] for asked in loaded] == ["some", str(media)]


def test_ctrl_c_stops_it_and_the_same_command_goes_on(media, label, tmp_path, monkeypatch, caplog):
    caplog.set_level("INFO")
    find = ColourNetwork.run

    def press_ctrl_c(self, inputs):
        os.kill(os.getpid(), signal.SIGINT)
        return find(self, inputs)

    with monkeypatch.context() as patched:
        patched.setattr(ColourNetwork, "run", press_ctrl_c)
        # no page, though it was asked for
        assert run("label", media, "--project", tmp_path / "p", "--workers", 0, "--port", 0) == 130
    assert "the same command goes on from here" in caplog.text
    assert label(media) == 0
    assert "2 recordings added" in caplog.text


def test_the_page_and_the_export_come_after_the_recordings(media, label, tmp_path, monkeypatch):
    calls, project = [], str(tmp_path / "p")

    def note(name):
        # the project is there, and free
        return lambda *args, **kwargs: calls.append((name, open_project(project).close())) or 0

    monkeypatch.setattr(label_command, "export", note("export"))
    monkeypatch.setattr(serving, "serve_labelling", note("page"))
    assert label(media, page="--export") == 0
    assert label(page="--export") == 0
    assert run("label", "--project", project, "--port", 0) == 0
    assert [name for name, _ in calls] == ["export", "export", "page"]
