"""Lines of text below a picture, in any letters that names of cameras and files may have."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

FONT_SIZE = 11  # so that a date with its time fits below a crop
LINE_HEIGHT = 15
INK, PALE_INK = (20, 20, 20), (105, 105, 105)


@lru_cache
def _font(bold: bool) -> ImageFont.FreeTypeFont:
    # Matplotlib brings it: Latin, Greek and Cyrillic letters
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(
        str(Path(matplotlib.get_data_path(), "fonts", "ttf", name)), FONT_SIZE
    )


def fit_text(text: str, width: float, bold: bool = False) -> str:
    """`text`, its middle cut out if it is wider than `width` pixels: both ends of a name matter."""
    font = _font(bold)
    if font.getlength(text) <= width:
        return text
    for kept in range(len(text) - 1, 0, -1):
        cut = text[: (kept + 1) // 2] + "\u2026" + text[len(text) - kept // 2 :]
        if font.getlength(cut) <= width:
            return cut
    return ""


def draw_caption(lines: Sequence[str], size: tuple[int, int], pale: bool = False) -> np.ndarray:
    """A white strip, `size` (width, height) pixels, RGB, with the lines, the first one bold."""
    strip = Image.new("RGB", size, (255, 255, 255))
    draw = ImageDraw.Draw(strip)
    for i, line in enumerate(lines):
        text = fit_text(line, size[0] - 2, bold=i == 0)
        ink = PALE_INK if pale else INK
        draw.text((1, 2 + LINE_HEIGHT * i), text, fill=ink, font=_font(i == 0))
    return np.asarray(strip)
