"""Reading pictures and videos."""

import numpy as np
import pytest
from PIL import Image

from fully_decoupled_ps import UserError
from fully_decoupled_ps.inference import read_frame, read_picture, sample_video
from fully_decoupled_ps.inference.frames import count_samples

from .tiny_run import picture, save_picture, save_video


def test_pictures(tmp_path):
    path = save_picture(tmp_path / "a.png", seed=1)
    np.testing.assert_array_equal(read_picture(str(path)), picture(1))
    np.testing.assert_array_equal(read_frame(str(path), None), picture(1))


def test_pictures_are_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    Image.fromarray(picture(1)).save(tmp_path / "a.png", exif=exif)
    turned = read_picture(str(tmp_path / "a.png"))
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
            read_picture(str(tmp_path / name))
    with pytest.raises(UserError, match="missing.jpg can't be read"):
        read_picture(str(tmp_path / "missing.jpg"))


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
    assert [frame.number for frame in frames] == list(numbers)
    assert [frame.offset for frame in frames] == [number / 5 for number in numbers]
    for frame in frames:
        assert abs(float(frame.image.mean()) - 18 * frame.number) < 25
        np.testing.assert_array_equal(read_frame(path, frame.number), frame.image)
    assert abs(count_samples(path, fps) - len(frames)) <= 1


def test_sampling_goes_on_after_a_frame(tmp_path):
    path = str(save_video(tmp_path / "v.avi"))
    assert [f.number for f in sample_video(path, 2, after=3)] == [5, 8]
    assert list(sample_video(path, 2, after=8)) == []


def test_colours_are_in_order(tmp_path):
    path = str(save_video(tmp_path / "v.avi"))
    first = next(sample_video(path, 1)).image.astype(float)
    expected = 0.1 * picture(0)
    assert np.abs(first - expected).mean() < 4 < np.abs(first[:, :, ::-1] - expected).mean()


def test_videos_that_are_none(tmp_path):
    (tmp_path / "v.mp4").write_bytes(b"no video")
    with pytest.raises(UserError, match="v.mp4 can't be opened; restore the file, or convert it"):
        next(sample_video(str(tmp_path / "v.mp4"), 1))
    empty = str(save_video(tmp_path / "empty.avi", num_frames=0))
    with pytest.raises(UserError, match="empty.avi (has no frame|can't be opened)"):
        next(sample_video(empty, 1))
    path = str(save_video(tmp_path / "v.avi"))
    with pytest.raises(UserError, match="v.avi has no frame 10; was the file changed"):
        read_frame(path, 10)
