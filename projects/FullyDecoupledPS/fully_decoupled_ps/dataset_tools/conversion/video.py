"""Frames of a video as pictures."""

from collections.abc import Collection
from pathlib import Path

from ...data.videos import read_frames
from ...errors import UserError
from ...utils.files import atomic_write, tell_unwritable
from ...utils.progress import with_progress
from ...visualization.visualizer import encode_image

JPEG_QUALITY = 95


def extract_frames(video: Path, numbers: Collection[int], folder: Path) -> dict[int, Path]:
    """
    Write frames of a video as `<number>.jpg`.

    Args:
        numbers: of the frames wanted, in the order in which they are shown; the first one of the
            video is 1.

    Returns:
        the pictures by number.

    Raises:
        UserError: the video can't be read, is damaged or ends before a frame wanted, or a picture
            can't be written.
    """
    paths = {number: folder / f"{number:06d}.jpg" for number in sorted(numbers)}
    number, end = 0, max(paths)
    frames = with_progress(read_frames(str(video), strict=True), f"{video.name}: frame", end)
    with tell_unwritable(folder, "free space, or name another folder"):
        folder.mkdir(parents=True, exist_ok=True)
        for number, frame in enumerate(frames, start=1):
            if number in paths:
                with atomic_write(paths[number], "wb", sync=False) as f:
                    f.write(encode_image(frame.image(), ".jpg", JPEG_QUALITY))
            if number == end:
                return paths
    raise UserError(
        f"video '{video}' has {number} frames, but frame {end} is annotated; give the video that "
        "gt.txt belongs to"
    )
