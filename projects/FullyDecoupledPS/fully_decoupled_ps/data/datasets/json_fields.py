"""Reading the fields of a JSON dataset's entries; a fault names the entry and the field."""

import json
import os
import re
from pathlib import Path
from typing import Any

from ...errors import UserError
from .checks import EntryFault, Oddities, clip_box

# Drawing tools round; a box that leaves its image by more than this is a mistake.
PIXELS_OVER_THE_BORDER = 1.0
CLIPPED = f"boxes at most {PIXELS_OVER_THE_BORDER:g} pixel over the border clipped to their image"
CUT = "boxes over the border cut at their image's"
LARGEST_ID = 2**63 - 1
# From here on not every whole number is a float: the digits of an id are lost before it is read.
FLOATS_ARE_WHOLE = 2**53
WHOLE_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,29})")


def read_json(path: str | os.PathLike) -> Any:
    """What a file holds in UTF-8, -16 or -32, by its mark; UserError if it can't be read."""
    try:
        return json.loads(Path(path).read_bytes())
    except (ValueError, OSError, RecursionError) as e:  # RecursionError: lists in lists in lists
        raise UserError(f"{path}: not readable as JSON ({e}); correct the file") from e


def get(entry: Any, field: str, kind: Any, where: str) -> Any:
    """A field that must be there and of this kind (a type or several; true and false are none).

    Where an int is asked for, 7.0 is 7: so tables with an empty cell are written.
    """
    if not isinstance(entry, dict) or field not in entry:
        raise UserError(f"{where}: no '{field}'; add it (datasets/README.md has the format)")
    value = entry[field]
    kinds = kind if isinstance(kind, tuple) else (kind,)
    if int in kinds and float not in kinds:
        value = _whole(value)
    if not isinstance(value, kinds) or isinstance(value, bool):
        names = " or ".join(k.__name__ for k in kinds)
        raise UserError(f"{where}, {field}: {value!r} is not of type {names}; correct it")
    return value


def flag(entry: dict, field: str, where: str) -> bool:
    """A field that may be absent, and is true or false."""
    value = entry.get(field, False)
    if not isinstance(value, bool):
        raise UserError(f"{where}, {field}: {value!r} is neither true nor false; correct it")
    return value


def attributes(annotation: dict) -> dict[str, Any]:
    """What an annotation tool exports of its own beside COCO's fields; empty if nothing."""
    found = annotation.get("attributes")
    return found if isinstance(found, dict) else {}


def is_ignored(annotation: dict, where: str) -> bool:
    """Whether it is a region, as COCO's iscrowd, a benchmark's ignore or an attribute says."""
    own = attributes(annotation)
    marks = {
        "iscrowd": annotation.get("iscrowd"),
        "ignore": annotation.get("ignore"),
        "attributes.is_crowd": own.get("is_crowd"),
        "attributes.ignored": own.get("ignored"),
    }
    for field, value in marks.items():
        if value not in (None, 0, 1):
            raise UserError(f"{where}, {field}: {value!r} is neither 0 nor 1; correct it")
    return any(marks.values())


def person_id(value: Any, where: str, *, text: bool = False) -> int:
    """
    Args:
        value: as in the file; None is -1.
        where: entry and field.
        text: whether "7" is 7 and "" is nobody, as annotation tools write an attribute.

    Raises:
        UserError: it is no whole number from -1 to 2^63 - 1.
    """
    if text and isinstance(value, str):
        value = int(value) if WHOLE_NUMBER.fullmatch(value.strip()) else value.strip() or None
    value = _whole(value)
    if value is None:
        return -1
    if isinstance(value, bool) or not isinstance(value, int):
        raise UserError(f"{where}: {value!r} is not of type int; correct it")
    if value < -1:
        raise EntryFault(
            f"{where}: {value}; give 0 or more, or -1 (unlabelled)",
            "ids.below", "person ids below -1 (set -1 for unlabelled)",
        )  # fmt: skip
    if value > LARGEST_ID:
        raise UserError(f"{where}: {value} is over {LARGEST_ID}; give a smaller id")
    return value


def box(entry: dict, d: dict, where: str, oddities: Oddities, clip: bool) -> list[float]:
    """`bbox` is x, y, w, h as in COCO; returns x0, y0, x1, y1 inside frame `d`.

    Args:
        clip: whether a box may leave its image by more than a rounding.
    """
    xywh = get(entry, "bbox", list, where)
    where = f"{where}, bbox"
    if len(xywh) != 4 or not all(
        isinstance(v, (int, float)) and not isinstance(v, bool) for v in xywh
    ):
        raise UserError(f"{where}: {xywh}; it must be four numbers, x, y, width, height")
    try:
        x, y, w, h = (float(v) for v in xywh)
    except OverflowError:
        raise UserError(f"{where}: a number in it is too large; correct it") from None
    corners = [x, y, x + w, y + h]
    clipped = clip_box(corners, d["width"], d["height"], where)
    if clipped != corners:
        over = max(abs(a - b) for a, b in zip(corners, clipped))
        if over > PIXELS_OVER_THE_BORDER and not clip:
            raise EntryFault(
                f"{where}: {xywh} leaves its image of {d['width']} x {d['height']} pixels "
                f"by {over:g}; cut it at the border",
                "boxes.over_border",
                'boxes that reach out of their picture (cut them, or set "clip_boxes": true '
                "beside the lists)",
            )
        oddities.add(CUT if over > PIXELS_OVER_THE_BORDER else CLIPPED, where)
    return clipped


def _whole(value: Any) -> Any:
    is_whole = isinstance(value, float) and value.is_integer() and abs(value) < FLOATS_ARE_WHOLE
    return int(value) if is_whole else value
