"""Which files are found, which are passed over, and which can't be read."""

import os
import socket

import pytest

from person_search.errors import UserError
from person_search.index import IndexInfo
from person_search.media import finding
from person_search.media.files import MediaFile
from person_search.media.finding import find_files
from person_search.media.links import OtherNames


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"12345")
    os.utime(path, (1000, 1000))
    return path


def names(found, root):
    return [os.path.relpath(file.path, root) for file in found.files]


def test_folders_are_searched_to_their_depths(tmp_path):
    for name in ("b/x.JPG", "a/deep/v.mp4", "a/n.txt", ".hidden/y.jpg", "a/.z.jpg", "a/p.png"):
        touch(tmp_path / name)
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    found = find_files([str(tmp_path), str(tmp_path / "b" / "x.JPG")])
    assert names(found, tmp_path) == ["a/deep/v.mp4", "a/p.png", "b/x.JPG"]
    assert [file.is_video for file in found.files] == [True, False, False]
    assert (found.files[0].size, found.files[0].mtime_ns) == (5, 1000 * 10**9)
    assert found.passed_over_text() == "1 .txt, 1 hidden file(s), 1 hidden folder(s)"
    assert found.problems == {}


def test_endings(tmp_path):
    for ending in ("AVIF", "gif", "jfif", "jpe", "heic", "HEIF", "mts", "dav", "3gp", "flv"):
        touch(tmp_path / f"x.{ending}")
    for name in ("a.txt", "b.TXT", "c", "d.", "Thumbs.db"):
        touch(tmp_path / name)
    found = find_files([str(tmp_path)])
    assert found.passed_over == {".txt": 2, "without ending": 2, ".db": 1}
    assert found.passed_over_text() == "2 .txt, 2 without ending, 1 .db"
    assert len(found.files) == 10 and found.problems == {}
    assert sum(file.is_video for file in found.files) == 4


def test_what_file_servers_and_systems_leave(tmp_path):
    touch(tmp_path / "a.jpg")
    for folder in ("@eaDir/a.jpg", "#recycle", "__MACOSX", "$RECYCLE.BIN", "lost+found"):
        touch(tmp_path / folder / "thumb.jpg")
    for name in ("._a.jpg", ".DS_Store", ".thumbnails/a.jpg", ".AppleDouble/a.jpg"):
        touch(tmp_path / name)
    found = find_files([str(tmp_path)])
    assert names(found, tmp_path) == ["a.jpg"]
    assert found.passed_over == {
        **{"folder(s) @eaDir": 1, "folder(s) #recycle": 1, "folder(s) __MACOSX": 1},
        **{"folder(s) $RECYCLE.BIN": 1, "folder(s) lost+found": 1},
        **{"hidden file(s)": 2, "hidden folder(s)": 2},
    }
    # who names such a folder means it
    assert len(find_files([str(tmp_path / "@eaDir")]).files) == 1


def test_endings_beyond_the_first_are_one_number(tmp_path):
    touch(tmp_path / "a.jpg")
    for number in range(finding.MAX_KINDS + 5):
        touch(tmp_path / f"log.{number:04}")
    text = find_files([str(tmp_path)]).passed_over_text()
    assert text.startswith("1 .0000, ") and text.endswith(", 5 of 5 other endings")


def test_a_file_is_taken_once_by_its_real_path(tmp_path):
    touch(tmp_path / "z" / "real.jpg")
    (tmp_path / "a").symlink_to("z")
    (tmp_path / "b.jpg").symlink_to("z/real.jpg")
    os.link(tmp_path / "z" / "real.jpg", tmp_path / "z" / "hard.jpg")
    found = find_files([str(tmp_path)])
    assert names(found, tmp_path) == ["z/hard.jpg", "z/real.jpg"]
    assert found.passed_over == {finding.OTHER_NAMES: 1}
    for paths in (["b.jpg", "z/real.jpg"], ["z/real.jpg", "b.jpg"], ["b.jpg", "z", "a", "."]):
        again = find_files([str(tmp_path / path) for path in paths])
        assert "z/real.jpg" in names(again, tmp_path) and "b.jpg" not in names(again, tmp_path)


def test_links_to_elsewhere_keep_their_names(tmp_path):
    """A folder of links, one a camera, says which camera it is."""
    touch(tmp_path / "archive" / "x1" / "0.jpg")
    (tmp_path / "site" / "in").mkdir(parents=True)
    (tmp_path / "site" / "hall").symlink_to(tmp_path / "archive" / "x1")
    (tmp_path / "site" / "in" / "also").symlink_to(tmp_path / "archive" / "x1")
    (tmp_path / "site" / "2.jpg").symlink_to(tmp_path / "archive" / "x1" / "0.jpg")
    (tmp_path / "site" / "1.jpg").symlink_to(tmp_path / "archive" / "x1" / "0.jpg")
    assert names(find_files([str(tmp_path / "site")]), tmp_path) == ["site/1.jpg"]
    assert names(find_files([str(tmp_path / "site" / "hall")]), tmp_path) == ["site/hall/0.jpg"]


