"""Who is who, as the log of decisions says: a pure function of the log, and applied one by one."""

import copy
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from .groups import Groups
from .links import Link, links_of_parts
from .records import (
    ADD_BOX,
    DETACH,
    DIFFERENT,
    MOVE_BOX,
    NOT_PERSON,
    REMOVE_BOX,
    SAME,
    SPLIT,
    UNSURE,
    Decision,
    Simultaneous,
    Tracklet,
)
from .units import Units, split_units, standing


class Example(NamedTuple):
    """An answer, and the two persons that it was about as they were then."""

    left: tuple[int, ...]
    right: tuple[int, ...]
    is_same: bool


ABOUT_BOXES = (MOVE_BOX, REMOVE_BOX, ADD_BOX)
PAIRS = (SAME, DIFFERENT, UNSURE)


class Facts:
    """What does not depend on decisions: the tracklets, and which of them were seen together."""

    def __init__(self, tracklets: Sequence[Tracklet], simultaneous: Sequence[Simultaneous]):
        """
        Args:
            simultaneous: those that prove two persons.
        """
        self.tracklets = tracklets
        self.pairs = list(simultaneous)
        self._links: dict[int, dict[int, Link]] = defaultdict(dict)
        for a, b, first, _, is_one_camera in self.pairs:
            self._links[a][b] = self._links[b][a] = Link(a, b, None, first, is_one_camera)

    def links(self, units: Units) -> dict[int, dict[int, Link]]:
        """Of all units, both ways: those seen together, and the parts beside each other."""
        links = {unit: dict(others) for unit, others in self._links.items()}
        for tracklet in units.parts:
            for other in links.pop(tracklet, ()):
                del links[other][tracklet]
        for pair in self.pairs if units.parts else ():
            if pair.a in units.parts or pair.b in units.parts:
                for link in links_of_parts(pair, units):
                    _add(links, link)
        for boundary in units.boundaries():
            _add(links, Link(*boundary))
        return links


def _add(links: dict[int, dict[int, Link]], link: Link) -> None:
    links.setdefault(link.a, {}).setdefault(link.b, link)
    links.setdefault(link.b, {}).setdefault(link.a, link)


class Identities:
    """The state that a log of decisions leads to.

    A decision does not hold if it was undone, if what it is about is gone, if a later one made it
    void (a split or "not a person" all earlier answers about the unit; taking a unit out of a
    person its earlier "same"), or if it contradicts an earlier one; only the last is told.
    """

    def __init__(self, facts: Facts, decisions: Iterable[Decision]):
        self.facts = facts
        self.contradictions: list[str] = []
        self.holding: set[int] = set()
        self.no_persons: dict[int, int] = {}  # unit -> the decision that says so
        self.box_decisions: list[Decision] = []
        self.examples: list[Example] = []
        log = standing(decisions)
        self.units, refused = split_units(facts.tracklets, log)
        self.groups = Groups(self.units.by_id, facts.links(self.units))
        self._void, self._void_same = self._voids(log)
        for decision in log:
            if decision.kind != SPLIT:
                self.apply(decision)
            elif decision.number not in refused:
                self.holding.add(decision.number)
            elif decision.payload["unit"] in self.units.by_id:
                self._contradicts(decision, refused[decision.number])

    def copy(self) -> "Identities":
        """One of its own, for :meth:`apply`, which changes none of what they share."""
        made = copy.copy(self)
        for name in ("contradictions", "holding", "no_persons", "box_decisions", "examples"):
            setattr(made, name, copy.copy(getattr(self, name)))
        made.groups = self.groups.copy()
        return made

    def _voids(self, log: list[Decision]) -> tuple[dict[int, int], dict[int, int]]:
        """By unit: number below which no decision about it counts, and no SAME."""
        void = dict(self.units.split_at)
        void_same: dict[int, int] = {}
        for decision in log:
            if decision.kind == NOT_PERSON:
                unit = decision.payload["unit"]
                void[unit] = max(void.get(unit, 0), decision.number)
            elif decision.kind == DETACH:
                void_same[decision.payload["unit"]] = decision.number
        return void, void_same

    def apply(self, decision: Decision) -> None:
        """Apply one that stands and is the latest, of any kind but SPLIT, DETACH, NOT_PERSON.

        Those of other kinds change what earlier decisions are worth, so that all is replayed.
        """
        kind, payload, number = decision.kind, decision.payload, decision.number
        if kind in ABOUT_BOXES:
            self.box_decisions.append(decision)
            self.holding.add(number)
        elif kind in PAIRS:
            a, b = payload["a"], payload["b"]
            if self._counts(a, number, kind) and self._counts(b, number, kind):
                self._add_example(kind, a, b)
                self._settle(decision, self.why_not(kind, a, b), kind, a, b)
        elif self._counts(payload["unit"], number, kind):
            if kind == NOT_PERSON:
                self.no_persons[payload["unit"]] = number
                self.holding.add(number)
            else:
                self._detach(decision)

    def _detach(self, decision: Decision) -> None:
        unit, number = decision.payload["unit"], decision.number
        rest = [u for u in decision.payload["rest"] if self._counts(u, number, SAME)]
        for kind, pairs in (
            (SAME, zip(rest, rest[1:])),
            (DIFFERENT, [(unit, other) for other in rest]),
        ):
            for a, b in pairs:
                self._settle(decision, self.why_not(kind, a, b), kind, a, b)
        self.holding.add(number)

    def _add_example(self, kind: str, a: int, b: int) -> None:
        groups = self.groups
        if kind != UNSURE and not groups.is_same(a, b) and groups.link(a, b) is None:
            sides = (tuple(groups.members[groups.root[unit]]) for unit in (a, b))
            self.examples.append(Example(*sides, kind == SAME))

    def _settle(self, decision: Decision, reason: str | None, kind: str, a: int, b: int) -> None:
        if reason:
            self._contradicts(decision, reason)
            return
        self.holding.add(decision.number)
        if kind == SAME:
            self.groups.join(a, b, decision.number)
        elif kind == DIFFERENT:
            self.groups.separate(Link(a, b, decision.number))
        else:
            self.groups.set_unsure(a, b)

    def _counts(self, unit: int, number: int, kind: str) -> bool:
        """Whether what a decision says of this unit is neither void nor about nothing."""
        return (
            unit in self.units.by_id
            and number >= self._void.get(unit, 0)
            and not (kind == SAME and number < self._void_same.get(unit, 0))
        )

    def why_not(self, kind: str, a: int, b: int) -> str | None:
        """With what an answer about two units that exist contradicts; None: with nothing."""
        names = [self.units.by_id[unit].name for unit in (a, b)]
        for unit in (a, b):
            if unit in self.no_persons:
                return (
                    f"decision {self.no_persons[unit]} says that {self.units.by_id[unit].name} "
                    "is not one person"
                )
        if kind == SAME and (link := self.groups.link(a, b)):
            return (
                f"{link.told(self.units.by_id)}, so {names[0]} and {names[1]} can't be one person"
            )
        if kind == DIFFERENT and self.groups.is_same(a, b):
            numbers = ", ".join(map(str, self.groups.path(a, b)))
            return f"{names[0]} and {names[1]} are one person by decision {numbers}"
        return None

    def _contradicts(self, decision: Decision, reason: str) -> None:
        self.contradictions.append(
            f"decision {decision.number} ({decision.kind}) is left out: {reason}"
        )
