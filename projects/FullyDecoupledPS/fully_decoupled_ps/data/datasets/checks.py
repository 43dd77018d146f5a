"""What all loaders share: checks of files, pictures and boxes, person ids, counts for the log."""

import logging
import math
import os
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from detectron2.structures import BoxMode

from ...errors import UserError
from ..images import ImageError, read_size

logger = logging.getLogger(__name__)


class EntryFault(UserError):
    """A fault of one entry of a dataset's files.

    Attributes:
        kind: a short name that stays the same, for reports by kind.
        heading: a title for all faults of the kind, with how to fix them where one way fits all.
        image_id: of the image that the entry names, if the file has no such image.
    """

    def __init__(self, message: str, kind: str, heading: str, image_id: str | None = None):
        super().__init__(message)
        self.kind, self.heading, self.image_id = kind, heading, image_id


def check_folder(path: str, dataset: str) -> None:
    """Raises UserError when a dataset's folder is not there."""
    if not os.path.isdir(path):
        raise UserError(
            f"{dataset}: folder '{path}' not found; put the dataset there, or set "
            "DETECTRON2_DATASETS to the folder that holds it (datasets/README.md draws the tree)"
        )


def check_file(path: str, dataset: str) -> None:
    """Raises UserError when a file of a dataset is not there."""
    if not os.path.isfile(path):
        raise UserError(
            f"{dataset}: file '{path}' not found; restore it from the dataset's archive "
            "(datasets/README.md draws the tree)"
        )


def check_name(name: str, where: str) -> str:
    """A file name from an annotation file, which must not lead out of its folder."""
    if not name or name in (".", "..") or any(c in name for c in ("/", "\\", "\0")):
        raise UserError(f"{where}: '{name}' is no plain file name; give the name without a folder")
    return name


def read_mat(path: str, fields: Sequence[str], dataset: str) -> np.ndarray:
    """The first of `fields` that the .mat file holds."""
    from scipy.io import loadmat  # takes a quarter of a second, and few data sets need it

    check_file(path, dataset)
    try:
        content = loadmat(path, variable_names=list(fields))
    except Exception as e:  # scipy raises nearly anything on a damaged file
        raise unreadable_mat(path, e) from e
    for field in fields:
        if field in content:
            return content[field]
    names = " or ".join(f"'{field}'" for field in fields)
    raise UserError(f"{path}: no field {names}; restore the file from the dataset's archive")


def unreadable_mat(path: str, e: Exception) -> UserError:
    reason = str(e).splitlines()[0] if str(e) else type(e).__name__
    return UserError(
        f"{path}: not a readable .mat file ({reason}); restore it from the dataset's archive"
    )


def unwrap(value: Any) -> Any:
    """What lies in a .mat cell, however many cells of one element it is packed in."""
    while isinstance(value, np.ndarray) and value.size == 1:
        value = value.flat[0]
    return value


def image_size(path: str, where: str) -> tuple[int, int]:
    """
    Width and height in pixels of the picture as :mod:`.images` reads it, from the file's header.

    Args:
        where: file and field that name the image, for the error
    """
    try:
        return read_size(path)
    except ImageError as e:
        if e.is_missing:
            raise EntryFault(
                f"{where}: image '{path}' not found; add the file, or take its entry out",
                "pictures.missing", "pictures that are not there",
            ) from e  # fmt: skip
        raise EntryFault(
            f"{where}: image '{path}' is unreadable ({e.reason}); {e.fix}, or take its entry out",
            "pictures.unreadable", "pictures that can't be read",
        ) from e  # fmt: skip


def dataset_dict(path: str, image_id: str, size: tuple[int, int], **others: Any) -> dict[str, Any]:
    """A dataset dict without annotations; size is width and height."""
    width, height = size
    named = {"file_name": path, "image_id": image_id, "height": height, "width": width}
    return {**named, **others, "annotations": []}


def person(box: list[float], person_id: int) -> dict[str, Any]:
    """An annotation in Detectron2's format; box is x0, y0, x1, y1."""
    return {
        "bbox": box,
        "bbox_mode": BoxMode.XYXY_ABS,
        "category_id": 0,
        "person_id": person_id,
    }


