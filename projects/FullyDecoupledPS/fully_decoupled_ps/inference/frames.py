"""Reading pictures, and frames of videos, as RGB uint8 (H, W, 3)."""

from typing import Iterator, NamedTuple

import cv2
import numpy as np

from ..data.images import read_image as read_picture
from ..errors import UserError

# For videos that do not say their frame rate.
DEFAULT_FRAME_RATE = 25.0


class VideoFrame(NamedTuple):
    """A frame of a video."""

    number: int  # from 0, of all frames
    offset: float  # seconds after the first one
    image: np.ndarray  # (H, W, 3) RGB uint8


def sample_video(path: str, fps: float, after: int | None = None) -> Iterator[VideoFrame]:
    """Frames of a video, ``fps`` of them a second; all of them if it has no more.

    Args:
        path: of the file.
        fps: above 0.
        after: number of the last frame that is not wanted again; None: from the start.

    Raises:
        UserError: if the file can't be opened, or has no frame.
    """
    video = _open(path)
    try:
        rate = _frame_rate(video)
        number = 0
        while video.grab():
            is_sampled = number == 0 or int(number * fps / rate) > int((number - 1) * fps / rate)
            if is_sampled and (after is None or number > after):
                ok, image = video.retrieve()
                if not ok:
                    break
                yield VideoFrame(number, number / rate, cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
            number += 1
        if number == 0:
            raise UserError(f"video {path} has no frame that can be read; restore the file")
    finally:
        video.release()


def count_samples(path: str, fps: float) -> int:
    """About how many frames :func:`sample_video` gives, by what the file says of itself."""
    video = cv2.VideoCapture(path)
    count, rate = video.get(cv2.CAP_PROP_FRAME_COUNT), _frame_rate(video)
    video.release()
    return max(round(count * min(fps / rate, 1.0)), 1) if np.isfinite(count) else 1


def read_frame(path: str, number: int | None) -> np.ndarray:
    """The picture that an index's frame was: a whole picture file, or frame ``number`` of a video.

    Raises:
        UserError: if it can't be read.
    """
    if number is None:
        return read_picture(path)
    video = _open(path)
    try:
        video.set(cv2.CAP_PROP_POS_FRAMES, number)
        ok, image = video.read()
    finally:
        video.release()
    if not ok:
        raise UserError(f"video {path} has no frame {number}; was the file changed?")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _open(path: str) -> cv2.VideoCapture:
    video = cv2.VideoCapture(path)
    if not video.isOpened():
        raise UserError(f"video {path} can't be opened; restore the file, or convert it to MP4")
    return video


def _frame_rate(video: cv2.VideoCapture) -> float:
    rate = video.get(cv2.CAP_PROP_FPS)
    return rate if np.isfinite(rate) and rate > 0 else DEFAULT_FRAME_RATE
