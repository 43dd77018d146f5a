"""Reading pictures, and frames of videos, as RGB uint8 (H, W, 3)."""

import math
from collections.abc import Iterator, Mapping

import numpy as np

from fully_decoupled_ps.predictor import read_image, videos

from ..errors import translated

# Seconds: many files round their time stamps to milliseconds.
TIME_ROUNDING = 0.001


class VideoChanged(Exception):
    """A video is not any more what was indexed of it."""


def sample_video(
    path: str, fps: float, known: Mapping[int, int | None] | None = None
) -> Iterator[videos.VideoFrame]:
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
        return read_image(path)
    return videos.read_frame(path, pts, checksum)
