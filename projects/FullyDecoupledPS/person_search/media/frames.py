"""Reading pictures, and frames of videos, as RGB uint8 (H, W, 3)."""

import math
from collections.abc import Iterator, Mapping

import numpy as np

from fully_decoupled_ps import predictor
from fully_decoupled_ps.predictor import PICTURE_ENDINGS, videos

from ..errors import UserError, translated

__all__ = [
    "PICTURE_ENDINGS",
    "VIDEO_ENDINGS",
    "VideoChanged",
    "VideoFrame",
    "count_samples",
    "left_out",
    "load_image",
    "read_frame",
    "read_clock",
    "read_picture",
    "sample_video",
]

VIDEO_ENDINGS = videos.VIDEO_ENDINGS
VideoFrame = videos.VideoFrame
# With this package's UserError
left_out = translated()(videos.left_out)
read_clock = translated()(videos.read_clock)
load_image = translated()(predictor.load_image)
read_picture = translated()(predictor.read_image)
# Seconds: many files round their time stamps to milliseconds.
TIME_ROUNDING = 0.001


class VideoChanged(Exception):
    """A video is not any more what was indexed of it."""


def sample_video(
    path: str, fps: float, known: Mapping[int, int | None] | None = None
) -> Iterator[VideoFrame]:
    """Frames of a video: the first one at or after each multiple of ``1 / fps`` seconds.

    Times count from the first frame. A frame is taken once, so that there are fewer where the
    video has a gap, and all of them if it has no more.

    Args:
        path: of the file.
        fps: above 0.
        known: the frames that were given before, the checksum by pts: they are not given again.

    Raises:
        UserError: if the file can't be opened, or, behind the last frame, if it is damaged or
            shorter than it should be.
        VideoChanged: before any frame is given, if one of ``known`` is not in it any more.
    """
    left = dict(known or {})
    last = -1
    with translated():
        for frame in videos.read_frames(path):
            period = math.floor((frame.offset + TIME_ROUNDING) * fps)
            if period == last:
                continue
            last = period
            if not left:
                yield frame
            elif left.pop(frame.pts, None) != frame.checksum():
                raise VideoChanged(path)
    if left:
        raise VideoChanged(path)


def count_samples(path: str, fps: float) -> int:
    """About how many frames :func:`sample_video` gives, by what the file says of itself."""
    try:
        with translated():
            return max(videos.count_frames(path, fps), 1)
    except UserError:  # told when it is read
        return 1


@translated()
def read_frame(path: str, pts: int | None, checksum: int | None = None) -> np.ndarray:
    """The picture that an index's frame was: a whole picture file, or a frame of a video.

    Args:
        path, pts, checksum: those of the :class:`~..index.Frame`. Without a checksum the video is
            decoded from its start, which takes longer.

    Raises:
        UserError: if it can't be read, or a video has another frame there.
    """
    if pts is None:
        return read_picture(path)
    return videos.read_frame(path, pts, checksum)
