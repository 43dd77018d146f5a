"""Decisions as the page sends them, and as it tells them."""

import json
import math
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from ...errors import UserError
from ...media.times import format_time
from ..labelling import Labelling
from ..records import (
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

# Chosen at random in the browser, so that no two decisions have the same.
TOKEN = re.compile(r"[0-9a-f]{32}")
LARGEST = 2**53 - 1  # of the whole numbers that a browser keeps exactly


class Request(NamedTuple):
    """A decision that the page asks for."""

    token: str
    kind: str
    payload: dict[str, Any]


def _is_number(value) -> bool:
    return type(value) is int and abs(value) <= LARGEST  # True is an int too


def _is_box(value) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 4
        and all(type(v) in (int, float) and math.isfinite(v) for v in value)
    )


def _is_number_or_none(value) -> bool:
    return value is None or _is_number(value)


# Of each kind the fields, and what they may be.
FIELDS: dict[str, dict[str, Callable[[Any], bool]]] = {
    **dict.fromkeys((SAME, DIFFERENT, UNSURE), {"a": _is_number, "b": _is_number}),
    NOT_PERSON: {"unit": _is_number},
    SPLIT: {"unit": _is_number, "view": _is_number},
    DETACH: {
        "unit": _is_number,
        "rest": lambda value: isinstance(value, list) and all(map(_is_number, value)),
    },
    MOVE_BOX: {"box_id": _is_number, "box": _is_box},
    REMOVE_BOX: {"box_id": _is_number},
    ADD_BOX: {"frame_id": _is_number, "box": _is_box, "unit": _is_number_or_none},
    UNDO: {"number": _is_number_or_none},  # None: the last decision that holds
}
assert set(FIELDS) == set(KINDS)


def parse_request(body: bytes) -> Request:
    """The decision of a request's body, JSON with ``token``, ``kind`` and ``payload``.

    Raises:
        UserError: if it is none; whether the project allows it is said by :class:`Labelling`.
    """
    try:
        request = Request(**json.loads(body))
        fields = FIELDS[request.kind]
        if not TOKEN.fullmatch(request.token) or set(request.payload) != set(fields):
            raise ValueError
        if not all(is_valid(request.payload[name]) for name, is_valid in fields.items()):
            raise ValueError
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise UserError("this is no decision of this page; reload the page") from error
    return request


def decide(labelling: Labelling, request: Request) -> Decision:
    """Make it; it is on the disk when this returns. The same request again changes nothing."""
    token, kind, payload = request
    if kind == UNDO:
        return labelling.undo(token, payload["number"])
    return labelling.decide(token, kind, payload)


def describe(labelling: Labelling, decision: Decision) -> str:
    """In words, such as "tracklets 3 and 8: one person"."""
    payload = decision.payload

    def named(field: str) -> str:
        return describe_unit(labelling, payload[field])

    match decision.kind:
        case "same":
            return f"{named('a')} and {named('b')}: one person"
        case "different":
            return f"{named('a')} and {named('b')}: two persons"
        case "unsure":
            return f"{named('a')} and {named('b')}: nobody can tell"
        case "not_person":
            return f"{named('unit')}: no person, or several at once"
        case "split":
            return f"{named('unit')}: somebody else from picture {payload['view'] + 1} on"
        case "detach":
            return f"{named('unit')}: taken out of the person it was"
        case "move_box":
            return "a box moved"
        case "remove_box":
            return "a box removed: there is no person"
        case "add_box":
            who = "somebody" if payload["unit"] is None else named("unit")
            return f"a box drawn: {who}"
        case "undo":
            return f"decision {payload['number']} undone"
    raise ValueError(decision.kind)


def describe_unit(labelling: Labelling, unit: int) -> str:
    """Which tracklet, and which part of it."""
    if unit > 0:
        return f"tracklet {unit}"
    try:
        found = labelling.unit(unit)
    except UserError:  # its split was undone
        return f"the part of split {-unit}"
    return f"tracklet {found.tracklet.tracklet_id} from {format_time(found.start)} on"
