"""What files' paths say."""

import os
import time
from datetime import datetime, timezone

import av
import pytest

from fully_decoupled_ps.data.videos import RecordingClock, read_clock
from person_search.errors import UserError
from person_search.media import files
from person_search.media.files import MediaFile, PathReader, video_start
from person_search.media.finding import find_files
from tests.data.coded_videos import write_video


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


def recorded_at(file, created=None, duration=0.0, **others):
    """A video of this time of change, by what it says of itself."""
    others = {"start": None, "is_created_at_end": False, **others}
    created = created and datetime.fromisoformat(created).replace(tzinfo=timezone.utc)
    clock = RecordingClock(created=created, duration=duration, **others)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(files.videos, "read_clock", lambda path: clock)
        return video_start(file)


@pytest.fixture
def tokyo(monkeypatch):
    """Nine hours ahead of UTC, without summer time; by its rule, as not all machines have zones."""
    monkeypatch.setenv("TZ", "JST-9")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_when_a_video_starts(tokyo):
    """By hand: a recording of ten minutes that ends at noon, UTC."""
    noon = datetime(2024, 5, 31, 12, tzinfo=timezone.utc).timestamp()
    start = noon - 600
    file = MediaFile("/cam/v.mp4", True, 5, int(noon * 1e9))
    assert recorded_at(file) == (noon, files.LAST_CHANGE)
    assert recorded_at(file, duration=600) == (start, files.CHANGED)
    # at the start and at the end, in UTC and in the local time of Tokyo
    for created in ("11:50:03", "12:00:03", "20:50:03", "21:00:03"):
        found = recorded_at(file, f"2024-05-31 {created}", 600)
        assert found == (start + 3, files.CREATED), created
    # never set; in the future
    for created in ("1904-01-01", "1970-01-01 00:02", "2031-01-01"):
        assert recorded_at(file, created, 600) == (start, files.CHANGED)
    copy = MediaFile("/cam/v.mp4", True, 5, int((noon + 1e6) * 1e9))
    assert recorded_at(copy, "2024-05-31 11:50", 600) == (start, files.CREATED)
    at_end = {"duration": 600, "is_created_at_end": True}
    assert recorded_at(copy, "2024-05-31 12:00", **at_end) == (start, files.CREATED)
    iphone = datetime.fromisoformat("2024-05-31T20:50:00+09:00")
    assert recorded_at(copy, "2024-05-31 12:00", 600, start=iphone) == (start, files.CREATED)


@pytest.mark.parametrize("written", ["2024-05-31T10:00:00Z", "2024-05-31 10:00:00"])
@pytest.mark.parametrize("name", ["v.mp4", "v.mkv"])
def test_the_clock_of_a_file(tmp_path, name, written):
    plain = read_clock(write_video(tmp_path / f"plain-{name}"))
    assert plain.created is plain.start is None and not plain.is_created_at_end
    assert plain.duration == pytest.approx(40 / 25, abs=0.05)
    path = add_tags(tmp_path / name, tmp_path / f"plain-{name}", creation_time=written)
    ten = datetime(2024, 5, 31, 10, tzinfo=timezone.utc)
    assert read_clock(path).created == ten


def test_the_clocks_of_phones(tmp_path):
    plain = write_video(tmp_path / "plain.mp4")
    apple = {"com.apple.quicktime.creationdate": "2024-05-31T19:00:00+0900"}
    clock = read_clock(add_tags(tmp_path / "a.mp4", plain, **apple))
    assert clock.start == datetime(2024, 5, 31, 10, tzinfo=timezone.utc)
    android = {"com.android.version": "14", "creation_time": "nonsense"}
    clock = read_clock(add_tags(tmp_path / "b.mp4", plain, **android))
    assert clock.is_created_at_end and clock.created is None


def add_tags(path, video, **tags):
    """A copy of a video with metadata; returns the path, a string."""
    options = {"movflags": "use_metadata_tags"} if path.suffix == ".mp4" else {}
    with av.open(str(video)) as source, av.open(str(path), "w", options=options) as output:
        stream = output.add_stream_from_template(source.streams.video[0])
        output.metadata.update(tags)
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                output.mux(packet)
    return str(path)


def test_a_video_that_can_not_be_read_is_of_its_last_change(tmp_path):
    file = find_files([str(touch(tmp_path / "v.mp4"))]).files[0]
    reader = PathReader()
    assert reader.time(file) == 1000.0
    assert reader.assumed == {file.path: (1000.0, files.LAST_CHANGE)}
    assert PathReader(start=5.0).time(file) == 5.0


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
    with pytest.raises(UserError, match="does not match .*000151.jpg; correct the pattern"):
        PathReader(camera_pattern="(?P<camera>d)x").camera(file)
    reader = PathReader(time_pattern=r"c(?P<year>\d)(?P<month>2)s(?P<day>3)_(?P<hour>\d{4})")
    with pytest.raises(UserError, match="hour must be in 0..23.*; correct the pattern"):
        reader.time(file)


def test_a_time_whose_hour_is_missing_keeps_its_minutes(file):
    pattern = r"_(?P<year>\d{4})(?P<month>\d\d)(?P<day>\d\d)-\d\d(?P<minute>\d\d)"
    assert PathReader(time_pattern=pattern).time(file) == datetime(2024, 5, 31, 0, 30).timestamp()


def test_seconds_that_are_no_number(tmp_path):
    file = find_files([str(touch(tmp_path / "c_nan.jpg"))]).files[0]
    with pytest.raises(UserError, match="nan is no number of seconds; correct the pattern"):
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
    with pytest.raises(UserError, match="year.*; correct the pattern"):
        PathReader(time_pattern=pattern).time(file)
