"""Replays of the log that start near its end where they can: a long log takes a second."""

from collections.abc import Sequence
from typing import NamedTuple

from .identities import ABOUT_BOXES, PAIRS, Facts, Identities
from .records import Decision
from .units import standing, undone

# Decisions that are applied between two copies of the state, and copies that are kept: each takes
# as much memory as the state, and the last decisions are undone most.
EVERY = 25
KEPT = 3


class _Copy(NamedTuple):
    """The state after decision ``last``, and which ones up to it were undone then."""

    last: int
    undone: frozenset[int]
    identities: Identities


class Replays:
    """Who is who after any change of the log, the same as ``Identities(facts, log)``."""

    def __init__(self, facts: Facts):
        self._facts = facts
        self._copies: list[_Copy] = []

    def replay(self, log: Sequence[Decision]) -> Identities:
        """After a change that is more than an answer at the end of the log."""
        gone, stands = undone(log), standing(log)
        self._copies = [c for c in self._copies if _up_to(c.last, gone) == c.undone]
        for copy in reversed(self._copies):
            later = [d for d in stands if d.number > copy.last]
            if all(map(_only_adds, later)):
                return _apply(copy.identities.copy(), later)
        return self._from_the_start(stands, gone)

    def _from_the_start(self, stands: list[Decision], gone: set[int]) -> Identities:
        # a copy from before the last answers, for those that are undone next
        cut = len(stands)
        while cut > max(len(stands) - EVERY, 0) and _only_adds(stands[cut - 1]):
            cut -= 1
        head, tail = stands[:cut], stands[cut:]
        identities = Identities(self._facts, head)
        if head:
            self._keep(head[-1].number, gone, identities)
        return _apply(identities, tail)

    def answered(self, identities: Identities, log: Sequence[Decision]) -> None:
        """After the last decision of the log was applied, which only adds."""
        if log[-1].number >= max((c.last for c in self._copies), default=0) + EVERY:
            self._keep(log[-1].number, undone(log), identities)

    def _keep(self, last: int, gone: set[int], identities: Identities) -> None:
        copies = [c for c in self._copies if c.last != last]
        copies.append(_Copy(last, _up_to(last, gone), identities.copy()))
        self._copies = sorted(copies, key=lambda c: c.last)[-KEPT:]


def _only_adds(decision: Decision) -> bool:
    """Whether it leaves what earlier decisions are worth."""
    return decision.kind in PAIRS or decision.kind in ABOUT_BOXES


def _up_to(last: int, gone: set[int]) -> frozenset[int]:
    return frozenset(number for number in gone if number <= last)


def _apply(identities: Identities, decisions: list[Decision]) -> Identities:
    for decision in decisions:
        identities.apply(decision)
    return identities
