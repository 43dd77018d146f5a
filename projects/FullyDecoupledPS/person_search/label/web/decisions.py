"""Decisions as the page sends them, and as it tells them."""

import json
import re
from typing import Any, NamedTuple

from ...errors import UserError
from ..labelling import Labelling
from ..records import (
    ADD_BOX,
    DETACH,
    DIFFERENT,
    MOVE_BOX,
    NOT_PERSON,
    REMOVE_BOX,
    SAME,
    SPLIT,
    UNDO,
    UNSURE,
    Decision,
)

# Made at random by the browser, another one for each decision.
TOKEN = re.compile(r"[0-9a-f]{32}")
LARGEST = 2**53 - 1  # of the whole numbers that a browser keeps exactly
# What is said of a decision; the names of its units are filled in.
WORDS = {
    SAME: "{a} and {b}: one person",
    DIFFERENT: "{a} and {b}: two persons",
    UNSURE: "{a} and {b}: nobody can tell",
    NOT_PERSON: "{unit}: no person, or several at once",
    SPLIT: "{unit}: somebody else from view {view} on",
    DETACH: "{unit}: taken out of the person it was with",
    MOVE_BOX: "a box moved",
    REMOVE_BOX: "a box removed, as nobody is there",
    ADD_BOX: "a box drawn around {unit}",
    UNDO: "decision {number} undone{what}",
}


class Request(NamedTuple):
    """A decision that the page asks for, and what the page showed to whoever made it."""

    token: str
    kind: str
    payload: dict[str, Any]
    project: str  # its key
    shown: list[list[int]] = []  # each a unit, its first and its last view


def parse_request(body: bytes) -> Request:
    """The decision of a request's body, JSON with the fields of :class:`Request`.

    Raises:
        UserError: if it is none; :class:`Labelling` checks what the payload holds.
    """
    try:
        request = Request(**json.loads(body, parse_int=_small))
        if not TOKEN.fullmatch(request.token) or request.kind not in WORDS:
            raise ValueError
        if not isinstance(request.payload, dict) or not _is_shown(request.shown):
            raise ValueError
    except (ValueError, TypeError, RecursionError) as error:
        raise UserError("this is no decision of this page; reload the page") from error
    return request


def _is_shown(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(row, list) and len(row) == 3 and all(type(n) is int for n in row)
        for row in value
    )


def _small(digits: str) -> int:
    number = int(digits)
    if abs(number) > LARGEST:
        raise ValueError(digits)
    return number


def decide(labelling: Labelling, project: str, request: Request) -> Decision:
    """Make it; it is on the disk when this returns. The same request again changes nothing.

    Undoing without a number undoes the last decision that holds.

    Args:
        project: key of the one that is served.

    Raises:
        UserError: if it is not possible, or the page was of another project, or showed units as
            they are no more: a tab that was left open shows what it was loaded with.
    """
    if request.project != project:
        raise UserError(
            "not saved: this page is of another project than the one that is served now; reload it"
        )
    token, kind, payload, _, shown = request
    if kind == UNDO and payload == {"number": None}:
        return labelling.undo(token)
    return labelling.decide(token, kind, payload, shown=shown)


def describe(labelling: Labelling, decision: Decision) -> str:
    """In words, such as "tracklet 3 and tracklet 8: one person"."""
    units = {
        key: _name(labelling, value)
        for key, value in decision.payload.items()
        if key in ("a", "b", "unit")
    }
    if decision.kind == UNDO:
        units["what"] = _undone(labelling, decision.payload["number"])
    return WORDS[decision.kind].format(**{**decision.payload, **units})


def _undone(labelling: Labelling, number: int) -> str:
    """What a decision said, behind ": "; nothing of one that was forgotten."""
    made = labelling.decision(number)
    return "" if made is None else f": {describe(labelling, made)}"


def _name(labelling: Labelling, unit: int | None) -> str:
    if unit is None:
        return "somebody"
    try:
        return labelling.unit(unit).name
    except UserError:  # its split was undone, or it was forgotten
        return f"tracklet {unit}, which is not there any more," if unit > 0 else f"part {-unit}"
