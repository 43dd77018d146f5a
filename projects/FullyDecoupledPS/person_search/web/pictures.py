"""The pictures of an index's frames, read when they are shown, if they still exist."""

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from fully_decoupled_ps.visualization import visualizer
from fully_decoupled_ps.visualization.visualizer import picture

from ..errors import UserError
from ..index import Frame, Person
from ..media.frames import read_frame

# Frames that are read at the same time: seeking in videos takes long, and memory is limited.
NUM_READERS = 4
THUMBNAIL_WIDTH = 320
# Wide enough to recognise a person; a larger picture only takes longer to reach the browser.
FRAME_WIDTH = 1280


class FramePicture(NamedTuple):
    """A frame's picture, or why there is none."""

    image: np.ndarray | None  # (H, W, 3) RGB uint8, of the size that the index has of the frame
    problem: str  # for people; "" if there is an image


def read_indexed(frame: Frame) -> FramePicture:
    """The picture that boxes of ``frame`` are drawn on, or why there is none."""
    if not os.path.exists(frame.path):
        return FramePicture(None, "Missing: the file is not there any more, or can't be reached.")
    try:
        image = read_frame(frame.path, frame.pts, frame.checksum)
    except UserError:
        return FramePicture(None, "Missing: the file can't be read any more.")
    if image.shape[:2] != (frame.height, frame.width):
        return FramePicture(None, "Missing: the file was changed since it was indexed.")
    return FramePicture(image, "")


def draw_each(
    items: Sequence, frame_of: Callable, draw: Callable[[np.ndarray, object], dict]
) -> list[tuple[dict | None, str]]:
    """A picture for each item, its frame read only once.

    Args:
        items: of any kind.
        frame_of: the :class:`Frame` of an item.
        draw: from the frame's image and the item to an <img>'s attributes.

    Returns:
        list: for each item the attributes, or None, and the problem, or "".
    """
    by_frame: dict[str, list[int]] = {}
    for i, item in enumerate(items):
        by_frame.setdefault(frame_of(item).name, []).append(i)
    drawn: list = [None] * len(items)

    def draw_frame(numbers: Iterable[int]) -> None:
        image, problem = read_indexed(frame_of(items[numbers[0]]))
        for i in numbers:
            drawn[i] = (None if image is None else draw(image, items[i]), problem)

    with ThreadPoolExecutor(NUM_READERS) as pool:
        list(pool.map(draw_frame, by_frame.values()))  # list() raises a thread's exception
    return drawn


def crop(image: np.ndarray, person: Person, weak: bool = False) -> dict:
    """The person, boxed, with some surroundings; a weak hit is pale."""
    return picture(visualizer.draw_hit(image, {"bbox": person.box, "weak": weak}), "")


def query_crop(image: np.ndarray, box) -> dict:
    """The person searched, boxed."""
    return picture(visualizer.draw_query(image, {"bbox": box}), "")


def thumbnail(image: np.ndarray, persons: Sequence[Person]) -> dict:
    """The whole frame, small, with the persons marked."""
    boxes = [(person.box, visualizer.UNJUDGED) for person in persons]
    return picture(visualizer.draw_whole(image, THUMBNAIL_WIDTH, boxes), "")


def whole_frame(image: np.ndarray, alt: str) -> dict:
    """The whole frame without marks, no wider than ``FRAME_WIDTH``."""
    return picture(visualizer.draw_whole(image, min(image.shape[1], FRAME_WIDTH)), alt)
