"""JPEG files that end too early, as those of a camera that lost its power."""

import io
import random
from typing import NamedTuple, Optional, Tuple

import numpy as np
from PIL import Image

LACKS_END = "lacks its end: its last rows (17, or a 32nd, at most) are filled with plain colour"

_SOI, _EOI, _SOS = b"\xff\xd8", b"\xff\xd9", 0xDA
_SEQUENTIAL = (0xC0, 0xC1)  # start of frame: baseline, extended
_START_OF_FRAME = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_BLOCK_ROWS = 17  # so many are coded together at most, and upsampling mixes them with one more


class _Scan(NamedTuple):
    """Where the picture itself begins in a file."""

    start: int  # of the first scan's data
    is_only_one: bool  # sequential, with all components: coded from the top to the bottom


def lacks_end(data: bytes) -> bool:
    """Whether a JPEG's picture data have begun, and their end marker is not there."""
    scan = _find_scan(data)
    return scan is not None and data.find(_EOI, scan.start) < 0


def read_cut_jpeg(data: bytes) -> Tuple[Image.Image, str]:
    """
    A JPEG that lacks only its end: no more than a 32nd of its rows, or one row of blocks.

    Args:
        data: of the file; :func:`lacks_end`.

    Returns:
        the decoded picture, and LACKS_END.

    Raises:
        ValueError: more of it is missing, or, as it is not coded from the top to the bottom
            (progressive), can't be told.
    """
    scan = _find_scan(data)
    if not scan.is_only_one:
        raise ValueError("the file is truncated, and it is progressive, so detail is missing")
    # a disk leaves zeros where it had no time to write; half a marker would be made a whole one
    body = data[: max(len(data.rstrip(b"\0\xff")), scan.start)]
    image = Image.open(io.BytesIO(body + _EOI))
    image.load()
    # What the data do not determine is what other data behind them change.
    noise = random.Random(0).randbytes(4096).replace(b"\xff", b"\x5a")
    other = np.asarray(Image.open(io.BytesIO(body + noise + _EOI)))
    differs = (np.asarray(image) != other).reshape(image.height, -1).any(axis=1)
    missing = image.height - int(differs.argmax()) if differs.any() else 0
    if missing > max(_BLOCK_ROWS, image.height // 32):
        raise ValueError(f"the file is truncated: {missing} of {image.height} rows are missing")
    return image, LACKS_END


def _find_scan(data: bytes) -> Optional[_Scan]:
    """Walks over the segments before the first scan; None if they are damaged."""
    at, frame, components = len(_SOI), 0, 0
    while at + 4 < len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # fill bytes may stand before a marker
            at += 1
            continue
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if marker in _START_OF_FRAME and at + 9 < len(data):
            frame, components = marker, data[at + 9]
        if marker == _SOS:
            return _Scan(end, frame in _SEQUENTIAL and data[at + 4] == components)
        at = end
    return None
