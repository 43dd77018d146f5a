"""Reading pictures of every kind; what deep samples become is worked out by hand."""

import os
import socket
import struct
import sys
import zlib

import cv2
import numpy as np
import pytest
from detectron2.data import detection_utils
from PIL import Image, ImageFile, PngImagePlugin, features

from fully_decoupled_ps import UserError
from fully_decoupled_ps.data import images
from fully_decoupled_ps.data.image_depth import LITTLE_CONTRAST
from fully_decoupled_ps.data.images import ImageError, load_image, read_image, read_size
from tests.data.tiff import write_tiff


def colours(seed=0, size=(40, 60)):
    """(H, W, 3) smooth random colours."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_LINEAR)


def grey_of(path):
    """The one channel of a grey picture, as it is read; not a word of it in the log."""
    pixels, note = load_image(path)
    assert note == "" and pixels.dtype == np.uint8 and pixels.ndim == 3
    assert (pixels[:, :, :1] == pixels).all()
    return pixels[:, :, 0].tolist()


# --- 8 bits: what Detectron2 reads ---------------------------------------------------------------


@pytest.mark.parametrize(
    "mode, ending",
    [(m, "png") for m in ("RGB", "L", "P", "1", "LA", "RGBA")]
    + [(m, "jpg") for m in ("RGB", "L", "CMYK")]
    + [("RGB", "bmp"), ("RGB", "webp"), ("RGBA", "webp"), ("RGB", "tif"), ("L", "tif")]
    + [("LAB", "tif"), ("RGB", "jfif"), ("L", "pgm"), ("P", "gif")],
)
def test_ordinary_pictures_are_bit_equal_to_detectron2s(tmp_path, mode, ending):
    path = tmp_path / f"a.{ending}"
    picture = Image.fromarray(colours())
    if mode in ("LA", "RGBA"):
        picture.putalpha(Image.fromarray(colours(1)[:, :, 0]))
    picture.convert(mode).save(path)
    pixels, note = load_image(path)
    np.testing.assert_array_equal(pixels, detection_utils.read_image(str(path), "RGB"))
    assert note == "" and pixels.flags.c_contiguous and pixels.flags.writeable


@pytest.mark.parametrize("orientation", range(10))
@pytest.mark.parametrize("ending", ["jpg", "png"])
def test_pictures_are_turned_upright_as_detectron2_does(tmp_path, orientation, ending):
    path = tmp_path / f"a.{ending}"
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(colours()).save(path, exif=exif)
    pixels = read_image(path)
    np.testing.assert_array_equal(pixels, detection_utils.read_image(str(path), "RGB"))
    assert read_size(path) == pixels.shape[1::-1]
    assert pixels.shape[:2] == ((60, 40) if 5 <= orientation <= 8 else (40, 60))


# What EXIF's numbers ask for: where the stored row 0 and column 0 are to be seen.
UPRIGHT = {
    1: lambda stored: stored,  # top, left
    2: lambda stored: stored[:, ::-1],  # top, right
    3: lambda stored: stored[::-1, ::-1],  # bottom, right
    4: lambda stored: stored[::-1],  # bottom, left
    5: lambda stored: stored.swapaxes(0, 1),  # left, top
    6: lambda stored: stored[::-1].swapaxes(0, 1),  # right, top
    7: lambda stored: stored[::-1, ::-1].swapaxes(0, 1),  # right, bottom
    8: lambda stored: stored[:, ::-1].swapaxes(0, 1),  # left, bottom
}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("compression", ["raw", "tiff_lzw"])
@pytest.mark.parametrize("bits", [8, 16])
def test_a_tiff_is_turned_upright_once(tmp_path, orientation, compression, bits):
    """Pillow turns TIFF files when it decodes them, and no others."""
    path, stored = tmp_path / "a.tif", colours()
    if bits == 16:
        stored = np.repeat(stored[:, :, :1], 3, axis=2)
    deep = stored[:, :, 0].astype(np.uint16) * 257
    picture = Image.fromarray(stored if bits == 8 else deep)
    picture.save(path, compression=compression, tiffinfo={0x0112: orientation})
    upright = UPRIGHT[orientation](stored)
    np.testing.assert_array_equal(read_image(path), upright)
    assert read_size(path) == upright.shape[1::-1]


@pytest.mark.filterwarnings("ignore")  # Pillow's, of the damage
def test_damaged_exif_data_cost_nothing(tmp_path):
    path = tmp_path / "a.jpg"
    Image.fromarray(colours()).save(path, exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01")
    assert read_image(path).shape == (40, 60, 3) and read_size(path) == (60, 40)


def test_transparency_is_dropped(tmp_path):
    picture = np.zeros((1, 2, 4), np.uint8)
    picture[0] = (10, 20, 30, 0), (40, 50, 60, 255)
    Image.fromarray(picture).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").tolist() == [[[10, 20, 30], [40, 50, 60]]]


# --- more bits -----------------------------------------------------------------------------------

# 16-bit samples and their high bytes
DEEP = np.array([[0, 255, 256, 0x1234], [0x8000, 0xFEFF, 0xFF00, 0xFFFF]], np.uint16)
HIGH = [[0, 0, 1, 0x12], [0x80, 0xFE, 0xFF, 0xFF]]


def test_grey_of_16_bits_is_its_high_byte(tmp_path):
    Image.fromarray(DEEP).save(tmp_path / "a.png")
    assert grey_of(tmp_path / "a.png") == HIGH
    for order in "<>":
        data = DEEP.astype(order + "u2").tobytes()
        assert grey_of(write_tiff(tmp_path / "a.tif", data, (4, 2), 16, order=order)) == HIGH
    (tmp_path / "a.pgm").write_bytes(b"P5 4 2 65535\n" + DEEP.astype(">u2").tobytes())
    assert grey_of(tmp_path / "a.pgm") == HIGH
    assert cv2.imwrite(str(tmp_path / "a.jp2"), DEEP.repeat(20, 0).repeat(20, 1))  # lossless
    assert np.asarray(grey_of(tmp_path / "a.jp2"))[::20, ::20].tolist() == HIGH


def test_8_bits_stored_as_16_are_the_8_bits(tmp_path):
    grey = np.arange(256, dtype=np.uint16).reshape(16, 16)
    Image.fromarray(grey * 257).save(tmp_path / "a.png")
    assert grey_of(tmp_path / "a.png") == grey.tolist()


def test_colours_of_16_bits_are_their_high_bytes(tmp_path):
    rgb = np.dstack([DEEP, DEEP[::-1], DEEP[:, ::-1]])
    high = np.dstack([HIGH, HIGH[::-1], np.array(HIGH)[:, ::-1]])
    for name in ("a.png", "a.tif"):
        cv2.imwrite(str(tmp_path / name), rgb[:, :, ::-1])
        assert read_image(tmp_path / name).tolist() == high.tolist()


@pytest.mark.parametrize("order", "<>")
def test_colours_in_planes_are_read_or_refused(tmp_path, order):
    """As tifffile and GDAL can write them; Pillow mixes up the bytes of 16-bit planes."""
    rgb = np.stack([DEEP, DEEP[::-1], DEEP[:, ::-1]])  # (3, H, W)
    plain = (rgb >> 8).astype(np.uint8)
    path = write_tiff(tmp_path / "a.tif", plain.tobytes(), (4, 2), 8, photometric=2, planes=3)
    assert read_image(path).tolist() == plain.transpose(1, 2, 0).tolist()
    data = rgb.astype(order + "u2").tobytes()
    path = write_tiff(path, data, (4, 2), 16, photometric=2, planes=3, order=order)
    with pytest.raises(ImageError, match="planes of their own.*save it with .* side by side"):
        read_image(path)


def test_a_pgm_is_scaled_by_its_largest_value(tmp_path):
    values = np.array([0, 512, 1023], ">u2")  # 512 / 1023 * 65535 is 32799.5, of 128.1 x 256
    (tmp_path / "a.pgm").write_bytes(b"P5 3 1 1023\n" + values.tobytes())
    assert grey_of(tmp_path / "a.pgm") == [[0, 128, 255]]


def test_a_tiff_is_scaled_by_its_bits(tmp_path):
    # two samples of 12 bits in three bytes: 0x000 0xFFF 0x7F0 0x123
    data = bytes([0x00, 0x0F, 0xFF, 0x7F, 0x01, 0x23])
    assert grey_of(write_tiff(tmp_path / "a.tif", data, (4, 1), 12)) == [[0, 255, 0x7F, 0x12]]
    deep = np.array([0, 0x12345678, 0x80000000, 0xFFFFFFFF], "<u4").tobytes()
    assert grey_of(write_tiff(tmp_path / "b.tif", deep, (4, 1), 32)) == [[0, 0x12, 0x80, 255]]


def test_white_may_be_zero(tmp_path):
    path = tmp_path / "a.tif"
    write_tiff(path, bytes([0, 1, 255]), (3, 1), 8, photometric=0)
    assert grey_of(path) == [[255, 254, 0]]
    write_tiff(path, DEEP.astype("<u2").tobytes(), (4, 2), 16, photometric=0)
    assert grey_of(path) == [[255 - v for v in row] for row in HIGH]


def test_the_scale_does_not_depend_on_the_picture(tmp_path, caplog):
    """A 12-bit sensor in 16 bits is dark, and that is told."""
    Image.fromarray(DEEP // 16).save(tmp_path / "a.png")
    pixels, note = load_image(tmp_path / "a.png")
    assert pixels[:, :, 0].tolist() == [[v // 16 for v in row] for row in HIGH]
    assert note == LITTLE_CONTRAST
    read_image(tmp_path / "a.png")
    read_image(tmp_path / "a.png")
    assert caplog.text.count("a.png uses less than a quarter of the range") == 1
    Image.fromarray(DEEP // 4 + 3000).save(tmp_path / "b.png")  # as temperatures are
    assert load_image(tmp_path / "b.png").note == LITTLE_CONTRAST
    Image.fromarray(DEEP // 2).save(tmp_path / "c.png")
    assert load_image(tmp_path / "c.png").note == ""


@pytest.mark.parametrize(
    "dtype, bits, sample_format", [("<f4", 32, 3), ("<i4", 32, 2), ("<i2", 16, 2), ("i1", 8, 2)]
)
def test_samples_without_a_known_range_are_refused(tmp_path, dtype, bits, sample_format):
    data = np.arange(4).astype(dtype).tobytes()
    path = write_tiff(tmp_path / "a.tif", data, (4, 1), bits, sample_format=sample_format)
    with pytest.raises(ImageError, match=r"a.tif can't be read \(.*of unknown range\); save it wi"):
        read_image(path)
    assert read_size(path) == (4, 1)


def test_a_float_map_is_refused(tmp_path):
    (tmp_path / "a.pfm").write_bytes(b"Pf\n2 1\n-1.0\n" + np.array([0, 1], "<f4").tobytes())
    with pytest.raises(ImageError, match="range of its samples .* is not known"):
        read_image(tmp_path / "a.pfm")


def test_a_kind_that_pillow_does_not_read_is_refused(tmp_path):
    write_tiff(tmp_path / "a.tif", bytes(5), (4, 1), 10)
    with pytest.raises(ImageError, match="it is no picture, or of a format that can't be read"):
        read_image(tmp_path / "a.tif")


# --- several pictures, other formats -------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.gif", "a.tif", "a.webp", "a.png"])
def test_of_several_pictures_the_first_is_read_and_it_is_told(tmp_path, name):
    first, second = (Image.new("RGB", (20, 10), c) for c in ((200, 0, 0), (0, 0, 200)))
    first.save(tmp_path / name, save_all=True, append_images=[second])
    pixels, note = load_image(tmp_path / name)
    assert note == images.SEVERAL
    assert np.abs(pixels.astype(int) - (200, 0, 0)).max() < 8


def test_of_a_photograph_with_a_preview_nothing_is_told(tmp_path):
    first, preview = Image.fromarray(colours()), Image.fromarray(colours(1, (20, 30)))
    first.save(tmp_path / "a.mpo", save_all=True, append_images=[preview])
    first.save(tmp_path / "a.jpg")
    pixels, note = load_image(tmp_path / "a.mpo")
    np.testing.assert_array_equal(pixels, read_image(tmp_path / "a.jpg"))
    assert note == ""


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow reads no AVIF")
def test_avif(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(colours()).save(tmp_path / "a.avif", quality=95, exif=exif)
    pixels = read_image(tmp_path / "a.avif")
    assert np.abs(pixels.astype(int) - np.rot90(colours(), -1)).mean() < 4
    assert read_size(tmp_path / "a.avif") == (40, 60)


@pytest.fixture
def heic(tmp_path):
    pillow_heif = pytest.importorskip("pillow_heif")
    exif = Image.Exif()
    exif[0x0112] = 6
    heif = pillow_heif.from_pillow(Image.fromarray(colours()))
    heif.save(tmp_path / "a.heic", quality=95, exif=exif.tobytes())
    return tmp_path / "a.heic"


def test_heic(heic):
    pixels = read_image(heic)
    error = np.abs(pixels.astype(int) - np.rot90(colours(), -1))
    assert error.mean() < 8  # its colours have half the resolution
    assert read_size(heic) == (40, 60)


def test_heic_of_more_bits_is_scaled_to_8(tmp_path):
    pillow_heif = pytest.importorskip("pillow_heif")
    grey = np.tile(np.linspace(0, 65535, 64).astype(np.uint16), (64, 1))
    heif = pillow_heif.from_bytes(mode="I;16", size=(64, 64), data=grey.tobytes())
    heif.save(tmp_path / "a.heic", quality=100)
    assert np.abs(np.array(grey_of(tmp_path / "a.heic")) - (grey >> 8)).max() < 5


def test_heic_names_what_reads_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (tmp_path / "a.heic").write_bytes(struct.pack(">I", 24) + b"ftypheicxxxxmif1heic" + bytes(40))
    monkeypatch.setattr(Image, "ID", [name for name in Image.ID if name != "HEIF"])
    with pytest.raises(
        ImageError, match=r"it is a HEIC picture.*install .*pip install pillow-heif"
    ):
        read_image(tmp_path / "a.heic")


# --- files that can't be read --------------------------------------------------------------------


def test_what_is_no_file_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")  # opening it would wait for ever
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket.jpg"))
        for name in ("pipe.jpg", "socket.jpg", "/dev/zero"):
            with pytest.raises(ImageError, match="it is a pipe, a socket or a device"):
                read_image(tmp_path / name)
    with pytest.raises(ImageError, match=r"it is a folder\); move it away"):
        read_image(tmp_path)


def test_a_missing_file_is_told_apart(tmp_path):
    (tmp_path / "link.jpg").symlink_to(tmp_path / "gone.jpg")
    for name in ("gone.jpg", "link.jpg"):
        for read in (read_image, read_size):
            with pytest.raises(ImageError, match="there is no such file") as error:
                read(tmp_path / name)
            assert error.value.is_missing
    (tmp_path / "a.jpg").write_bytes(b"")
    with pytest.raises(ImageError) as error:
        read_image(tmp_path / "a.jpg")
    assert not error.value.is_missing


def test_a_forbidden_file(tmp_path, monkeypatch):
    def refuse(path, mode):
        raise PermissionError(13, "Permission denied", path)

    Image.fromarray(colours()).save(tmp_path / "a.png")
    monkeypatch.setattr(images, "open", refuse, raising=False)
    with pytest.raises(ImageError, match=r"a.png can't be read \(Permission denied\); restore"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize(
    "fault",
    [struct.error, IndexError, KeyError, zlib.error, MemoryError, RecursionError, AssertionError]
    + [NotImplementedError, EOFError, SyntaxError, UnicodeDecodeError],
)
@pytest.mark.parametrize("at", ["_open", "load"])
def test_whatever_a_decoder_raises_is_one_error(tmp_path, monkeypatch, fault, at):
    args = ("utf-8", b"", 0, 1, "x") if fault is UnicodeDecodeError else ("a\nsad story",)
    story = fault(*args)

    class Broken(ImageFile.ImageFile):
        format = "BROKEN"

        def _open(self):
            if at == "_open":
                raise story
            self._mode, self._size = "RGB", (4, 4)

        def load(self):
            raise story

    monkeypatch.setitem(Image.OPEN, "BROKEN", (Broken, lambda prefix: prefix[:4] == b"BROK"))
    monkeypatch.setattr(Image, "ID", ["BROKEN", *Image.ID])
    (tmp_path / "a.jpg").write_bytes(b"BROKEN")
    with pytest.raises(UserError, match=r"picture .*a.jpg can't be read \(.*\); restore") as error:
        read_image(tmp_path / "a.jpg")
    assert "\n" not in str(error.value)


def test_absurd_sizes(tmp_path):
    def png(width, height):
        header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
        chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
        (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk + bytes(4) + b"IDAT")

    for size in ((200_000, 200_000), (2**31 - 1, 1)):
        png(*size)
        with pytest.raises(ImageError, match=r"exceeds limit .*\); save it with fewer pixels"):
            read_image(tmp_path / "a.png")
    for size in ((0, 5), (5, 0)):
        png(*size)
        with pytest.raises(ImageError):
            read_image(tmp_path / "a.png")
    Image.new("L", (1, 101)).save(tmp_path / "a.png")
    with pytest.raises(ImageError, match="it is 1 x 101 pixels, too thin to show anybody"):
        read_image(tmp_path / "a.png")
    Image.new("L", (1, 100)).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").shape == (100, 1, 3)


def chunk_of(png, kind):
    """Where the data of a PNG's first chunk of a kind begin."""
    return png.index(kind) + len(kind)


