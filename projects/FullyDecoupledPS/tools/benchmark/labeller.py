"""A person who labels and knows the truth, and what comes of it."""

from collections import Counter, defaultdict
from typing import NamedTuple

import numpy as np

from person_search.label.labelling import Labelling, Question
from person_search.label.records import DIFFERENT, NOT_PERSON, SAME, SPLIT

from .labelling_truth import INEXACT, NOBODY, Truth


class Quality(NamedTuple):
    """Over pairs: of boxes, and of units by who is in most of their views."""

    precision: float
    recall: float
    unit_precision: float
    unit_recall: float


class Labeller:
    """Answers truthfully by the views of the two units that are compared."""

    def __init__(self, labelling: Labelling, truth: Truth):
        self.labelling = labelling
        self.truth = truth
        self.decisions: Counter[str] = Counter()

    def answer(self, question: Question) -> None:
        for unit in (question.a, question.b):
            if fault := self._fault(unit):
                self._decide(*fault)
                return
        a, b = (self._identity(unit) for unit in (question.a, question.b))
        self._decide(SAME if a == b else DIFFERENT, {"a": question.a, "b": question.b})

    def _decide(self, kind: str, payload: dict) -> None:
        self.decisions[kind] += 1
        self.labelling.decide(f"{len(self.labelling.decisions())}", kind, payload, "simulation")

    def _views(self, unit: int) -> tuple[int, list[int]]:
        found = self.labelling.unit(unit)
        views = self.truth.views[found.tracklet.tracklet_id]
        return found.first_view, views[found.first_view : found.last_view + 1]

    def _fault(self, unit: int) -> tuple[str, dict] | None:
        """What is wrong with a unit: nobody in most of its views, or several persons."""
        first, views = self._views(unit)
        if 2 * views.count(NOBODY) > len(views):
            return NOT_PERSON, {"unit": unit}
        number = change(views)
        return None if number is None else (SPLIT, {"unit": unit, "view": first + number})

    def _identity(self, unit: int) -> int:
        return most_seen(self._views(unit)[1])


def most_seen(views: list[int]) -> int:
    """Who is in most views; NOBODY only if nobody is in any.

    >>> most_seen([NOBODY, 7, 5, 5]), most_seen([NOBODY])
    (5, -1)
    """
    seen = [identity for identity in views if identity != NOBODY]
    return Counter(seen).most_common(1)[0][0] if seen else NOBODY


def change(views: list[int]) -> int | None:
    """From which view on somebody else is seen, who was there first no more; None: nobody else.

    Somebody who passes in between is no change.

    >>> change([5, 5, 7, 7]), change([5, NOBODY, 5, 7]), change([5, 7, 5, 5]), change([5, 5])
    (2, 3, None, None)
    """
    for number in range(1, len(views)):
        before, behind = most_seen(views[:number]), set(views[number:]) - {NOBODY}
        if before != NOBODY and views[number] != NOBODY and behind and before not in behind:
            return number
    return None


def quality(labelling: Labelling, truth: Truth) -> Quality:
    """Pairs of one person in the truth, and pairs of one person as labelled.

    A box is labelled if its unit is a person that some decision is about; the others are in no
    pair, so those of their identities are not found. Wrong are pairs of two identities, and of
    somebody with nobody. Inexact boxes are left out.
    """
    decided = {
        decision.payload.get(key)
        for decision, holds in labelling.decisions()
        for key in ("a", "b", "unit")
        if holds
    }
    person_of = {unit: group.person_id for group in labelling.groups() for unit in group.units}
    labels, identities, unit_labels, unit_identities = [], [], [], []
    by_tracklet = defaultdict(list)
    for unit in labelling.units():
        by_tracklet[unit.tracklet.tracklet_id].append(unit)
    for tracklet_id, units in by_tracklet.items():
        times, who = truth.boxes[tracklet_id]
        labelled = np.full(len(who), NOBODY)
        for unit in units:
            inside = (times >= unit.start) & (times <= unit.end)
            if unit.unit in decided:
                labelled[inside] = person_of.get(unit.unit, NOBODY)
            unit_labels.append(person_of.get(unit.unit, NOBODY))
            views = truth.views[tracklet_id][unit.first_view : unit.last_view + 1]
            unit_identities.append(most_seen(views))
        labels.append(labelled[who != INEXACT])
        identities.append(who[who != INEXACT])
    return Quality(
        *pairwise(np.concatenate(labels), np.concatenate(identities)),
        *pairwise(np.array(unit_labels), np.array(unit_identities)),
    )


def pairwise(labels: np.ndarray, identities: np.ndarray) -> tuple[float, float]:
    """Precision and recall of pairs with the same label; NOBODY's are in no pair.

    >>> pairwise(np.array([1, 1, 1, 2]), np.array([5, 5, 6, 6]))  # 1 of 3 is right, 1 of 2 found
    (0.3333333333333333, 0.5)
    """
    both = np.stack([labels, identities], axis=1)
    right = _pairs(both[(labels != NOBODY) & (identities != NOBODY)])
    said, true = _pairs(labels[labels != NOBODY]), _pairs(identities[identities != NOBODY])
    return right / said if said else 1.0, right / true if true else 1.0


def _pairs(values: np.ndarray) -> int:
    """Of equal rows."""
    counts = np.unique(values, axis=0, return_counts=True)[1]
    return int((counts * (counts - 1) // 2).sum())
