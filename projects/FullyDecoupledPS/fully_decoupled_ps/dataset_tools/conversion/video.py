"""Frames of a video as pictures."""

from collections.abc import Collection
from pathlib import Path

import cv2

from ...data.videos import read_frames
from ...errors import UserError
from ...utils.files import atomic_write
from ...utils.progress import with_progress

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
    try:
        _extract(video, paths)
    except OSError as error:
        raise UserError(f"frames can't be written to '{folder}' ({error}); make room") from error
    return paths


def _extract(video: Path, paths: dict[int, Path]) -> None:
    number, end = 0, max(paths)
    frames = with_progress(read_frames(str(video), strict=True), f"{video.name}: frame", end)
    for number, frame in enumerate(frames, start=1):
        if number in paths:
            _write(frame.image(), paths[number])
        if number == end:
            return
    raise UserError(
        f"video '{video}' has {number} frames, but frame {end} is annotated; give the video that "
        "gt.txt belongs to"
    )


def _write(image, path: Path) -> None:
    """``image``: (H, W, 3) RGB uint8."""
    path.parent.mkdir(parents=True, exist_ok=True)
    quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    encoded = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), quality)[1]
    with atomic_write(path, "wb", sync=False) as f:
        f.write(encoded.tobytes())
