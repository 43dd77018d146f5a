"""What a decision says: checked before it is written."""

import math
from typing import Any

from ..errors import UserError
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
)


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
