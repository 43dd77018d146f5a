"""What to ask next, and how far the work is: both from the probability that persons are one."""

from collections.abc import Iterable

import numpy as np

from . import calibration
from .candidates import NEIGHBORS, Candidates
from .features import UnitFeatures
from .identities import Example, Facts, Identities
from .store import ProjectFile

# Answers to learn from: the last ones, as they are like the next ones.
MAX_EXAMPLES = 2000
# Free examples of each kind, and how much all of a kind count: as much as so many answers.
MAX_FREE = 500
FREE_COUNT = 8.0


class Asking:
    """The pairs of persons that may be one, and the probability of each."""

    def __init__(self, project: ProjectFile, facts: Facts):
        self._features = UnitFeatures(project, facts.tracklets)
        self._candidates = Candidates(self._features, _similar_pairs(project))
        self._free = self._free_examples(facts)
        self._columns: dict[Example, np.ndarray] = {}
        self._holding: set[int] = set()
        self._weights: np.ndarray | None = None

    def update(self, identities: Identities, payloads: dict[int, dict]) -> None:
        """Follow a change.

        Args:
            payloads: of all decisions, by number.
        """
        changed = self._holding ^ identities.holding
        self._holding = set(identities.holding)
        touched = {u for number in changed for u in _units_of(payloads[number])}
        self._identities = identities
        self._learn(identities.examples[-MAX_EXAMPLES:])
        self._candidates.update(identities, touched)
        self._probabilities = self._of_rows()

    # learning

    def _free_examples(self, facts: Facts) -> tuple[np.ndarray, np.ndarray]:
        """Columns of pairs of single units that are one person, and of pairs that are two."""
        rng = np.random.default_rng(0)
        several = [t for t in facts.tracklets if len(t.view_times) > 1]
        some = [several[i] for i in rng.permutation(len(several))[:MAX_FREE]]
        before, after = self._features.halves(some)
        pairs = [facts.pairs[i] for i in rng.permutation(len(facts.pairs))[:MAX_FREE]]
        a, b = (self._features.of_tracklets([pair[side] for pair in pairs]) for side in (0, 1))
        is_one = np.array([float(pair.is_one_camera) for pair in pairs])
        return (
            _columns_of_units(np.einsum("nd,nd->n", before, after), np.ones(len(some))),
            _columns_of_units(np.einsum("nd,nd->n", a, b), is_one),
        )

    def _learn(self, examples: list[Example]) -> None:
        new = [example for example in examples if example not in self._columns]
        if new:
            self._columns.update(zip(new, self._columns_of(new)))
        same, different = self._free
        parts = [same, different, *(self._columns[example][None] for example in examples)]
        answers = [np.ones(len(same)), np.zeros(len(different))]
        answers.append(np.array([example.is_same for example in examples], dtype=float))
        counts = [np.full(len(free), FREE_COUNT / max(len(free), 1)) for free in self._free]
        counts.append(np.ones(len(examples)))
        self._weights = calibration.fit(
            np.concatenate(parts), np.concatenate(answers), np.concatenate(counts), self._weights
        )

    def _columns_of(self, examples: list[Example]) -> np.ndarray:
        """(N, F) of pairs of persons as they were when they were answered."""
        by_id = self._identities.units.by_id
        sums, cameras, sizes = [], [], []
        for side in ("left", "right"):
            members = [[by_id[u] for u in getattr(e, side) if u in by_id] for e in examples]
            counts = np.array([len(units) for units in members])
            starts = np.cumsum([0, *counts[:-1]])
            flat = [unit for units in members for unit in units]
            numbers = [self._features.camera_of[u.tracklet.tracklet_id] for u in flat]
            sums.append(np.add.reduceat(self._features.of_units(flat), starts))
            cameras.append(np.add.reduceat(np.eye(len(self._features.cameras))[numbers], starts))
            sizes.append(counts.astype(float))
        product = sizes[0] * sizes[1]
        return calibration.design(
            np.einsum("nd,nd->n", *sums) / product,
            _growth(*sizes),
            np.einsum("nd,nd->n", *cameras) / product,
        )

    def _of_rows(self) -> np.ndarray:
        """(R,) probability of each pair."""
        found = self._candidates
        a, b = found.rows.T
        sizes = found.sizes[a], found.sizes[b]
        one_camera = np.einsum("nd,nd->n", found.cameras[a], found.cameras[b])
        columns = calibration.design(
            found.similarities, _growth(*sizes), one_camera / (sizes[0] * sizes[1])
        )
        return calibration.probability(columns, self._weights)

    # asking

    def best(self) -> tuple | None:
        """The question from which most pairs are to be expected, as the fields of a Question."""
        found, groups = self._candidates, self._identities.groups
        pairs = found.sizes[found.rows].prod(axis=1)
        gains = self._probabilities * pairs
        while len(gains) and gains.max() > 0:
            row = int(np.argmax(gains))
            a, b = (found.roots[slot] for slot in found.rows[row])
            if not groups.is_unsure(a, b):
                left, right = self._ordered(found.members[a], found.members[b])
                return left[0], right[0], left, right, float(self._probabilities[row])
            gains[row] = 0
        return None

    def _ordered(self, *sides: tuple[int, ...]) -> list[tuple[int, ...]]:
        """The units of two persons, of each those first that are most like the other."""
        by_id = self._identities.units.by_id
        a, b = (self._features.of_units([by_id[u] for u in side]) for side in sides)
        similar = a @ b.T
        ordered = []
        for side, best in zip(sides, (similar.max(axis=1), similar.max(axis=0))):
            ordered.append(tuple(side[i] for i in np.argsort(-best, kind="stable")))
        return ordered

    # how far it is

    def estimate(self, target: float) -> tuple[float, int]:
        """Recall of pairs of units, and decisions that are left to the target."""
        found = self._candidates
        pairs = found.sizes[found.rows].prod(axis=1)
        joined = float((found.sizes * (found.sizes - 1)).sum() / 2)
        missing = float((self._probabilities * pairs).sum())
        recall = joined / (joined + missing) if joined + missing else 1.0
        return recall, 0 if recall >= target else len(pairs)


def _similar_pairs(project: ProjectFile) -> np.ndarray:
    """(R, 2) tracklets, the smaller id first, each pair once."""
    found = [
        np.stack([np.full(len(ids[:NEIGHBORS]), tracklet_id), ids[:NEIGHBORS]], axis=1)
        for tracklet_id, (ids, _) in project.neighbors().items()
    ]
    if not found:
        return np.zeros((0, 2), dtype=np.int64)
    pairs = np.sort(np.concatenate(found), axis=1)
    limit = int(pairs.max()) + 1
    return np.stack(np.divmod(np.unique(pairs[:, 0] * limit + pairs[:, 1]), limit), axis=1)


def _growth(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """0 of two single units, towards 1 of two persons of many."""
    return 1 - (1 / a + 1 / b) / 2


def _columns_of_units(similarities: np.ndarray, one_camera: np.ndarray) -> np.ndarray:
    return calibration.design(similarities, np.zeros(len(similarities)), one_camera)


def _units_of(payload: dict) -> Iterable[int]:
    for key in ("a", "b", "unit"):
        if payload.get(key) is not None:
            yield payload[key]
    yield from payload.get("rest", ())
