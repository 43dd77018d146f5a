"""JPEG files that end too early, held against the whole picture."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from fully_decoupled_ps.data.cut_jpeg import LACKS_END, lacks_end
from fully_decoupled_ps.data.images import ImageError, load_image

HEIGHT = 640


@pytest.fixture(scope="module")
def picture():
    """(640, 480, 3) with noise, so that every row of blocks takes hundreds of bytes."""
    rng = np.random.default_rng(0)
    smooth = cv2.resize(rng.integers(20, 230, (20, 15, 3), dtype=np.uint8), (480, HEIGHT))
    return (smooth + rng.integers(-15, 16, smooth.shape)).astype(np.uint8)


def jpeg(picture, **options):
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", **options)
    return file.getvalue()


def pixels_of(data):
    return np.asarray(Image.open(io.BytesIO(data)))


KINDS = [{}, {"quality": 95, "subsampling": 0}, {"optimize": True}, {"restart_marker_rows": 1}]


@pytest.mark.parametrize("zeros", [0, 5000])  # what a disk leaves where nothing was written
@pytest.mark.parametrize("options", KINDS)
def test_the_last_rows_may_be_missing(picture, tmp_path, options, zeros):
    whole = jpeg(picture, **options)
    for missing in (1, 2, 3, 10, len(whole) // 50):
        (tmp_path / "a.jpg").write_bytes(whole[:-missing] + bytes(zeros))
        pixels, note = load_image(tmp_path / "a.jpg")
        assert note == LACKS_END
        kept = HEIGHT - 33  # two rows of blocks, and one row that is interpolated
        np.testing.assert_array_equal(pixels[:kept], pixels_of(whole)[:kept])


@pytest.mark.parametrize("zeros", [0, 5000])
@pytest.mark.parametrize("options", KINDS)
@pytest.mark.parametrize("share", [0.08, 0.5, 0.9])
def test_more_than_the_last_rows_may_not(picture, tmp_path, options, zeros, share):
    whole = jpeg(picture, **options)
    (tmp_path / "a.jpg").write_bytes(whole[: -round(share * len(whole))] + bytes(zeros))
    with pytest.raises(ImageError, match=r"truncated: \d+ of 640 rows are missing"):
        load_image(tmp_path / "a.jpg")


def test_a_file_that_lacks_only_its_marker_is_the_whole_picture(picture, tmp_path):
    whole = jpeg(picture)
    (tmp_path / "a.jpg").write_bytes(whole[:-2])
    pixels, note = load_image(tmp_path / "a.jpg")
    np.testing.assert_array_equal(pixels, pixels_of(whole))
    assert note == LACKS_END


def test_a_progressive_one_lacks_detail_everywhere(picture, tmp_path):
    (tmp_path / "a.jpg").write_bytes(jpeg(picture, progressive=True)[:-500])
    with pytest.raises(ImageError, match="truncated, and it is progressive, so detail is missing"):
        load_image(tmp_path / "a.jpg")


def test_whole_files_are_whole(picture, tmp_path):
    """With a preview in it, which has an end of its own, and with anything behind it."""
    exif = Image.Exif()
    exif[0x010E] = jpeg(picture[:40, :40])
    for options in (*KINDS, {"progressive": True}, {"exif": exif}):
        whole = jpeg(picture, **options)
        for tail in (b"", bytes(100), b"\xff\xda\x00\x0c\x03" + bytes(100)):
            assert not lacks_end(whole + tail)
        assert lacks_end(whole[:-2])
    assert not lacks_end(b"") and not lacks_end(whole[:100]) and not lacks_end(b"\xff\xd8\xff")


def test_a_cut_picture_is_turned_upright_too(picture, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    whole = jpeg(picture, exif=exif)
    (tmp_path / "a.jpg").write_bytes(whole[:-2])
    np.testing.assert_array_equal(
        load_image(tmp_path / "a.jpg").pixels, np.rot90(pixels_of(whole), -1)
    )
