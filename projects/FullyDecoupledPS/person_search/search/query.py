"""From a picture, and perhaps a box or a point in it, to the person to search for."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import UserError
from ..index import Frame, Person, PersonIndex
from ..media.frames import read_frame
from ..network import Predictor


@dataclass(frozen=True)
class Query:
    """A person in a picture."""

    name: str  # of the picture, as it was given
    image: np.ndarray | None  # (H, W, 3) RGB uint8; None: it is read where it is drawn
    box: tuple[float, float, float, float]  # x0, y0, x1, y1 in its pixels
    feature: np.ndarray  # (D,) float32, L2-normalised

    @property
    def title(self) -> str:
        """For people: the picture's name without folders."""
        return Path(self.name).name


@dataclass(frozen=True)
class PersonQuery(Query):
    """A person of the index; ``image`` is None: it is read where it is drawn, and may be gone."""

    person: Person

    @property
    def title(self) -> str:
        return self.person.frame.title


def query_of_person(index: PersonIndex, person_id: int) -> PersonQuery:
    """A person of the index, or a UserError."""
    person = index.person(person_id)
    feature = index.features([person_id])[0]
    return PersonQuery(person.frame.name, None, person.box, feature, person)


def query_of_box(network: Predictor, name: str, image: np.ndarray, box=None) -> Query:
    """The person in ``box``; None: the whole picture is a crop of the person.

    Raises:
        UserError: if the box is empty or reaches out of the picture.
    """
    height, width = image.shape[:2]
    box = (0.0, 0.0, float(width), float(height)) if box is None else tuple(map(float, box))
    x0, y0, x1, y1 = box
    if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
        raise UserError(
            f"box {_numbers(box)} is not in {name}, which is {width} x {height} pixels; give "
            f"x0,y0,x1,y1 with 0 <= x0 < x1 <= {width} and 0 <= y0 < y1 <= {height}"
        )
    return Query(name, image, box, network.embed(image, [box])[0])


def query_at_point(
    network: Predictor,
    name: str,
    image: np.ndarray,
    point: Sequence[float],
    score_thresh: float,
) -> Query:
    """The person detected at ``point`` (x, y): of several the one with the smallest box.

    Raises:
        UserError: if the point is not in the picture, or no person is detected there with a score
            of at least ``score_thresh``.
    """
    height, width = image.shape[:2]
    if not (0 <= point[0] < width and 0 <= point[1] < height):
        raise UserError(
            f"point {_numbers(point)} is not in {name}, which is {width} x {height} pixels; give "
            "x,y of a pixel in it"
        )
    found = network.detect(image)
    keep = found.scores >= score_thresh
    boxes, features = found.boxes[keep], found.features[keep]
    distances = distance_to_boxes(point, boxes)
    if not (distances == 0).any():
        raise UserError(_nobody_at(point, name, boxes, distances, score_thresh))
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    best = int(np.where(distances == 0, areas, np.inf).argmin())
    return Query(name, image, tuple(boxes[best].tolist()), features[best])


def distance_to_boxes(point: Sequence[float], boxes: np.ndarray) -> np.ndarray:
    """(N,) distances, in pixels, of a point to (N, 4) boxes; 0 within a box."""
    x, y = point
    dx = np.maximum(np.maximum(boxes[:, 0] - x, x - boxes[:, 2]), 0)
    dy = np.maximum(np.maximum(boxes[:, 1] - y, y - boxes[:, 3]), 0)
    return np.hypot(dx, dy)


def _nobody_at(point, name, boxes, distances, score_thresh) -> str:
    start = f"no person is detected at {_numbers(point)} in {name}"
    if len(boxes) == 0:
        return (
            f"{start}, nor anywhere else in it with a score of at least {score_thresh}; give the "
            "person's box with --box"
        )
    nearest = int(distances.argmin())
    return (
        f"{start}; the nearest one is {distances[nearest]:.0f} pixels away, in the box "
        f"{_numbers(boxes[nearest])}: point at it, or give the person's box with --box"
    )


def _numbers(values) -> str:
    return ",".join(f"{float(value):.10g}" for value in np.asarray(values, dtype=float).round(1))


def parse_numbers(option: str, text: str, count: int) -> tuple[float, ...]:
    """``count`` numbers from an option's comma-separated text, or a UserError."""
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != count or not np.isfinite(numbers).all():
        form = "x0,y0,x1,y1" if count == 4 else "x,y"
        raise UserError(f"{option} {text}: write it as {form}, in pixels of the picture")
    return numbers


def read_named_frame(name: str, index: PersonIndex) -> np.ndarray:
    """A picture, by its path, or a frame of a video, by ``PATH#PTS`` as hits are named.

    A frame of the index is compared with what was indexed; others are found by their pts alone.

    Raises:
        UserError: if it can't be read.
    """
    path, pts = _named(name)
    known = find_named_frames(index, name) if pts is not None else []
    return read_frame(path, pts, known[0].checksum if known else None)


def find_named_frames(index: PersonIndex, name: str) -> list[Frame]:
    """The frames of the index with a name as in :func:`read_named_frame`, perhaps by a link."""
    path, pts = _named(name)
    return next(filter(None, (index.find_frames(p, pts) for p in absolute_paths(path))), [])


def absolute_paths(path: str) -> tuple[str, str]:
    """The paths that an index may have of a file: with links, and without."""
    return os.path.abspath(path), os.path.realpath(path)


def _named(name: str) -> tuple[str, int | None]:
    path, pts = split_name(name)
    # else "#" is part of the file's own name
    return (name, None) if os.path.exists(name) else (path, pts)


def split_name(name: str) -> tuple[str, int | None]:
    """``PATH#PTS`` -> path and pts; without such an end, the name itself and None.

    >>> split_name("a#b.mp4#-512")
    ('a#b.mp4', -512)
    """
    match = re.fullmatch(r"(.+)#(-?[0-9]{1,19})", name, re.DOTALL)
    if match and abs(int(match[2])) < 2**63:
        return match[1], int(match[2])
    return name, None
