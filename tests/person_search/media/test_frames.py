"""Reading pictures and videos."""

from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from fully_decoupled_ps.data.videos import count_frames
from person_search.errors import UserError
from person_search.media.frames import VideoChanged, read_frame, sample_video
from tests.data.coded_videos import number_in, write_video
from tests.tiny_run import picture, save_picture, save_video


def test_pictures(tmp_path):
    path = save_picture(tmp_path / "a.png", seed=1)
    np.testing.assert_array_equal(read_frame(str(path), None), picture(1))


def test_pictures_are_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    Image.fromarray(picture(1)).save(tmp_path / "a.png", exif=exif)
    turned = read_frame(str(tmp_path / "a.png"), None)
    np.testing.assert_array_equal(turned, np.rot90(picture(1), -1))


def test_damaged_pictures(tmp_path):
    whole = save_picture(tmp_path / "a.jpg", seed=1).read_bytes()
    for name, content in (
        ("cut.jpg", whole[: len(whole) // 2]),
        ("none.jpg", b""),
        ("text.jpg", b"hello"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=rf"picture .*{name} can't be read \(.*; restore"):
            read_frame(str(tmp_path / name), None)
    with pytest.raises(UserError, match="missing.jpg can't be read"):
        read_frame(str(tmp_path / "missing.jpg"), None)


@pytest.mark.parametrize(
    "fps, numbers",
    [
        (1, [0, 5]),
        (2, [0, 3, 5, 8]),
        (2.5, [0, 2, 4, 6, 8]),
        (5, range(10)),
        (50, range(10)),
        (0.1, [0]),
    ],
)
def test_sampling(tmp_path, fps, numbers):
    path = str(save_video(tmp_path / "v.avi", num_frames=10, fps=5))
    frames = list(sample_video(path, fps))
    assert [frame.pts for frame in frames] == list(numbers)  # a tick is a frame here
    assert [frame.offset for frame in frames] == [number / 5 for number in numbers]
    for frame in frames:
        image = frame.image()
        assert abs(float(image.mean()) - 18 * frame.pts) < 25
        np.testing.assert_array_equal(read_frame(path, frame.pts), image)
        np.testing.assert_array_equal(read_frame(path, frame.pts, frame.checksum()), image)
    assert abs(count_frames(path, fps) - len(frames)) <= 1


def test_a_variable_frame_rate_is_sampled_by_time(tmp_path):
    """25 frames a second for 2 s, then one in 0.7 s for 7 s, a gap of 10.5 s, then 10 a second."""
    ms = [*range(0, 2000, 40), *range(2000, 9000, 700), *range(19500, 20500, 100)]
    path = write_video(tmp_path / "v.mp4", stamps=ms, time_base=Fraction(1, 1000))
    seconds = range(21)
    # by hand: the first frame at or after each second, each one once
    expected = sorted({next(i for i, t in enumerate(ms) if t >= 1000 * s) for s in seconds})
    frames = list(sample_video(path, 1))
    assert [number_in(frame.image()) for frame in frames] == expected
    assert [frame.offset for frame in frames] == [ms[i] / 1000 for i in expected]


@pytest.mark.parametrize("fps", [30, 15])
def test_time_stamps_that_are_rounded_to_milliseconds(tmp_path, fps):
    """0, 33, 67, 100, ...: the frame at 33 ms is the one of 1/30 s."""
    path = write_video(tmp_path / "v.mkv", stamps=range(31), time_base=Fraction(1, 30))
    found = [number_in(frame.image()) for frame in sample_video(path, fps)]
    assert found == list(range(0, 31, 30 // fps))


def known_of(frames):
    return {frame.pts: frame.checksum() for frame in frames}


def test_sampling_goes_on_behind_what_is_known(tmp_path):
    path = str(save_video(tmp_path / "v.avi"))
    frames = list(sample_video(path, 2))
    assert [f.pts for f in frames] == [0, 3, 5, 8]
    assert [f.pts for f in sample_video(path, 2, known_of(frames[:2]))] == [5, 8]
    assert list(sample_video(path, 2, known_of(frames))) == []


@pytest.mark.parametrize("change", ["pts", "checksum", "more", "unknown"])
def test_a_video_that_is_not_what_is_known(tmp_path, change):
    """Nothing is given before that is certain."""
    path = str(save_video(tmp_path / "v.avi"))
    known = known_of(sample_video(path, 2))
    if change == "pts":
        known[4] = known.pop(3)
    elif change == "checksum":
        known[8] += 1
    elif change == "more":
        known[20] = 0
    else:
        known[0] = None
    given = []
    with pytest.raises(VideoChanged):
        given.extend(sample_video(path, 2, known))
    assert given == []


def test_colours_are_in_order(tmp_path):
    path = str(save_video(tmp_path / "v.avi"))
    first = next(sample_video(path, 1)).image().astype(float)
    expected = 0.1 * picture(0)
    assert np.abs(first - expected).mean() < 4 < np.abs(first[:, :, ::-1] - expected).mean()


def test_videos_that_are_none(tmp_path):
    (tmp_path / "v.mp4").write_bytes(b"no video")
    with pytest.raises(UserError, match="v.mp4 can't be opened .*: restore the file, or convert"):
        next(sample_video(str(tmp_path / "v.mp4"), 1))
    empty = str(save_video(tmp_path / "empty.avi", num_frames=0))
    with pytest.raises(UserError, match="empty.avi (has no frame|can't be opened|holds no video)"):
        next(sample_video(empty, 1))
    path = str(save_video(tmp_path / "v.avi"))
    with pytest.raises(UserError, match="v.avi has no frame 10 that is as it was; was the file"):
        read_frame(path, 10)
