"""Small sequences in the MOT challenge's layout."""

from pathlib import Path

import cv2
import numpy as np

from tests.data.layouts import write_image

FRAME_SIZE = (200, 100)  # width, height


def write_sequence(folder: Path, rows, num_frames: int) -> Path:
    """gt/gt.txt with `rows`, and img1 with so many pictures; none for a video to be added."""
    (folder / "gt").mkdir(parents=True)
    (folder / "gt" / "gt.txt").write_text("".join(",".join(map(str, r)) + "\n" for r in rows))
    for number in range(1, num_frames + 1):
        write_image(folder / "img1" / f"{number:06d}.jpg", *FRAME_SIZE)
    return folder


def write_video(path: Path, num_frames: int) -> Path:
    """Frame n, from 1 on, is of grey 20 n."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25, FRAME_SIZE)
    for number in range(1, num_frames + 1):
        writer.write(np.full((FRAME_SIZE[1], FRAME_SIZE[0], 3), 20 * number, np.uint8))
    writer.release()
    return path
