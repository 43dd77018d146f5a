"""The bootstrap, against all draws of a few persons, written out by hand."""

import numpy as np
import pytest

from fully_decoupled_ps.site_training.comparison import compare_figures, compare_means

PERSONS = np.array([7, 7, 9])


def test_persons_are_drawn_and_not_queries():
    """
    Person 7 has two queries of AP 0, person 9 one of 100. Of the four equally likely draws of two
    persons, (7, 7) has the mean 0, (9, 9) has 100, and the other two (0 + 0 + 100) / 3: so the
    95 % interval goes from 0 to 100. If queries were drawn, all three would be 100 in 1 of 27.
    """
    row = compare_means("mAP", "3 queries", PERSONS, np.array([0.0, 0, 100]), np.zeros(3))
    assert row.groups == 2
    assert row.before.value == pytest.approx(100 / 3)
    assert (row.before.low, row.before.high) == (0, 100)
    assert (row.after.value, row.after.low, row.after.high) == (0, 0, 0)
    assert str(row.before) == "33.3 [0.0, 100.0]"


def test_the_difference_is_of_the_same_draws():
    """Each query gains 10 points, so that every draw does, however far apart the queries are."""
    before = np.array([0.0, 20, 90])
    row = compare_means("mAP", "", PERSONS, before, before + 10)
    ends = (row.difference.value, row.difference.low, row.difference.high)
    assert ends == pytest.approx((10, 10, 10))
    assert row.before.high - row.before.low > 50
    assert not row.is_worse
    assert compare_means("mAP", "", PERSONS, before + 10, before).is_worse


def test_a_loss_of_one_person_of_two_is_within_chance():
    """(9, 9) is drawn in a quarter of the cases, and has lost nothing."""
    row = compare_means("mAP", "", PERSONS, np.array([50.0, 50, 50]), np.array([0.0, 0, 50]))
    assert row.difference.value == pytest.approx(-100 / 3)
    assert row.difference.high == pytest.approx(0) and not row.is_worse


def test_the_interval_of_many_persons_is_that_of_the_normal_distribution():
    """Of n values with deviation s: the mean +- 1.96 s / sqrt(n)."""
    values = np.random.default_rng(3).normal(50, 20, 400)
    row = compare_means("mAP", "", np.arange(400), values, values)
    half = 1.96 * values.std() / 20
    assert row.before.low == pytest.approx(values.mean() - half, abs=0.3)
    assert row.before.high == pytest.approx(values.mean() + half, abs=0.3)


def test_of_one_person_nothing_is_known_of_chance():
    row = compare_means("mAP", "", np.zeros(4), np.full(4, 50.0), np.full(4, 49.0))
    assert row.before.low is None and str(row.difference) == "-1.0"
    assert row.is_worse


def test_a_figure_that_is_no_mean_has_no_interval():
    row = compare_figures("AP", "24 persons", 80.0, 82.5)
    assert (str(row.before), str(row.difference), row.is_worse) == ("80.0", "2.5", False)
    assert row.record()["difference"] == {"value": 2.5, "low": None, "high": None}
