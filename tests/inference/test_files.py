"""Which files are found, and what their paths say."""

import os
from datetime import datetime

import pytest

from fully_decoupled_ps import UserError
from fully_decoupled_ps.inference import find_files
from fully_decoupled_ps.inference.files import PathReader, format_time, parse_time


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"12345")
    os.utime(path, (1000, 1000))
    return path


def names(files, root):
    return [os.path.relpath(file.path, root) for file in files]


def test_folders_are_searched_to_their_depths(tmp_path):
    for name in ("b/x.JPG", "a/deep/v.mp4", "a/n.txt", ".hidden/y.jpg", "a/.z.jpg", "a/p.png"):
        touch(tmp_path / name)
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    (tmp_path / "a" / "dangling.jpg").symlink_to(tmp_path / "nothing.jpg")
    files = find_files([str(tmp_path), str(tmp_path / "b" / "x.JPG")])
    assert names(files, tmp_path) == ["a/deep/v.mp4", "a/p.png", "b/x.JPG"]
    assert [file.is_video for file in files] == [True, False, False]
    assert (files[0].size, files[0].mtime_ns) == (5, 1000 * 10**9)


def test_a_file_is_taken_at_its_word(tmp_path):
    assert names(find_files([str(touch(tmp_path / "frame.data"))]), tmp_path) == ["frame.data"]


def test_paths_relative_to_here(tmp_path, monkeypatch):
    touch(tmp_path / "x.jpg")
    monkeypatch.chdir(tmp_path)
    assert find_files(["."])[0].path == str(tmp_path / "x.jpg")


def test_nothing_to_find(tmp_path):
    touch(tmp_path / "n.txt")
    with pytest.raises(UserError, match=r"holds no picture \(.bmp .jpeg .* and no video \(.264"):
        find_files([str(tmp_path)])
    with pytest.raises(UserError, match="nowhere: no such file or folder; check the spelling"):
        find_files([str(tmp_path / "nowhere")])


@pytest.fixture
def file(tmp_path):
    return find_files([str(touch(tmp_path / "hall" / "c12s3_20240531-183005_000151.jpg"))])[0]


def test_camera_and_time_without_patterns(file):
    assert PathReader().camera(file) == "hall"
    assert PathReader().time(file) == 1000.0
    assert PathReader(start=5.0).time(file) == 5.0


def test_patterns(file):
    assert PathReader(camera_pattern=r"(?P<camera>c\d+)s").camera(file) == "c12"
    date = r"_(?P<year>\d{4})(?P<month>\d\d)(?P<day>\d\d)"
    clock = r"-(?P<hour>\d\d)(?P<minute>\d\d)(?P<second>\d\d)"
    assert PathReader(time_pattern=date).time(file) == datetime(2024, 5, 31).timestamp()
    moment = datetime(2024, 5, 31, 18, 30, 5).timestamp()
    assert PathReader(time_pattern=date + clock).time(file) == moment
    seconds = r"_(?P<seconds>\d+)\.jpg"
    assert PathReader(time_pattern=seconds).time(file) == 151.0
    assert PathReader(time_pattern=seconds, start=1000.0).time(file) == 1151.0


def test_patterns_that_can_not_be(file):
    with pytest.raises(UserError, match=r"--camera-pattern '\(' is no regular expression"):
        PathReader(camera_pattern="(")
    with pytest.raises(UserError, match=r"--camera-pattern 'c\(.\)' has no \(\?P<camera>...\)"):
        PathReader(camera_pattern="c(.)")
    with pytest.raises(UserError, match=r"has no \(\?P<seconds>...\) or \(\?P<day>...\), "):
        PathReader(time_pattern="(?P<year>.)")
    with pytest.raises(UserError, match="does not match .*000151.jpg; mend the pattern"):
        PathReader(camera_pattern="(?P<camera>d)x").camera(file)
    reader = PathReader(time_pattern=r"c(?P<year>\d)(?P<month>2)s(?P<day>3)_(?P<hour>\d{4})")
    with pytest.raises(UserError, match="hour must be in 0..23.*; mend the pattern"):
        reader.time(file)


def test_times():
    assert parse_time("2024-05-31T18:30") == datetime(2024, 5, 31, 18, 30).timestamp()
    assert parse_time("2024-05-31") == datetime(2024, 5, 31).timestamp()
    assert parse_time("12.5") == 12.5
    assert format_time(parse_time("2024-05-31T18:30:05")) == "2024-05-31 18:30:05"
    assert format_time(1e18) == "1000000000000000000 s"
    with pytest.raises(UserError, match="'yesterday' is no time; write it as 2024-05-31,"):
        parse_time("yesterday")