def test_what_can_not_be_read_is_told_and_never_opened(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    touch(tmp_path / "good.jpg")
    (tmp_path / "dangling.jpg").symlink_to("nothing.jpg")
    (tmp_path / "unmounted").symlink_to("/nowhere/camera")
    (tmp_path / "old.txt").symlink_to("nothing.txt")
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    (tmp_path / "empty.jpg").touch()
    os.mkfifo("pipe.jpg")  # whoever opens it waits for ever
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.jpg")
    found = find_files([".", "/dev/null"])
    assert names(found, tmp_path) == ["good.jpg"]
    assert found.passed_over == {".txt": 1}
    reasons = {os.path.basename(path): reason for path, reason in found.problems.items()}
    assert len(reasons) == 7
    assert "(a link to nothing.jpg: No such file" in reasons["dangling.jpg"]
    assert "(a link to /nowhere/camera: No such file" in reasons["unmounted"]
    assert "(a link to loop.jpg: Too many levels" in reasons["loop.jpg"]
    assert "empty.jpg is empty" in reasons["empty.jpg"]
    assert all("is a pipe, a socket or a d" in reasons[n] for n in ("pipe.jpg", "socket.jpg"))
    assert "/dev/null is a pipe, a socket or a device" in reasons["null"]


def test_a_folder_that_can_not_be_listed(tmp_path, monkeypatch):
    """As for another user's; root, who may run the tests, can list all."""
    touch(tmp_path / "good.jpg")
    touch(tmp_path / "closed" / "x.jpg")
    scandir = os.scandir

    def refuse(path):
        if os.path.basename(path) == "closed":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    closed = str(tmp_path / "closed")
    for paths in ([tmp_path], [tmp_path, closed], [closed]):
        found = find_files([str(path) for path in paths])
        assert list(found.problems) == [closed]
        assert "can't be listed (Permission denied)" in found.problems[closed]


def test_names_are_bytes(tmp_path):
    given = (b"caf\xe9.jpg", "caf\u00e9.jpg".encode(), "cafe\u0301.jpg".encode(), b"\x80\n\x1b.JPG")
    for name in given:
        with open(os.path.join(os.fsencode(tmp_path), name), "wb") as f:
            f.write(b"1")
    found = find_files([str(tmp_path)])
    assert [os.path.basename(os.fsencode(file.path)) for file in found.files] == sorted(given)


def test_a_file_is_taken_at_its_word(tmp_path):
    assert names(find_files([str(touch(tmp_path / "frame.data"))]), tmp_path) == ["frame.data"]


def test_paths_relative_to_here(tmp_path, monkeypatch):
    touch(tmp_path / "x.jpg")
    monkeypatch.chdir(tmp_path)
    assert find_files(["."]).files[0].path == str(tmp_path / "x.jpg")


def test_nothing_to_find(tmp_path):
    touch(tmp_path / "n.txt")
    with pytest.raises(UserError, match=r"holds no picture \(.apng .avif .* and no video \(.264"):
        find_files([str(tmp_path)])
    with pytest.raises(UserError, match=r"\), but 1 .txt; name a folder that does"):
        find_files([str(tmp_path)])
    with pytest.raises(UserError, match="nowhere: no such file or folder; check the spelling"):
        find_files([str(tmp_path / "nowhere")])


class _Index:
    """Knows of real paths that another shard has."""

    info = IndexInfo("a" * 64, 16, "/runs/reid", num_shards=2)

    def __init__(self, *paths):
        self.paths = paths

    def find_frames(self, path):
        return ["a frame"] * (path in self.paths)


def test_which_of_the_names_in_the_index_counts(tmp_path):
    real = str(touch(tmp_path / "real.jpg"))
    links = [str(tmp_path / name) for name in ("a.jpg", "b.jpg")]
    for link in links:
        os.symlink(real, link)

    def choose(path, known=(), elsewhere=()):
        others = OtherNames([MediaFile(path, False, 5, 0)], known, _Index(*elsewhere))
        return others.passed_over, others.superseded

    assert choose(real) == choose(links[1]) == (set(), {})
    assert choose(real, known=[real]) == choose(links[1], known=[links[1]]) == (set(), {})
    # the real path replaces a link, and a link never the real path
    assert choose(real, known=links) == (set(), {links[0]: real, links[1]: real})
    assert choose(links[0], known=[real]) == ({links[0]}, {})
    assert choose(links[0], elsewhere=[real]) == ({links[0]}, {})
    assert choose(links[0], known=[real, links[0]]) == ({links[0]}, {links[0]: real})
    # of two links the one that is in stays
    assert choose(links[0], known=[links[1]]) == ({links[0]}, {})
    assert choose(links[1], known=links) == ({links[1]}, {links[1]: links[0]})
