"""Differences between rows, worked by hand."""

from ablation_study.summary import differences, mean_and_spread, with_seeds


def test_differences_are_of_the_seeds_that_both_have():
    assert differences({3: 5.0, 1: 2.0, 2: 7.0}, {1: 1.0, 3: 9.0}) == [1.0, -4.0]


def test_spread_is_of_a_sample():
    # deviations -2, 0 and 2: 8 / (3 - 1) = 4, whose root is 2
    assert mean_and_spread([1.0, 3.0, 5.0]) == (3.0, 2.0)
    assert mean_and_spread([4.0]) == (4.0, 0.0)
    assert with_seeds([1.0, -4.0]) == "-1.5 (+1.0, -4.0)"