def clip_box(box: Sequence[float], width: int, height: int, where: str) -> list[float]:
    """
    Args:
        box: x0, y0, x1, y1 in pixels
        where: file and field of the box, for the error

    Returns:
        the box clipped to [0, width] x [0, height]

    Raises:
        UserError: the box has no size, lies outside the image, or is not finite
    """
    x0, y0, x1, y1 = (float(v) for v in box)
    clipped = [max(x0, 0.0), max(y0, 0.0), min(x1, float(width)), min(y1, float(height))]
    if not all(map(math.isfinite, (x0, y0, x1, y1))) or x1 <= x0 or y1 <= y0:
        fault, kind, what = "has no size", "boxes.empty", "boxes of no size"
    elif clipped[2] <= clipped[0] or clipped[3] <= clipped[1]:
        fault = f"lies outside its image of {width} x {height} pixels"
        kind, what = "boxes.outside", "boxes outside their picture"
    else:
        return clipped
    corners = ", ".join(f"{v:g}" for v in (x0, y0, x1, y1))
    raise EntryFault(
        f"{where}: the box from corner to corner ({corners}) {fault}; correct it, or take it out",
        kind, what,
    )  # fmt: skip


def clip_xywh(
    xywh: Sequence[float], d: dict[str, Any], where: str, oddities: "Oddities"
) -> list[float]:
    """The corners of a box x, y, w, h as :func:`clip_box` clips them to frame `d`; counted."""
    x, y, w, h = (float(v) for v in xywh)
    box = [x, y, x + w, y + h]
    clipped = clip_box(box, d["width"], d["height"], where)
    if clipped != box:
        oddities.add("boxes clipped to their frame", where)
    return clipped


def repeated_ids(annotations: list[dict[str, Any]]) -> list[int]:
    """The labelled person ids that stand more than once in a frame."""
    times = Counter(a["person_id"] for a in annotations if a["person_id"] >= 0)
    return sorted(person_id for person_id, n in times.items() if n > 1)


def relabel_person_ids(dicts: list[dict[str, Any]]) -> None:
    """Makes labelled ids contiguous from 0, in the order of the original ids; -1 stays."""
    annotations = [a for d in dicts for a in d["annotations"]]
    ids = sorted({a["person_id"] for a in annotations if a["person_id"] >= 0})
    new_id = {person_id: i for i, person_id in enumerate(ids)}
    for a in annotations:
        a["person_id"] = new_id.get(a["person_id"], -1)


def count_person_ids(dicts: list[dict[str, Any]]) -> int:
    """The number of different labelled persons in dataset dicts."""
    return len(_person_ids(dicts))


def has_contiguous_ids(dicts: list[dict[str, Any]]) -> bool:
    """Whether the labelled persons are numbered from 0 without a gap, as training needs them."""
    ids = _person_ids(dicts)
    return ids == set(range(len(ids)))


def _person_ids(dicts: list[dict[str, Any]]) -> set[int]:
    return {a["person_id"] for d in dicts for a in d.get("annotations", [])} - {-1}


class Oddities:
    """What a loader met and went on with: counted by kind, with the first place of each."""

    def __init__(self) -> None:
        self.count: Counter = Counter()
        self.first: dict[str, str] = {}

    def add(self, what: str, where: str) -> None:
        self.count[what] += 1
        self.first.setdefault(what, where)


def log_summary(dataset: str, dicts: list[dict[str, Any]], oddities: Oddities) -> None:
    """One line of counts, and one warning per kind of oddity."""
    boxes = [a["person_id"] for d in dicts for a in d["annotations"]]
    logger.info(
        "%s: %d frames, %d boxes (%d unlabelled), %d ids",
        dataset, len(dicts), len(boxes), boxes.count(-1), count_person_ids(dicts),
    )  # fmt: skip
    for what, n in oddities.count.items():
        logger.warning("%s: %d %s; first: %s", dataset, n, what, oddities.first[what])
