"""What is left of the log of decisions when tracklets are forgotten: as the rest was decided."""

import itertools
import uuid
from collections.abc import Iterable, Sequence
from typing import Any

from .forgetting_file import ForgettingFile
from .labelling import Labelling
from .records import ADD_BOX, DETACH, DIFFERENT, SAME, SPLIT, UNDO, Decision

Pair = tuple[int, int]
BY = "forget"


def units_of_tracklets(log: Iterable[Decision], tracklets: Iterable[int]) -> set[int]:
    """All units that these tracklets ever had, also by splits that were undone."""
    units = set(tracklets)
    for decision in log:
        if decision.kind == SPLIT and decision.payload["unit"] in units:
            units.add(-decision.number)
    return units


def without(
    log: Sequence[Decision], units: set[int], box_ids: set[int]
) -> tuple[set[int], dict[int, dict[str, Any]]]:
    """
    Args:
        log: all decisions.
        units, box_ids: that are forgotten.

    Returns:
        tuple: numbers of the decisions to remove, and changed payloads by number.
    """
    removed: set[int] = set()
    changed = {}
    for decision in log:
        payload = decision.payload
        about = {payload.get(key) for key in ("a", "b", "unit")} - {None}
        is_gone = bool(about & units) or payload.get("box_id") in box_ids
        if decision.kind == UNDO:
            is_gone = payload["number"] in removed
        elif decision.kind == DETACH and not is_gone:
            rest = [unit for unit in payload["rest"] if unit not in units]
            is_gone = not rest
            if rest != payload["rest"]:
                changed[decision.number] = {**payload, "rest": rest}
        elif decision.kind == ADD_BOX and is_gone:
            box_ids = box_ids | {-decision.number}  # it is moved or removed later in the log
        if is_gone:
            removed.add(decision.number)
    return removed, {n: payload for n, payload in changed.items() if n not in removed}


class Remainder:
    """What is known of those who stay, to be said again where the log said it by way of others."""

    def __init__(self, labelling: Labelling, units: set[int]):
        """
        Args:
            units: that will be forgotten.
        """
        groups = [group.units for group in labelling.groups()]
        left = [[unit for unit in own if unit not in units] for own in groups]
        self._same = [own for own in left if own]
        # who loses a unit loses what it said of others
        losing = [own[0] for own, before in zip(left, groups) if own and len(own) < len(before)]
        self._different: list[Pair] = [
            (unit, others[0])
            for unit in losing
            for others in self._same
            if labelling.link(unit, others[0])
        ]

    def restore(self, project: ForgettingFile) -> None:
        """Add the decisions that are missing to the log, within a transaction."""
        after = Labelling(project)
        for own in self._same:
            for a, b in itertools.pairwise(own):
                if after.is_person(a) and b not in after.group_of(a).units:
                    project.add_decision(uuid.uuid4().hex, BY, SAME, {"a": a, "b": b})
        after = Labelling(project)
        for a, b in self._different:
            if after.is_person(a) and after.is_person(b) and after.link(a, b) is None:
                project.add_decision(uuid.uuid4().hex, BY, DIFFERENT, {"a": a, "b": b})
