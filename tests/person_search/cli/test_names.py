"""Files whose names are no UTF-8, or would do something to a terminal, in every command."""

import csv
import io
import json
import os

import pytest

from person_search.index import open_index
from tests.tiny_run import save_picture, save_video

from .command import index_args, query_json, run

# A camera's folder, and pictures in it.
FOLDER = b"caf\xe9"
LATIN, SPOOF = b"\xe9t\xe9 #1.png", b"a\x1b[31m\n\xe2\x80\xaegpj.png"


@pytest.fixture
def media(tmp_path):
    folder = os.path.join(os.fsencode(tmp_path), b"media", FOLDER)
    os.makedirs(folder)
    for i, name in enumerate((LATIN, SPOOF)):
        plain = save_picture(tmp_path / "plain.png", seed=i)
        os.rename(plain, os.path.join(folder, name))
        os.utime(os.path.join(folder, name), (100 + i, 100 + i))
    return tmp_path / "media"


@pytest.fixture
def names(media):
    return [os.path.join(media, os.fsdecode(FOLDER), os.fsdecode(name)) for name in (LATIN, SPOOF)]


@pytest.fixture
def index(tmp_path, run_folder, media):
    """As ``--index``; its own name is no UTF-8 either."""
    location = os.fsdecode(os.path.join(os.fsencode(tmp_path), b"index-\xff"))
    assert run(*index_args(run_folder, location, media)) == 0
    assert run(*index_args(run_folder, location, media, "--prune")) == 0
    return location


def test_a_video_of_such_a_name(tmp_path, run_folder, capsys):
    path = os.path.join(os.fsencode(tmp_path), b"v\xe9.mkv")
    os.rename(save_video(tmp_path / "v.mkv", num_frames=2, fps=1), path)
    folder = tmp_path / "index"
    assert run(*index_args(run_folder, folder, os.fsdecode(path))) == 0
    with open_index(str(folder)) as index:
        names = [frame.name for frame in index.frames()]
    assert [os.fsencode(name) for name in names] == [path + b"#0", path + b"#1000"]
    found = query_json(capsys, names[1], "--index", folder, "--top", 2)
    assert {hit["frame"] for hit in found["hits"]} <= set(names)


def test_they_are_in_the_index_by_their_bytes(index, names):
    with open_index(index) as opened:
        assert [frame.path for frame in opened.frames()] == names
        assert opened.cameras() == [os.fsdecode(FOLDER)]


def test_queries_by_such_a_name(index, names, capsys):
    found = query_json(capsys, names[0], "--index", index, "--top", 5)
    assert found["queries"][0]["image"] == names[0] and found["index"] == index
    assert {hit["frame"] for hit in found["hits"]} <= set(names)
    camera = ("--camera", os.fsdecode(FOLDER))
    assert query_json(capsys, names[0], "--index", index, "--top", 5, *camera) == found


def test_what_is_printed_shows_the_name_and_is_unicode(index, names, capsys, tmp_path):
    args = ("query", names[0], "--index", index, "--top", 1000)
    assert run(*args) == 0
    table = capsys.readouterr().out
    table.encode()
    assert r"/caf\xe9/\xe9t\xe9 #1.png" in table
    assert r"/caf\xe9/a\x1b[31m\n\u202egpj.png" in table and "\x1b" not in table
    assert run(*args, "--csv") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert {row["camera"] for row in rows} == {r"caf\xe9"}
    page = tmp_path / "hits.html"
    assert run(*args, "--html", page, "--montage", tmp_path / "hits.png") == 0
    assert r"\xe9t\xe9 #1.png" in page.read_text(encoding="utf-8")


def test_messages(index, names, run_folder, media, capsys):
    with open(os.path.join(media, b"bad\x1b[31m\xe9\n.jpg".decode(errors="surrogateescape")), "w"):
        pass
    assert run("query", names[0] + "x", "--index", index) == 2
    capsys.readouterr()
    assert run("forget", "--index", index, "--frame", names[1] + "x") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "\x1b" not in error
    assert r"/caf\xe9/a\x1b[31m\n\u202egpj.pngx: index " in error


def test_terminals_of_any_encoding(index, names, monkeypatch):
    for encoding in ("ascii", "latin-1", "utf-8"):
        out = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict")
        monkeypatch.setattr("sys.stdout", out)
        assert run("query", names[0], "--index", index) == 0
        assert rb"/caf\xe9/\xe9t\xe9 #1.png" in out.buffer.getvalue()
        assert run("query", names[0], "--index", index, "--json") == 0
        hits = json.loads(out.buffer.getvalue().partition(b"\n{")[2].join((b"{", b"")))["hits"]
        assert names[0] in {hit["frame"] for hit in hits}


def test_forgetting_by_such_a_name(index, names, tmp_path, capsys):
    assert run("forget", "--index", index, "--frame", names[0]) == 0
    (tmp_path / "link.png").symlink_to(names[1])
    assert run("forget", "--index", index, "--frame", tmp_path / "link.png") == 0
    with open_index(index) as opened:
        assert opened.counts().persons == 0
        assert {tombstone.path for tombstone in opened.tombstones()} == set(names)
    capsys.readouterr()
    assert run("forget", "--index", index, "--list") == 0
    table = capsys.readouterr().out
    assert r"/caf\xe9/\xe9t\xe9 #1.png" in table and "\x1b" not in table
