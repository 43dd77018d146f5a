"""Painting over somebody in the crop of somebody else."""

import io
import math
from collections.abc import Iterable, Sequence

from PIL import Image, ImageDraw

JPEG_QUALITY = 88
# Shares of a box's width and height that a crop shows around it.
MARGIN_X, MARGIN_Y = 0.2, 0.08
GREY = (128, 128, 128)


def crop_window(box: Sequence[float], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The part of a frame that the crop of a box shows: left, top, right, bottom.

    Args:
        box: x0, y0, x1, y1 in pixels of the frame.
        size: width and height of the frame.
    """
    x0, y0, x1, y1 = box
    width, height = size
    dx, dy = MARGIN_X * (x1 - x0), MARGIN_Y * (y1 - y0)
    left = min(max(math.floor(x0 - dx), 0), width - 1)
    top = min(max(math.floor(y0 - dy), 0), height - 1)
    right = max(min(math.ceil(x1 + dx), width), left + 1)
    return left, top, right, max(min(math.ceil(y1 + dy), height), top + 1)


def paint_over(
    jpeg: bytes, box: Sequence[float], others: Iterable[Sequence[float]], size: tuple[int, int]
) -> bytes | None:
    """
    Args:
        jpeg: the crop of a box, of the window that :func:`crop_window` gives.
        box: x0, y0, x1, y1 in pixels of the frame.
        others: boxes to be painted grey.
        size: width and height of the frame.

    Returns:
        the crop as a JPEG file again; None if no other box reaches into it.
    """
    left, top, right, bottom = crop_window(box, size)
    inside = [
        (max(x0, left), max(y0, top), min(x1, right), min(y1, bottom)) for x0, y0, x1, y1 in others
    ]
    inside = [(x0, y0, x1, y1) for x0, y0, x1, y1 in inside if x0 < x1 and y0 < y1]
    if not inside:
        return None
    image = Image.open(io.BytesIO(jpeg)).convert("RGB")
    draw = ImageDraw.Draw(image)
    scale_x, scale_y = image.width / (right - left), image.height / (bottom - top)
    for x0, y0, x1, y1 in inside:
        corners = (x0 - left) * scale_x, (y0 - top) * scale_y, (x1 - left) * scale_x
        draw.rectangle((*corners, (y1 - top) * scale_y), GREY)
    with io.BytesIO() as file:
        image.save(file, "JPEG", quality=JPEG_QUALITY)
        return file.getvalue()
