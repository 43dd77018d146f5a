"""How many frames a video has."""

from pathlib import Path

import av

from ...errors import UserError


def count_frames(video: Path) -> int:
    """How many frames a video has, by its packets: none is decoded.

    Raises:
        UserError: the video can't be read.
    """
    try:
        with av.open(str(video)) as container:
            return sum(p.size > 0 for p in container.demux(container.streams.video[0]))
    except (av.error.FFmpegError, OSError, IndexError) as error:
        raise UserError(f"video '{video}' can't be read ({error}); give another file") from error
