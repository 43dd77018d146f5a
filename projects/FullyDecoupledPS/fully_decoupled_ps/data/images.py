"""The one rule by which every part of this project reads a picture: upright, RGB, 8 bits.

Pillow decodes. Of what it would change without a word this module decides: which way is up (EXIF),
how deep samples become 8 bits (``image_depth.py``), what a JPEG without its end is worth
(``cut_jpeg.py``), and that the checksums of a PNG have to fit. Transparency is dropped: a pixel has
the colour that is stored for it. Of a file with several pictures (GIF, TIFF) the first is read.
Colour profiles are not applied.
"""

import functools
import logging
import os
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from ..errors import UserError
from .cut_jpeg import lacks_end, read_cut_jpeg
from .image_depth import DepthError, to_rgb

logger = logging.getLogger(__name__)

# Endings of the formats that cameras and phones write. A file is read by its content alone.
PICTURE_ENDINGS = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".bmp", ".dib", ".gif", ".webp")
    + (".tif", ".tiff", ".avif", ".heic", ".heif", ".hif", ".jp2", ".pgm", ".ppm", ".pnm")
)

SEVERAL = "holds several pictures, of which the first is read"

# Longer side over shorter side; of one that is thinner, a network's input may have no pixels.
_THINNEST = 100
_EXIF_ORIENTATION = 0x0112
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")

Path = str | os.PathLike[str]


class ImageError(UserError):
    """A picture that can't be read.

    Attributes:
        reason: in a few words.
        fix: what to do about it; of several ways all but the last, "or name another".
        is_missing: whether there is no such file.
    """

    def __init__(
        self, path: Path, reason: str, fix: str = "restore the file", is_missing: bool = False
    ):
        self.reason, self.fix, self.is_missing = reason, fix, is_missing
        super().__init__(f"picture {path} can't be read ({reason}); {fix}, or name another")


class LoadedImage(NamedTuple):
    """A picture, and what is to be told of it."""

    pixels: np.ndarray  # (H, W, 3) RGB uint8
    note: str  # what was left out or assumed, after "it"; "" if nothing was


def read_image(path: Path) -> np.ndarray:
    """:func:`load_image`'s (H, W, 3) RGB uint8; its note goes to the log, once per file."""
    pixels, note = load_image(path)
    if note:
        _tell(os.fspath(path), note)
    return pixels


@functools.lru_cache(maxsize=1000)  # the page shows a picture again and again
def _tell(path: str, note: str) -> None:
    logger.warning("picture %s %s", path, note)


def load_image(path: Path) -> LoadedImage:
    """Read a picture whole.

    Raises:
        ImageError: for any fault of the file, whatever its decoder raises.
    """
    with _telling_faults(path), _open(path) as file:
        image = _identify(file, path)
        notes = [SEVERAL] if _holds_several(image) else []
        if image.format in ("JPEG", "MPO"):
            file.seek(0)
            data = file.read()
            if lacks_end(data):
                image, note = read_cut_jpeg(data)
                notes.append(note)
        elif image.format == "PNG":
            _check_png(file)
        orientation = _orientation(image)
        pixels, note = to_rgb(image)
        notes += [note] if note else []
        return LoadedImage(_upright(pixels, orientation), "; it ".join(notes))


def read_size(path: Path) -> tuple[int, int]:
    """Width and height of :func:`load_image`'s picture, from the file's header where it has them.

    Raises:
        ImageError: as :func:`load_image`.
    """
    with _telling_faults(path), _open(path) as file:
        image = _identify(file, path)
        width, height = image.size
        return (height, width) if _orientation(image) >= 5 else (width, height)


@contextmanager
def _telling_faults(path: Path) -> Iterator[None]:
    """Turns whatever a decoder raises into an ImageError."""
    try:
        yield
    except ImageError:
        raise
    except FileNotFoundError as error:
        fix = "put it there, name the folder that holds it"
        raise ImageError(path, "there is no such file", fix, is_missing=True) from error
    except DepthError as error:
        raise ImageError(path, error.reason, error.fix) from error
    except Image.DecompressionBombError as error:
        raise ImageError(path, f"{error}", "save it with fewer pixels") from error
    except UnidentifiedImageError as error:
        raise ImageError(path, "it is no picture, or of a format that can't be read") from error
    except Exception as error:
        text = getattr(error, "strerror", None) or str(error)
        raise ImageError(path, " ".join(text.split()) or type(error).__name__) from error


def _open(path: Path) -> BinaryIO:
    """The file; opening a pipe or a device might never end."""
    mode = os.stat(path).st_mode
    if stat.S_ISDIR(mode):
        raise ImageError(path, "it is a folder", fix="move it away")
    if not stat.S_ISREG(mode):
        raise ImageError(path, "it is a pipe, a socket or a device", fix="move it away")
    return open(path, "rb")


def _identify(file: BinaryIO, path: Path) -> Image.Image:
    try:
        image = Image.open(file)
    except UnidentifiedImageError:
        file.seek(4)
        box = file.read(8)
        if box[:4] != b"ftyp" or box[4:] not in _HEIF_BRANDS:
            raise
        image = _open_heif(file, path)
    if image.format == "EPS":
        raise ValueError("it is PostScript, a program that would have to be run")
    width, height = image.size
    if max(width, height) > _THINNEST * min(width, height):  # or it has no pixels
        raise ValueError(f"it is {width} x {height} pixels, too thin to show anybody")
    return image


def _open_heif(file: BinaryIO, path: Path) -> Image.Image:
    try:
        from pillow_heif import register_heif_opener
    except ImportError as error:
        fix = "install what reads it: pip install pillow-heif"
        raise ImageError(path, "it is a HEIC picture, which Pillow does not read", fix) from error
    register_heif_opener()
    file.seek(0)
    return Image.open(file)


def _check_png(file: BinaryIO) -> None:
    """
    Pillow decodes a damaged PNG to a picture: it leaves out the checksums of the picture's data.

    Raises:
        ValueError: a checksum does not fit, of all chunks that a picture can't be decoded without.
    """
    at = file.tell()
    file.seek(8)  # behind the signature
    while len(header := file.read(8)) == 8:
        length, kind = int.from_bytes(header[:4], "big"), header[4:]
        if kind[:1].islower():  # texts, times, frames of an animation but the first
            file.seek(length + 4, os.SEEK_CUR)
        else:
            data, checksum = file.read(length), file.read(4)
            if len(checksum) == 4 and zlib.crc32(data, zlib.crc32(kind)) != int.from_bytes(
                checksum, "big"
            ):
                raise ValueError(f"it is damaged: the checksum of a chunk {kind!r} does not fit")
        if kind == b"IEND":
            break
    file.seek(at)


def _holds_several(image: Image.Image) -> bool:
    if image.format == "MPO":  # a photograph, with its preview or its depth
        return False
    try:
        return bool(getattr(image, "is_animated", False))
    except Exception:  # what follows the first picture is damaged
        image.seek(0)
        return True


def _orientation(image: Image.Image) -> int:
    """How the picture must still be turned, EXIF's 1 to 8; 5 to 8 swap width and height."""
    if image.format == "TIFF":  # Pillow turns these itself, and states the size of the turned one
        return 1
    try:
        orientation = image.getexif().get(_EXIF_ORIENTATION, 1)
    except Exception:  # damaged EXIF data; the picture may be whole
        return 1
    return orientation if orientation in range(1, 9) else 1


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)
