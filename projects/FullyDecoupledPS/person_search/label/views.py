"""The best crops of a tracklet, as it is shown and compared."""

import io
import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from PIL import Image

from fully_decoupled_ps.predictor import read_image, videos

from ..errors import UserError, translated
from ..index import Frame
from .detections import Detections
from .overlap import areas, by_frame, hidden

MAX_VIEWS = 6
# Pixels; a smaller person is not enlarged.
CROP_HEIGHT = 192
JPEG_QUALITY = 88
# Shares of a box's width and height that are shown around it.
MARGIN_X, MARGIN_Y = 0.2, 0.08
# What is left of a view's worth if the border cuts it.
CUT_WORTH = 0.3


def view_worths(found: Detections) -> np.ndarray:
    """(N,) how good a crop each detection would give, above 0."""
    visible = np.ones(len(found.scores))
    for rows in by_frame(found.frames):
        visible[rows] -= hidden(found.boxes[rows])
    is_whole = np.where(found.at_border.any(axis=1), CUT_WORTH, 1)
    return found.scores * np.sqrt(areas(found.boxes)) * is_whole * (0.02 + visible) + 1e-6


def choose_views(seconds: np.ndarray, worths: np.ndarray) -> list[int]:
    """The best detection of each of :data:`MAX_VIEWS` equal parts of a tracklet's time.

    Args:
        seconds: (N,) ascending, of its detections.
        worths: (N,) of :func:`view_worths`.

    Returns:
        list: their numbers, ascending.
    """
    length = max(float(seconds[-1] - seconds[0]), 1e-9)
    count = min(MAX_VIEWS, len(seconds))
    parts = np.minimum((count * (seconds - seconds[0]) / length).astype(int), count - 1)
    chosen = []
    for part in np.unique(parts):
        rows = np.flatnonzero(parts == part)
        chosen.append(int(rows[worths[rows].argmax()]))
    return chosen


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


def cut_crop(image: np.ndarray, box: np.ndarray) -> bytes:
    """A JPEG file of a person and a bit around.

    Args:
        image: (H, W, 3) RGB uint8.
        box: x0, y0, x1, y1 in its pixels.
    """
    height, width = image.shape[:2]
    left, top, right, bottom = crop_window(box, (width, height))
    crop = Image.fromarray(image[top:bottom, left:right])
    if crop.height > CROP_HEIGHT:
        crop = crop.resize((max(round(crop.width * CROP_HEIGHT / crop.height), 1), CROP_HEIGHT))
    with io.BytesIO() as file:
        crop.save(file, "JPEG", quality=JPEG_QUALITY)
        return file.getvalue()


@translated()
def read_wanted(frames: Mapping[int, Frame]) -> Iterator[tuple[int, np.ndarray]]:
    """The pictures of some frames of one recording, in one pass over a video.

    Args:
        frames: by a key of the caller's.

    Yields:
        tuple: key, (H, W, 3) RGB uint8.

    Raises:
        UserError: if a file can't be read, or a video has not every frame as it was.
    """
    by_pts = {}
    for key, frame in frames.items():
        if frame.pts is None:
            yield key, read_image(frame.path)
        else:
            by_pts[frame.pts] = key
            path = frame.path
    if not by_pts:
        return
    for frame in videos.read_frames(path):
        key = by_pts.pop(frame.pts, None)
        if key is None:
            continue
        if frames[key].checksum not in (None, frame.checksum()):
            break
        yield key, frame.image()
        if not by_pts:
            return
    raise UserError(
        f"video {path} has changed since it was indexed; run the same command again, which reads "
        "it anew"
    )
