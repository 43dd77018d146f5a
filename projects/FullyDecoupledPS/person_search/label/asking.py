"""What to ask next, and how far the work is: both from the probability that persons are one."""

import math

import numpy as np

from . import calibration, progress
from .candidates import NEIGHBORS, Candidates, distinct_pairs
from .features import UnitFeatures
from .identities import Example, Facts, Identities
from .store import ProjectFile
from .units import units_of

# Answers to learn from: the last ones, as they are like the next ones.
MAX_EXAMPLES = 2000
# Free examples of each kind, and how much all of a kind count: as much as so many answers.
MAX_FREE = 500
FREE_COUNT = 8.0
# The number of decisions that are left is estimated anew after so many decisions per unit.
REFRESH = 0.005


# How much each candidate counts that is known to be two persons.
TOGETHER_COUNT = 0.2
# Answers that the probabilities have to agree with in number.
RECENT = 200
# A pair this probable is asked before all others, so that most of the work is done early.
PROBABLE = 0.5


class Asking:
    """The pairs of persons that may be one, and the probability of each."""

    def __init__(self, project: ProjectFile, facts: Facts):
        self._features = UnitFeatures(project, facts.tracklets)
        self._candidates = Candidates(self._features, _similar_pairs(project))
        self._free = self._free_examples(facts)
        self._columns: dict[Example, np.ndarray] = {}
        self._holding: set[int] = set()
        self._left = (-math.inf, 0)  # decisions made when estimated, and left then
        self._fitted: np.ndarray | None = None

    def update(self, identities: Identities, payloads: dict[int, dict]) -> None:
        """Follow a change.

        Args:
            payloads: of all decisions, by number.
        """
        changed = self._holding ^ identities.holding
        self._holding = set(identities.holding)
        touched = {u for number in changed for u in units_of(payloads[number])}
        self._identities = identities
        self._candidates.update(identities, touched)
        columns = self._columns_of_rows()
        is_open = self._candidates.is_open
        self._learn(identities.examples[-MAX_EXAMPLES:], columns[~is_open])
        self._probabilities = calibration.probability(columns, self._weights) * is_open

    # learning

    def _free_examples(self, facts: Facts) -> tuple[np.ndarray, np.ndarray]:
        """Columns of pairs of single units that are one person, and of pairs that are two."""
        rng = np.random.default_rng(0)
        several = [t for t in facts.tracklets if len(t.view_times) > 1]
        some = [several[i] for i in rng.permutation(len(several))[:MAX_FREE]]
        before, after = self._features.halves(some)
        pairs = [facts.pairs[i][:2] for i in rng.permutation(len(facts.pairs))[:MAX_FREE]]
        if not pairs and facts.tracklets:
            # any two: of many persons, nearly all of these pairs are different
            ids = np.array([t.tracklet_id for t in facts.tracklets])
            pairs = [pair for pair in rng.choice(ids, (MAX_FREE, 2)).tolist() if len(set(pair)) > 1]
        a, b = (self._features.of_tracklets([pair[side] for pair in pairs]) for side in (0, 1))
        cameras = self._features.camera_of
        is_one = np.array([float(cameras[a] == cameras[b]) for a, b in pairs])
        return (
            _columns_of_units(np.einsum("nd,nd->n", before, after), np.ones(len(some))),
            _columns_of_units(np.einsum("nd,nd->n", a, b), is_one),
        )

    def _learn(self, examples: list[Example], together: np.ndarray) -> None:
        """
        Args:
            together: (N, F) candidates that were seen at one time, and so are two persons.
        """
        new = [example for example in examples if example not in self._columns]
        if new:
            self._columns.update(zip(new, self._columns_of(new)))
        answered = np.array([self._columns[e] for e in examples]).reshape(-1, together.shape[1])
        answers = np.array([example.is_same for example in examples], dtype=float)
        together = together[:: len(together) // MAX_FREE + 1]
        same, different = self._free
        parts = [(answered, answers, np.ones(len(answers)))]
        parts += [(same, 1.0, FREE_COUNT / max(len(same), 1))]
        parts += [(different, 0.0, FREE_COUNT / max(len(different), 1))]
        parts += [(together, 0.0, TOGETHER_COUNT)]
        columns = np.concatenate([part[0] for part in parts])
        labels, counts = (
            np.concatenate([np.broadcast_to(part[i], len(part[0])) for part in parts])
            for i in (1, 2)
        )
        self._fitted = calibration.fit(columns, labels, counts, self._fitted)
        self._weights = self._fitted.copy()
        self._weights[0] += calibration.shift(answered[-RECENT:], answers[-RECENT:], self._fitted)

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
            *sizes,
            np.einsum("nd,nd->n", *cameras) / product,
        )

    def _columns_of_rows(self) -> np.ndarray:
        """(R, F) of each pair of candidates."""
        found = self._candidates
        a, b = found.rows.T
        sizes = found.sizes[a], found.sizes[b]
        one_camera = np.einsum("nd,nd->n", found.cameras[a], found.cameras[b])
        return calibration.design(found.similarities, *sizes, one_camera / (sizes[0] * sizes[1]))

    # asking

    def best(self) -> tuple | None:
        """The question from which most pairs are to be expected, as the fields of a Question."""
        found, groups = self._candidates, self._identities.groups
        pairs = found.sizes[found.rows].prod(axis=1)
        gains = self._probabilities * pairs
        is_probable = self._probabilities >= PROBABLE
        if is_probable.any():
            gains *= is_probable
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
        state = found.rows, self._probabilities, found.sizes
        recall = progress.recall(*state)
        if recall >= target:
            return recall, 0
        counted, left = self._left
        if abs(len(self._holding) - counted) > len(self._identities.units.by_id) * REFRESH:
            counted, left = len(self._holding), progress.decisions_left(*state, target)
            self._left = counted, left
        return recall, max(left - (len(self._holding) - counted), 1)


def _similar_pairs(project: ProjectFile) -> np.ndarray:
    """(R, 2) tracklets, the smaller id first, each pair once."""
    found = [
        np.stack([np.full(len(ids[:NEIGHBORS]), tracklet_id), ids[:NEIGHBORS]], axis=1)
        for tracklet_id, (ids, _) in project.neighbors().items()
    ]
    if not found:
        return np.zeros((0, 2), dtype=np.int64)
    return distinct_pairs(np.concatenate(found))


def _columns_of_units(similarities: np.ndarray, one_camera: np.ndarray) -> np.ndarray:
    single = np.ones(len(similarities))
    return calibration.design(similarities, single, single, one_camera)
