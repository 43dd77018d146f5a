"""Pairs of persons that may be one, kept up to date as persons change."""

from collections.abc import Iterable
from itertools import combinations

import numpy as np

from .features import UnitFeatures
from .identities import Identities
from .links import Link

# Pairs that are kept of a person, by similarity.
NEIGHBORS = 30
# Rows of features that are multiplied at once.
CHUNK = 4096
# Persons that are compared with all at once.
ROOTS_AT_ONCE = 256


def distinct_pairs(pairs: np.ndarray) -> np.ndarray:
    """(R, 2) each pair once, the smaller number first."""
    pairs = np.sort(pairs, axis=1).astype(np.int64)
    limit = int(pairs.max(initial=0)) + 1
    keys = np.sort(pairs[:, 0] * limit + pairs[:, 1])
    keys = keys[np.diff(keys, prepend=-1) > 0]
    return np.stack(np.divmod(keys, limit), axis=1)


class Candidates:
    """Persons in slots, and pairs of slots in rows.

    The similarity of two persons is the mean over all pairs of a unit of one and a unit of the
    other, which is the product of their sums.
    """

    def __init__(self, features: UnitFeatures, pairs: np.ndarray):
        """
        Args:
            pairs: (R, 2) int64 tracklets that are similar, each pair once.
        """
        self._features = features
        self._pairs: np.ndarray | None = pairs
        self.members: dict[int, tuple[int, ...]] = {}  # root -> units
        self.slots: dict[int, int] = {}  # root -> slot
        self.roots: list[int | None] = []  # slot -> root, None: empty
        self.sums = np.zeros((0, features.dim), dtype=np.float32)
        self.cameras = np.zeros((0, len(features.cameras)), dtype=np.float32)
        self.sizes = np.zeros(0, dtype=np.float32)
        self.rows = np.zeros((0, 2), dtype=np.int32)
        # False: they were seen together, so they are two persons
        self.is_open = np.zeros(0, dtype=bool)
        self.similarities = np.zeros(0, dtype=np.float32)

    def update(self, identities: Identities, touched: Iterable[int] = ()) -> None:
        """Follow a change.

        Args:
            touched: units of which more may have changed than with whom they are.
        """
        groups, none = identities.groups, identities.no_persons
        now = {r: tuple(m) for r, m in groups.members.items() if r not in none}
        again = {groups.root[u] for u in touched if u in groups.root}
        gone = [r for r, m in self.members.items() if r in again or now.get(r) != m]
        added = [r for r, m in now.items() if r in again or self.members.get(r) != m]
        partners = self._remove(gone)
        self.members = now
        self._fill(added, identities)
        known = np.zeros((0, 2), dtype=np.int32)
        if self._pairs is not None:
            known, self._pairs = self._pairs_of_slots(identities), None
            added = [root for root in added if len(now[root]) > 1]
        found = self._similar(added) + self._paired(added, partners, identities)
        found = np.array(found, dtype=np.int32).reshape(-1, 2)
        self._add_rows(np.concatenate([known, found]), identities)

    def _remove(self, gone: list[int]) -> dict[int, set[int]]:
        """Take out persons; by unit of theirs, a unit of each one that it was paired with."""
        partners: dict[int, set[int]] = {}
        is_out = np.zeros(len(self.roots), dtype=bool)
        is_out[[self.slots[root] for root in gone]] = True
        touching = is_out[self.rows].any(axis=1)
        for a, b in self.rows[touching].tolist():
            for one, other in ((a, b), (b, a)):
                if is_out[one]:
                    unit = self.members[self.roots[other]][0]
                    partners.setdefault(self.members[self.roots[one]][0], set()).add(unit)
        for name in ("rows", "similarities", "is_open"):
            setattr(self, name, getattr(self, name)[~touching])
        for root in gone:
            slot = self.slots.pop(root)
            self.roots[slot] = None
            self.sums[slot] = self.cameras[slot] = self.sizes[slot] = 0
            others = partners.get(self.members[root][0], set())
            partners.update((unit, others) for unit in self.members[root])
        return partners

    def _fill(self, added: list[int], identities: Identities) -> None:
        """Give persons their slots."""
        if not added:
            return
        free = [slot for slot, root in enumerate(self.roots) if root is None]
        self._grow(len(added) - len(free))
        free = [slot for slot, root in enumerate(self.roots) if root is None][: len(added)]
        units = [identities.units.by_id[u] for root in added for u in self.members[root]]
        sizes = [len(self.members[root]) for root in added]
        starts = np.cumsum([0, *sizes[:-1]])
        cameras = np.eye(len(self._features.cameras), dtype=np.float32)
        of_units = cameras[[self._features.camera_of[u.tracklet.tracklet_id] for u in units]]
        self.sums[free] = np.add.reduceat(self._features.of_units(units), starts)
        self.cameras[free] = np.add.reduceat(of_units, starts)
        self.sizes[free] = sizes
        for root, slot in zip(added, free):
            self.slots[root], self.roots[slot] = slot, root

    def _grow(self, count: int) -> None:
        if count <= 0:
            return
        # some more, since slots are empty after most changes but not after all
        count += len(self.roots) // 100
        self.roots += [None] * count
        self.sizes = np.concatenate([self.sizes, np.zeros(count, np.float32)])
        for name in ("sums", "cameras"):
            old = getattr(self, name)
            more = np.zeros((count, old.shape[1]), np.float32)
            setattr(self, name, np.concatenate([old, more]))

    def _pairs_of_slots(self, identities: Identities) -> np.ndarray:
        """(R, 2) slots of the pairs of tracklets, with all parts of those that were split."""
        parts, root = identities.units.parts, identities.groups.root
        slot_of = np.full(int(self._pairs.max(initial=0)) + 1, -1, dtype=np.int32)
        for tracklet in np.flatnonzero(np.bincount(self._pairs.ravel())).tolist():
            slot_of[tracklet] = self.slots.get(root.get(tracklet), -1)
        found = [slot_of[self._pairs]]
        is_split = np.isin(self._pairs, list(parts)).any(axis=1)
        for a, b in self._pairs[is_split].tolist():
            slots = [[self.slots.get(root[u], -1) for u in parts.get(t, [t])] for t in (a, b)]
            found.append(np.array([(i, j) for i in slots[0] for j in slots[1]], dtype=np.int32))
        # the parts of one tracklet too: who was there before somebody else may be there after
        for units in parts.values():
            slots = [self.slots.get(root[unit], -1) for unit in units]
            found.append(np.array(list(combinations(slots, 2)), dtype=np.int32).reshape(-1, 2))
        rows = np.concatenate(found)
        return rows[(rows >= 0).all(axis=1)]

    def _similar(self, added: list[int]) -> list[tuple[int, int]]:
        """Slots of each person and of the most similar ones."""
        pairs: list[tuple[int, int]] = []
        for start in range(0, len(added), ROOTS_AT_ONCE):
            slots = np.array([self.slots[root] for root in added[start : start + ROOTS_AT_ONCE]])
            scores = self.sums[slots] @ self.sums.T / np.maximum(self.sizes, 1)
            scores[:, self.sizes == 0] = -np.inf
            scores[np.arange(len(slots)), slots] = -np.inf
            count = min(NEIGHBORS, scores.shape[1])
            best = np.argpartition(-scores, count - 1, axis=1)[:, :count]
            rows, places = np.nonzero(np.take_along_axis(scores, best, axis=1) > -np.inf)
            pairs += zip(slots[rows].tolist(), best[rows, places].tolist())
        return pairs

    def _paired(
        self, added: list[int], partners: dict[int, set[int]], identities: Identities
    ) -> list[tuple[int, int]]:
        """Slots of each person and of those that its units were paired with before."""
        root_of, pairs = identities.groups.root, []
        for root in added:
            units = {u for unit in self.members[root] for u in partners.get(unit, ())}
            roots = {root_of[u] for u in units if u in root_of}
            pairs += [(self.slots[root], self.slots[r]) for r in roots if r in self.slots]
        return pairs

    def _add_rows(self, rows: np.ndarray, identities: Identities) -> None:
        """Add the pairs that may be asked, each once."""
        rows = distinct_pairs(rows[rows[:, 0] != rows[:, 1]]).astype(np.int32)
        nothing: dict[int, Link] = {}
        links = [identities.groups.links.get(root, nothing) for root in self.roots]
        found = [links[a].get(self.roots[b]) for a, b in rows.tolist()]
        is_open = np.array([link is None for link in found], dtype=bool)
        is_told = np.array([link is not None and link.number is not None for link in found], bool)
        rows, is_open = rows[~is_told], is_open[~is_told]
        self.rows = np.concatenate([self.rows, rows])
        self.is_open = np.concatenate([self.is_open, is_open])
        self.similarities = np.concatenate([self.similarities, self._similarity(rows)])

    def _similarity(self, rows: np.ndarray) -> np.ndarray:
        means = self.sums / np.maximum(self.sizes, 1)[:, None]
        found = [
            np.einsum("nd,nd->n", means[some[:, 0]], means[some[:, 1]])
            for some in np.split(rows, range(CHUNK, len(rows), CHUNK))
        ]
        return np.concatenate(found).astype(np.float32)
