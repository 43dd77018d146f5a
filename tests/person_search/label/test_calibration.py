"""Probabilities against scikit-learn's logistic regression."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from person_search.label import calibration


def test_the_columns_of_two_persons():
    columns = calibration.design(
        np.array([0.5]), np.array([4.0]), np.array([2.0]), np.array([0.25])
    )
    expected = [[1, 0.5, np.log(4), 0.5 * np.log(4), 0.25]]
    np.testing.assert_allclose(columns, expected)


def test_weights_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    columns = np.concatenate([np.ones((300, 1)), rng.standard_normal((300, 3))], axis=1)
    answers = rng.random(300) < 1 / (1 + np.exp(-(columns @ [0.5, 2, -1, 0])))
    counts = rng.uniform(0.2, 2, 300)
    found = calibration.fit(columns, answers, counts)
    model = LogisticRegression(C=1 / calibration.PRECISION, tol=1e-8, max_iter=1000)
    model.fit(columns[:, 1:], answers, sample_weight=counts)
    np.testing.assert_allclose(found, [*model.intercept_, *model.coef_[0]], atol=1e-3)
    expected = model.predict_proba(columns[:, 1:])[:, 1]
    np.testing.assert_allclose(calibration.probability(columns, found), expected, atol=1e-4)


def test_answers_that_one_line_separates_give_finite_weights():
    columns = np.array([[1.0, 0.1], [1.0, 0.2], [1.0, 0.8], [1.0, 0.9]])
    weights = calibration.fit(columns, np.array([0, 0, 1, 1]), np.ones(4))
    low, *_, high = calibration.probability(columns, weights)
    assert np.isfinite(weights).all() and low < 0.5 < high


@pytest.mark.parametrize("answers", [[1] * 30, [0] * 30, [1] * 3 + [0] * 27])
def test_the_shift_makes_the_expected_number_the_one_that_was(answers):
    columns, weights = np.ones((30, 1)), np.array([0.0])
    moved = calibration.shift(columns, np.array(answers), weights)
    # one more of each kind, whose probability moves along
    expected = 32 * calibration.probability(columns[:1], weights + moved)[0]
    assert expected == pytest.approx(sum(answers) + 1, abs=0.01) or abs(moved) > 2.99