@pytest.mark.parametrize("kind", [b"IHDR", b"PLTE", b"IDAT"])
def test_a_png_whose_checksum_does_not_fit_is_refused(tmp_path, kind):
    path = tmp_path / "a.png"
    Image.fromarray(colours()).quantize(16).save(path)
    data = bytearray(path.read_bytes())
    data[chunk_of(data, kind) + (8 if kind == b"IHDR" else 20)] ^= 1  # of the header, the depth
    path.write_bytes(data)
    with pytest.raises(ImageError, match="can't be read .*; restore the file"):
        load_image(path)


def test_damage_beside_the_picture_of_a_png_costs_nothing(tmp_path):
    path, text = tmp_path / "a.png", PngImagePlugin.PngInfo()
    text.add_text("Comment", "fine")
    Image.fromarray(colours()).save(path, pnginfo=text)
    whole, data = read_image(path), path.read_bytes()
    end = chunk_of(data, b"IEND") - 8
    note = b"tEXtComment\0fine"
    behind = struct.pack(">I", len(note) - 4) + note + b"\0\0\0\0"  # a wrong checksum
    path.write_bytes(data[:end] + behind + data[end:] + b"what a camera leaves behind the end")
    np.testing.assert_array_equal(read_image(path), whole)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.gif", "a.tif", "a.webp", "a.bmp"])
def test_damaged_files_give_a_picture_or_the_one_error(tmp_path, name):
    path = tmp_path / name
    Image.fromarray(colours()).save(path)
    whole = np.frombuffer(path.read_bytes(), np.uint8)
    rng = np.random.default_rng(0)
    for _ in range(60):
        damaged = whole.copy()
        damaged[rng.integers(0, len(whole), 20)] = rng.integers(0, 256, 20)
        path.write_bytes(damaged[: rng.integers(1, len(whole))].tobytes())
        for read in (load_image, read_size):
            try:
                read(path)
            except ImageError as error:
                assert "\n" not in str(error)
