"""Pictures and videos of 1920 x 1080 that cost as much to decode as a camera's."""

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

SIZE = (1080, 1920)
FRAME_RATE = 25
# Grey levels of a sensor's noise, with which a JPEG of quality 90 has about half a megabyte.
NOISE = 3.0


def make_pictures(folder: Path, number: int) -> Path:
    """``number`` JPEGs."""
    folder.mkdir(parents=True)
    for index, image in enumerate(_frames(number)):
        cv2.imwrite(str(folder / f"{index:05}.jpg"), image, [cv2.IMWRITE_JPEG_QUALITY, 90])
    return folder


def make_video(path: Path, seconds: int) -> Path:
    """H.264, :data:`FRAME_RATE` frames a second."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("h264", rate=Fraction(FRAME_RATE))
        stream.width, stream.height, stream.pix_fmt = SIZE[1], SIZE[0], "yuv420p"
        stream.options = {"preset": "veryfast"}
        for image in _frames(seconds * FRAME_RATE):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        container.mux(stream.encode())
    return path


def _frames(number: int):
    """Yields (H, W, 3) uint8: a scene that a camera pans over, and its noise."""
    rng = np.random.default_rng(0)
    height, width = SIZE
    coarse = rng.integers(0, 256, (height // 24, width // 12, 3), dtype=np.uint8)
    scene = cv2.resize(coarse, (2 * width, height), interpolation=cv2.INTER_CUBIC)
    noise = rng.normal(0, NOISE, (height + 64, width + 64, 3)).astype(np.int16)
    for index in range(number):
        x = 2 * index % width
        down, right = rng.integers(0, 64, 2)
        own = noise[down : down + height, right : right + width]
        yield np.clip(scene[:, x : x + width] + own, 0, 255).astype(np.uint8)
