"""Which files are one recording, and when its pictures were taken."""

import pytest

from fully_decoupled_ps.utils.names import natural
from person_search.errors import UserError
from person_search.label.recordings import find_recordings, spread
from person_search.media.files import MediaFile, PathReader


def files(*paths):
    return [
        MediaFile(path, path.endswith(".mp4"), 10, int(7e9) + i) for i, path in enumerate(paths)
    ]


def test_videos_and_folders_are_recordings():
    names = ["/r/hall/10.jpg", "/r/hall/9.jpg", "/r/door/v.mp4"]
    door, hall = find_recordings(files(*names), PathReader(start=100.0), picture_fps=2)
    assert (door.path, door.camera, door.times, door.is_timed) == (
        *("/r/door/v.mp4", "door", (100.0,), True),
    )
    assert (hall.path, hall.camera, hall.times) == ("/r/hall", "hall", (100.0, 100.5))
    assert [file.path for file in hall.files] == ["/r/hall/9.jpg", "/r/hall/10.jpg"]


def test_a_folder_of_several_cameras_is_a_recording_of_each():
    reader = PathReader(r"(?P<camera>c\d)_", r"_(?P<seconds>\d+)")
    found = find_recordings(files("/r/c1_7.jpg", "/r/c2_5.jpg", "/r/c1_5.jpg"), reader, None)
    assert [(r.path, r.camera, r.times) for r in found] == [
        *(("/r#c1", "c1", (5.0, 7.0)), ("/r#c2", "c2", (5.0,))),
    ]


def test_nobody_said_when():
    recording = find_recordings(files("/r/a.jpg", "/r/b.jpg"), PathReader(), picture_fps=1)[0]
    assert not recording.is_timed and recording.times == (7.0, 8.0)
    assert "its first picture is taken to be of when that was last changed" in recording.assumed


def test_pictures_need_an_order():
    with pytest.raises(UserError, match="^/r: nothing says .*--time-pattern.*--picture-fps N"):
        find_recordings(files("/r/a.jpg"), PathReader(), None)
    with pytest.raises(UserError, match="--picture-fps 2: .*--time-pattern"):
        find_recordings(files("/r/a1.jpg"), PathReader(None, r"(?P<seconds>\d)"), 2)


def test_pictures_of_one_second_are_spread_over_it():
    assert spread([1.0, 1.0, 1.25, 9.0, 9.0]) == ((1.0, 1.125, 1.25, 9.0, 9.5), 2)
    reader = PathReader(None, r"(?P<seconds>\d+)_\d")
    recording = find_recordings(files("/r/5_0.jpg", "/r/5_1.jpg"), reader, None)[0]
    assert recording.times == (5.0, 5.5) and recording.assumed.startswith("1 pictures of the same")


def test_numbers_in_names_are_numbers():
    assert sorted(["f10", "f9", "f", "10", "é2"], key=natural) == ["10", "f", "f9", "f10", "é2"]


def test_the_content_follows_the_files_and_their_times():
    one, two = files("/r/a.jpg"), files("/r/b.jpg", "/r/a.jpg")[1:]
    contents = {
        find_recordings(some, PathReader(start=start), 1)[0].content
        for some, start in ((one, 1.0), (one, 2.0), (two, 1.0), (one, 1.0))
    }
    assert len(contents) == 3
