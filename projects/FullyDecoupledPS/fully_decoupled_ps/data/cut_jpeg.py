"""JPEG files that end too early, as those of a camera that lost its power."""

import io
import random
import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image

LACKS_END = "lacks its end: its last rows (17, or a 32nd, at most) are plain colour or coarse"

_SOI, _EOI, _SOS = b"\xff\xd8", b"\xff\xd9", 0xDA
_START_OF_FRAME = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# A marker that ends a scan's data: no stuffed 0xFF, no restart marker, no fill byte.
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_BLOCK_ROWS = 17  # so many are coded together at most, and upsampling mixes them with one more


class _Scan(NamedTuple):
    """What a scan's header says; each scan codes the picture from the top to the bottom."""

    start: int  # of its data
    components: int  # of the picture
    completes: set[tuple[int, int]]  # (component, coefficient) whose lowest bit it brings


def lacks_end(data: bytes) -> bool:
    """Whether a JPEG's picture data have begun, and their end marker is not there."""
    first = next(_scans(data), None)
    return first is not None and data.find(_EOI, first.start) < 0


def read_cut_jpeg(data: bytes) -> tuple[Image.Image, str]:
    """
    A JPEG that lacks only its end: no more than a 32nd of its rows, or one row of blocks.

    Args:
        data: of the file; :func:`lacks_end`.

    Returns:
        the decoded picture, and LACKS_END.

    Raises:
        ValueError: more of it is missing, or a whole scan, so that detail is missing everywhere.
    """
    scans = list(_scans(data))
    # a progressive picture's coefficients come in several scans, and their bits one after another
    if len(set().union(*(scan.completes for scan in scans))) < 64 * scans[-1].components:
        raise ValueError("the file is truncated, and it is progressive, so detail is missing")
    # a disk leaves zeros where it had no time to write; half a marker would be made a whole one
    body = data[: max(len(data.rstrip(b"\0\xff")), scans[-1].start)]
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


def _scans(data: bytes) -> Iterator[_Scan]:
    """Walks over the segments until the file ends, or is damaged."""
    at, components = len(_SOI), 0
    while at + 4 < len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # fill bytes may stand before a marker
            at += 1
            continue
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if marker in _START_OF_FRAME and at + 9 < len(data):
            components = data[at + 9]
        if marker == _SOS:
            if end > len(data):
                return
            # its components, two bytes each, the range of coefficients, and the bit positions
            parts, (lowest, highest, bits) = data[at + 5 : end - 3 : 2], data[end - 3 : end]
            coefficients = range(lowest, highest + 1) if bits & 15 == 0 else ()
            yield _Scan(end, components, {(c, k) for c in parts for k in coefficients})
            following = _NEXT_MARKER.search(data, end)
            end = following.start() if following else len(data)
        at = end
