"""The probability that two persons are one, learned from the answers given so far."""

import numpy as np

# Of the regularisation, on the weights of columns of about unit size.
PRECISION = 0.3
STEPS = 25
LARGEST_STEP = 5.0
LARGEST_SHIFT = 3.0


def design(x: np.ndarray, a: np.ndarray, b: np.ndarray, one_camera: np.ndarray) -> np.ndarray:
    """(N, 5) float: what the logit is linear in. The larger a person is, the more x tells.

    Args:
        x: (N,) mean similarity of the units of the two persons.
        a, b: (N,) numbers of their units.
        one_camera: (N,) 0..1, the share of the pairs of units that are from one camera.
    """
    large = np.log(np.maximum(a, b))
    return np.stack([np.ones_like(x), x, large, x * large, one_camera], axis=1)


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
    return _sigmoid(columns @ weights)


def shift(columns: np.ndarray, answers: np.ndarray, weights: np.ndarray) -> float:
    """What to add to the first weight so that as many of these are expected to be one as were.

    Of the last answers: the next questions are like them, and less like all those before. One
    answer more of each kind is counted, so that few answers move little.
    """
    logits = np.concatenate([columns @ weights, [0.0, 0.0]])
    wanted = answers.sum() + 1.0
    low, high = -LARGEST_SHIFT, LARGEST_SHIFT
    for _ in range(30):
        middle = (low + high) / 2
        if _sigmoid(logits + middle).sum() < wanted:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(logits, -30, 30)))
