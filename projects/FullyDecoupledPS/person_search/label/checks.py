"""What a decision says is checked before it is written."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

from ..errors import UserError
from .identities import ABOUT_BOXES, PAIRS, Identities
from .labelled import BoxEdits
from .records import (
    ADD_BOX,
    DETACH,
    DIFFERENT,
    KINDS,
    MOVE_BOX,
    NOT_PERSON,
    REMOVE_BOX,
    SAME,
    SPLIT,
    UNDO,
    UNSURE,
    Decision,
)
from .store import ProjectFile
from .units import Units, undone


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _several(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) > 0 and all(map(_whole, value))


def _box(value: Any) -> bool:
    if not isinstance(value, list | tuple) or len(value) != 4:
        return False
    numbers = all(isinstance(v, int | float) and math.isfinite(v) for v in value)
    return numbers and value[0] < value[2] and value[1] < value[3]


WHOLE = (_whole, "a whole number")
FIELDS = {
    **{kind: {"a": WHOLE, "b": WHOLE} for kind in (SAME, DIFFERENT, UNSURE)},
    NOT_PERSON: {"unit": WHOLE},
    SPLIT: {"unit": WHOLE, "view": WHOLE},
    DETACH: {"unit": WHOLE, "rest": (_several, "a list of whole numbers")},
    MOVE_BOX: {"box_id": WHOLE, "box": (_box, "[x0, y0, x1, y1] with x0 < x1 and y0 < y1")},
    REMOVE_BOX: {"box_id": WHOLE},
    ADD_BOX: {
        "frame_id": WHOLE,
        "box": (_box, "[x0, y0, x1, y1] with x0 < x1 and y0 < y1"),
        "unit": (lambda value: value is None or _whole(value), "a whole number or null"),
    },
    UNDO: {"number": WHOLE},
}


def check_payload(kind: str, payload: dict[str, Any]) -> dict[str, Any]:
    """The payload, with just the fields that its kind has.

    Raises:
        UserError: if the kind is unknown, or a field is missing, unknown or of another type.
    """
    if kind not in FIELDS:
        raise UserError(f"{kind!r} is no kind of decision; the kinds are {', '.join(KINDS)}")
    fields = FIELDS[kind]
    if not isinstance(payload, dict) or set(payload) != set(fields):
        raise UserError(f"{kind}: {payload!r} must have the fields {', '.join(fields)}")
    for name, (is_allowed, expected) in fields.items():
        if not is_allowed(payload[name]):
            raise UserError(f"{kind}: {name} is {payload[name]!r} and must be {expected}")
    return dict(payload)


def check_shown(shown: Iterable[Sequence[int]], units: Units) -> None:
    """Whether units are still what they were when somebody looked at them.

    Args:
        shown: each a unit, and its first and last view then.

    Raises:
        UserError: if one was split or put together again since.
    """
    for number, first, last in shown:
        unit = units.get(number)
        if (first, last) != (unit.first_view, unit.last_view):
            raise UserError(
                f"{unit.name} was split, or put together again, after it was shown: then it had "
                f"views {first} to {last}, now {unit.first_view} to {unit.last_view}; reload the "
                "page, and look at it again"
            )


def check(
    kind: str,
    payload: dict[str, Any],
    project: ProjectFile,
    log: Sequence[Decision],
    identities: Identities,
    edits: BoxEdits,
) -> None:
    """Whether a well-formed decision can be made now.

    Raises:
        UserError: if what it is about is not there (any more), or it contradicts what is known.
    """
    units = identities.units
    if kind == UNDO:
        _check_undo(payload["number"], log)
    elif kind in ABOUT_BOXES:
        _check_box(kind, payload, project, identities, edits)
    elif kind in PAIRS:
        a, b = (units.get(payload[key]).unit for key in "ab")
        if a == b:
            raise UserError(f"{kind}: a and b are both {a}; a decision is about two units")
        if reason := identities.why_not(kind, a, b):
            raise UserError(f"{reason}; undo that first if it is wrong")
    else:
        unit = units.get(payload["unit"]).unit
        if kind == SPLIT and (reason := units.why_no_split(unit, payload["view"])):
            raise UserError(reason)
        if kind == DETACH:
            _check_detach(unit, payload["rest"], identities)


def _check_undo(number: int, log: Sequence[Decision]) -> None:
    known = {decision.number for decision in log}
    if number not in known - undone(log):
        said = "was undone already" if number in known else "was never made"
        raise UserError(f"decision {number} {said}; reload the list of decisions")


def _check_detach(unit: int, rest: Sequence[int], identities: Identities) -> None:
    groups = identities.groups
    others = set(groups.members[groups.root[unit]]) - {unit}
    if set(rest) != others:
        raise UserError(
            f"detach: {identities.units.get(unit).name} is together with units {sorted(others)}, "
            f"not with {sorted(rest)}; reload the person's page"
        )


def _check_box(
    kind: str,
    payload: dict[str, Any],
    project: ProjectFile,
    identities: Identities,
    edits: BoxEdits,
) -> None:
    if kind == ADD_BOX:
        frame_id = payload["frame_id"]
        _check_owner(payload["unit"], identities)
    else:
        frame_id = _frame_of_box(payload["box_id"], project, edits)
    frames = [] if frame_id is None else project.frames([frame_id])
    if not frames:
        what = f"frame {frame_id}" if kind == ADD_BOX else f"box {payload['box_id']}"
        raise UserError(f"{kind}: there is no {what} (any more); reload the frame")
    if kind != REMOVE_BOX:
        x0, y0, x1, y1 = payload["box"]
        width, height = frames[0].width, frames[0].height
        if not (0 <= x0 and 0 <= y0 and x1 <= width and y1 <= height):
            raise UserError(
                f"{kind}: box {payload['box']} is not inside the frame, 0 to {width} by 0 to "
                f"{height} pixels"
            )


def _check_owner(unit: int | None, identities: Identities) -> None:
    if unit is not None and identities.units.get(unit).unit in identities.no_persons:
        name = identities.units.get(unit).name
        number = identities.no_persons[unit]
        raise UserError(f"decision {number} says that {name} is not one person; undo that first")


def _frame_of_box(box_id: int, project: ProjectFile, edits: BoxEdits) -> int | None:
    """None: there is no such box, or it was removed."""
    if box_id in edits.removed:
        return None
    if box_id >= 0:
        return project.frame_of_box(box_id)
    added = edits.added_box(box_id)
    return added and added.payload["frame_id"]
