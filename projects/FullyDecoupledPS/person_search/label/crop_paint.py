"""Painting over somebody in the crop of somebody else."""

import io
from collections.abc import Iterable, Sequence

from PIL import Image, ImageDraw

from .views import JPEG_QUALITY, crop_window

GREY = (128, 128, 128)


def paint_over(
    jpeg: bytes, box: Sequence[float], others: Iterable[Sequence[float]], size: tuple[int, int]
) -> bytes | None:
    """
    Args:
        jpeg: the crop of a box, as :func:`.views.cut_crop` made it.
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
