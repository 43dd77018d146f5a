"""What files' paths say."""

import os
from datetime import datetime

import pytest

from fully_decoupled_ps import UserError
from fully_decoupled_ps.inference import find_files
from fully_decoupled_ps.inference.files import PathReader


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"12345")
    os.utime(path, (1000, 1000))
    return path


@pytest.fixture
def file(tmp_path):
    path = touch(tmp_path / "hall" / "c12s3_20240531-183005_000151.jpg")
    return find_files([str(path)]).files[0]


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


def test_an_optional_group_that_matches_nothing_is_told(file):
    """Else the camera, or the time, of that file would be none."""
    with pytest.raises(UserError, match="has nothing for 'camera' in .*000151.jpg"):
        PathReader(camera_pattern=r"(?P<camera>door\d)?").camera(file)
    with pytest.raises(UserError, match="has nothing for 'seconds' in .*000151.jpg"):
        PathReader(time_pattern=r"(?P<seconds>x\d)?").time(file)
    with pytest.raises(UserError, match="has nothing for 'year' in .*000151.jpg"):
        PathReader(time_pattern=r"(?P<year>x)?(?P<month>y)?(?P<day>z)?").time(file)


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


def test_a_time_whose_hour_is_missing_keeps_its_minutes(file):
    pattern = r"_(?P<year>\d{4})(?P<month>\d\d)(?P<day>\d\d)-\d\d(?P<minute>\d\d)"
    assert PathReader(time_pattern=pattern).time(file) == datetime(2024, 5, 31, 0, 30).timestamp()


def test_seconds_that_are_no_number(tmp_path):
    file = find_files([str(touch(tmp_path / "c_nan.jpg"))]).files[0]
    with pytest.raises(UserError, match="nan is no number of seconds; mend the pattern"):
        PathReader(time_pattern="_(?P<seconds>[a-z]+)[.]jpg").time(file)


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("24-05-31.jpg", r"(?P<year>\d\d)-(?P<month>\d\d)-(?P<day>\d\d)\.jpg"),  # not the year 24
        ("1700000000123.jpg", r"(?P<seconds>\d+)\.jpg"),  # milliseconds: the year 55840
        ("99999999999999999.jpg", r"(?P<seconds>\d+)\.jpg"),
    ],
)
def test_years_that_no_recording_is_of(tmp_path, name, pattern):
    file = find_files([str(touch(tmp_path / name))]).files[0]
    with pytest.raises(UserError, match="year.*; mend the pattern"):
        PathReader(time_pattern=pattern).time(file)
