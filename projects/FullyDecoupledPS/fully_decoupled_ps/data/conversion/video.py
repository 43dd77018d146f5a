"""Frames of a video as pictures."""

import logging
import time
from pathlib import Path
from typing import Collection, Dict

import cv2

from ...errors import UserError
from ...files import atomic_write
from ..checks import SECONDS_BETWEEN_PROGRESS

logger = logging.getLogger(__name__)

JPEG_QUALITY = 95


def extract_frames(video: Path, numbers: Collection[int], folder: Path) -> Dict[int, Path]:
    """
    Write frames of a video as `<number>.jpg`.

    Args:
        numbers: of the frames wanted; the first of the video is 1.

    Returns:
        the pictures by number; those that the video ends before are not among them.

    Raises:
        UserError: the video can't be read, has none of the frames, or a picture can't be written.
    """
    paths = {number: folder / f"{number:06d}.jpg" for number in sorted(numbers)}
    capture = cv2.VideoCapture(str(video))
    try:
        if not capture.isOpened():
            raise UserError(f"video '{video}' can't be opened; give a file that OpenCV can read")
        folder.mkdir(parents=True, exist_ok=True)
        written = _extract(capture, paths, video.name)
    except OSError as error:
        raise UserError(f"frames can't be written to '{folder}' ({error}); make room") from error
    finally:
        capture.release()
    if not written:
        raise UserError(
            f"video '{video}' has no frame of those annotated (from frame {min(paths)} on); "
            "give the video that gt.txt belongs to"
        )
    return written


def _extract(capture: cv2.VideoCapture, paths: Dict[int, Path], name: str) -> Dict[int, Path]:
    """Decodes in order, since seeking is not exact in many formats."""
    written = {}
    start = last = time.monotonic()
    for number in range(1, max(paths) + 1):
        if not capture.grab():
            break
        if number in paths:
            ok, frame = capture.retrieve()
            if ok:
                _write(frame, paths[number])
                written[number] = paths[number]
        now = time.monotonic()
        if now - last > SECONDS_BETWEEN_PROGRESS:
            left = (now - start) / number * (max(paths) - number)
            logger.info("%s: frame %d of %d, %.0f s left", name, number, max(paths), left)
            last = now
    return written


def _write(frame, path: Path) -> None:
    encoded = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
    with atomic_write(path, "wb", sync=False) as f:
        f.write(encoded.tobytes())
