"""Groups of units that are one person, and which groups are not."""

from collections.abc import Iterable
from typing import NamedTuple

from .links import Link

# Persons of later parts of split tracklets alone are numbered from here on.
PERSONS_OF_PARTS = 1_000_000_000


class Group(NamedTuple):
    """The units of one person, by tracklet id, later parts of split ones last."""

    # its smallest tracklet id; of later parts alone, a billion plus the first one's decision
    person_id: int
    units: tuple[int, ...]


def person_of(units: Iterable[int]) -> int:
    return min(unit if unit > 0 else PERSONS_OF_PARTS - unit for unit in units)


class Groups:
    """Sameness is transitive; difference holds between whole groups."""

    def __init__(self, units: Iterable[int], links: dict[int, dict[int, Link]]):
        """
        Args:
            links: of units that are different, both ways; changed here.
        """
        self.root = {unit: unit for unit in units}
        self.members = {unit: [unit] for unit in self.root}
        self.links = links
        self.unsure: dict[int, set[int]] = {}
        self._joined: dict[int, list[tuple[int, int]]] = {}  # unit -> (unit, decision)

    def copy(self) -> "Groups":
        made = Groups((), {unit: dict(others) for unit, others in self.links.items()})
        made.root = dict(self.root)
        made.members = {root: list(units) for root, units in self.members.items()}
        made.unsure = {root: set(others) for root, others in self.unsure.items()}
        made._joined = {unit: list(pairs) for unit, pairs in self._joined.items()}
        return made

    def link(self, a: int, b: int) -> Link | None:
        """Why the groups of two units are different; None: they need not be."""
        return self.links.get(self.root[a], {}).get(self.root[b])

    def is_same(self, a: int, b: int) -> bool:
        return self.root[a] == self.root[b]

    def is_unsure(self, a: int, b: int) -> bool:
        return self.root[b] in self.unsure.get(self.root[a], ())

    def join(self, a: int, b: int, number: int) -> None:
        """Make one group of two that are not different."""
        self._joined.setdefault(a, []).append((b, number))
        self._joined.setdefault(b, []).append((a, number))
        kept, gone = self.root[a], self.root[b]
        if kept == gone:
            return
        if len(self.members[kept]) + len(self.links.get(kept, ())) < len(self.members[gone]) + len(
            self.links.get(gone, ())
        ):
            kept, gone = gone, kept
        for root in (kept, gone):
            self._forget_unsure(root)
        for unit in self.members[gone]:
            self.root[unit] = kept
        self.members[kept] += self.members.pop(gone)
        # both ways alike; most of the time of a replay is spent here
        own = self.links.setdefault(kept, {})
        for other, link in self.links.pop(gone, {}).items():
            theirs = self.links[other]
            del theirs[gone]
            if kept not in theirs:
                theirs[kept] = own[other] = link

    def separate(self, link: Link) -> None:
        """Make two groups different that are not one."""
        a, b = self.root[link.a], self.root[link.b]
        self.links.setdefault(a, {}).setdefault(b, link)
        self.links.setdefault(b, {}).setdefault(a, link)

    def set_unsure(self, a: int, b: int) -> None:
        """Until one of the two groups grows."""
        if self.is_same(a, b):
            return
        self.unsure.setdefault(self.root[a], set()).add(self.root[b])
        self.unsure.setdefault(self.root[b], set()).add(self.root[a])

    def _forget_unsure(self, root: int) -> None:
        for other in self.unsure.pop(root, ()):
            self.unsure[other].discard(root)

    def path(self, a: int, b: int) -> list[int]:
        """Numbers of decisions that make two units one person, as few as possible."""
        before: dict[int, tuple[int, int]] = {a: (a, 0)}
        queue = [a]
        for unit in queue:
            for other, number in self._joined.get(unit, ()):
                if other not in before:
                    before[other] = (unit, number)
                    queue.append(other)
        numbers = []
        while b != a:
            b, number = before[b]
            numbers.append(number)
        return sorted(set(numbers))
