"""Estimates of a case worked by hand: persons of 3, 2 and 1 units."""

import numpy as np
import pytest

from person_search.label import progress

SIZES = np.array([3.0, 2.0, 1.0])
ROWS = np.array([[0, 1], [0, 2], [1, 2]])


def test_recall():
    # 3 + 1 pairs are joined; 6, 3 and 2 may be missing
    found = progress.recall(ROWS, np.array([0.5, 0.0, 1.0]), SIZES)
    assert found == pytest.approx(4 / (4 + 3 + 2))
    assert progress.recall(ROWS[:0], np.zeros(0), np.ones(3)) == 1.0


@pytest.mark.parametrize(
    ("probabilities", "target", "left"),
    [
        # all are one person: 4 pairs joined of 15; the first question gives 6, the next the rest
        ((1.0, 1.0, 1.0), 10 / 15, 1),
        ((1.0, 1.0, 1.0), 1.0, 2),
        # two persons: nothing is missing
        ((0.0, 0.0, 0.0), 1.0, 0),
        # 6 pairs are missing, and nothing else is worth a question
        ((1.0, 0.001, 0.001), 0.99, 1),
    ],
)
def test_decisions_left(probabilities, target, left):
    assert progress.decisions_left(ROWS, np.array(probabilities), SIZES, target) == left


def test_an_answer_that_follows_is_not_counted():
    """Of four units of one person three questions are asked, not six."""
    rows = np.array([[a, b] for a in range(4) for b in range(a)])
    assert progress.decisions_left(rows, np.ones(6), np.ones(4), 1.0) == 3
