"""The probability that two persons are one, learned from the answers given so far."""

import numpy as np

# Of the regularisation, on the weights of columns of about unit size.
PRECISION = 0.05
STEPS = 25
LARGEST_STEP = 5.0


def design(x: np.ndarray, growth: np.ndarray, one_camera: np.ndarray) -> np.ndarray:
    """(N, 5) float: what the logit is linear in.

    Args:
        x: (N,) mean similarity of the units of the two persons.
        growth: (N,) 0 of two single units, towards 1 of two large persons.
        one_camera: (N,) 0..1, the share of the pairs of units that are from one camera.
    """
    return np.stack([np.ones_like(x), x, growth, x * growth, one_camera], axis=1)


def fit(
    columns: np.ndarray, answers: np.ndarray, counts: np.ndarray, start: np.ndarray | None = None
) -> np.ndarray:
    """Weights of a logistic regression with a small L2 penalty, hardly any on the first.

    Args:
        columns: (N, F).
        answers: (N,) bool: one person.
        counts: (N,) how often each example counts.
        start: (F,) weights to start from.

    Returns:
        np.ndarray: (F,) weights.
    """
    columns = np.asarray(columns, dtype=np.float64)
    weights = np.zeros(columns.shape[1]) if start is None else start.astype(np.float64)
    penalty = np.full(len(weights), PRECISION)
    penalty[0] = 1e-6
    for _ in range(STEPS):
        expected = probability(columns, weights)
        gradient = columns.T @ (counts * (expected - answers)) + penalty * weights
        curvature = counts * expected * (1 - expected)
        hessian = (columns * curvature[:, None]).T @ columns + np.diag(penalty)
        step = np.linalg.solve(hessian, gradient)
        step *= min(1.0, LARGEST_STEP / max(np.abs(step).max(), 1e-12))
        weights = weights - step
        if np.abs(step).max() < 1e-6:
            break
    return weights


def probability(columns: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(N,) 0..1"""
    return 1 / (1 + np.exp(-np.clip(columns @ weights, -30, 30)))
