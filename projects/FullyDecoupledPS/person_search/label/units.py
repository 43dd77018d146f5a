"""Units: tracklets, and the parts of those that were split. Decisions are about units."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from ..errors import UserError
from .records import SPLIT, UNDO, Decision, Tracklet


class Unit(NamedTuple):
    """A tracklet, or one of the parts of it.

    The earliest part keeps the id of the tracklet; the part that decision d split off is -d.
    Boxes between the last view of a part and the first view of the next one belong to neither:
    nobody looked at them.
    """

    unit: int
    tracklet: Tracklet
    first_view: int
    last_view: int  # inclusive
    start: float  # seconds since the epoch, of its first box
    end: float  # of its last

    @property
    def name(self) -> str:
        """As messages call it."""
        tracklet_id = self.tracklet.tracklet_id
        if self.unit > 0:
            return f"tracklet {tracklet_id}"
        return f"tracklet {tracklet_id} from view {self.first_view} on"


class Boundary(NamedTuple):
    """Where a tracklet was split: between two units, by a decision."""

    before: int
    after: int
    number: int


def undone(decisions: Iterable[Decision]) -> set[int]:
    """Numbers of the decisions that were undone; one whose undoing was undone holds again."""
    numbers: set[int] = set()
    for decision in sorted(decisions, key=lambda d: d.number, reverse=True):
        if decision.kind == UNDO and decision.number not in numbers:
            numbers.add(decision.payload["number"])
    return numbers


def standing(decisions: Iterable[Decision]) -> list[Decision]:
    """Those that were not undone, by number, without the undoing ones."""
    decisions = sorted(decisions, key=lambda d: d.number)
    gone = undone(decisions)
    return [d for d in decisions if d.number not in gone and d.kind != UNDO]


def units_of(payload: dict[str, Any]) -> Iterator[int]:
    """The units that a decision's payload names."""
    for key in ("a", "b", "unit"):
        if payload.get(key) is not None:
            yield payload[key]
    yield from payload.get("rest", ())


def is_mentioned(unit: int, decisions: Iterable[Decision]) -> bool:
    """Whether any decision names a unit, also one that does not hold."""
    return any(unit in units_of(decision.payload) for decision in decisions)


class Units:
    """All units, as the splits that stand made them."""

    def __init__(self, tracklets: Iterable[Tracklet]):
        self.by_id = {
            t.tracklet_id: Unit(t.tracklet_id, t, 0, len(t.view_times) - 1, t.start, t.end)
            for t in tracklets
        }
        # tracklet -> its units by time, of those that were split
        self.parts: dict[int, list[int]] = {}
        # unit -> number of the last decision that split it
        self.split_at: dict[int, int] = {}
        self._numbers: dict[int, int] = {}

    def get(self, unit: int) -> Unit:
        """
        Raises:
            UserError: if there is none (any more).
        """
        if unit not in self.by_id:
            raise UserError(f"there is no unit {unit} (any more); a decision may have been undone")
        return self.by_id[unit]

    def why_no_split(self, unit: int, view: int) -> str | None:
        """Why a unit can't be split before a view; None: it can."""
        if unit not in self.by_id:
            return f"there is no unit {unit} (any more)"
        whole = self.by_id[unit]
        if whole.first_view < view <= whole.last_view:
            return None
        return (
            f"{whole.name} can't be split before view {view}: its views are "
            f"{whole.first_view} to {whole.last_view}, and one has to stay before it"
        )

    def split(self, decision: Decision) -> str | None:
        """Apply a SPLIT; returns why it can't be, or None."""
        unit, view = (decision.payload[key] for key in ("unit", "view"))
        if reason := self.why_no_split(unit, view):
            return reason
        whole = self.by_id[unit]
        times = whole.tracklet.view_times
        later = -decision.number
        self.by_id[unit] = whole._replace(last_view=view - 1, end=times[view - 1])
        self.by_id[later] = whole._replace(unit=later, first_view=view, start=times[view])
        parts = self.parts.setdefault(whole.tracklet.tracklet_id, [unit])
        parts.insert(parts.index(unit) + 1, later)
        self.split_at[unit] = decision.number
        self._numbers[later] = decision.number
        return None

    def boundaries(self) -> list[Boundary]:
        return [
            Boundary(before, after, self._numbers[after])
            for parts in self.parts.values()
            for before, after in zip(parts, parts[1:])
        ]

    def of_tracklet(self, tracklet_id: int) -> list[Unit]:
        """By time; none if there is no such tracklet."""
        parts = self.parts.get(tracklet_id, [tracklet_id])
        return [self.by_id[unit] for unit in parts if unit in self.by_id]

    def at(self, tracklet_id: int, time: float) -> int | None:
        """The unit that a tracklet's box of this time belongs to; None: in the gap of a split."""
        for unit in self.of_tracklet(tracklet_id):
            if unit.start <= time <= unit.end:
                return unit.unit
        return None


def split_units(
    tracklets: Iterable[Tracklet], decisions: Iterable[Decision]
) -> tuple[Units, dict[int, str]]:
    """The units, and of the splits that can't be applied, by number, why."""
    units, refused = Units(tracklets), {}
    for decision in decisions:
        if decision.kind == SPLIT and (reason := units.split(decision)):
            refused[decision.number] = reason
    return units, refused
