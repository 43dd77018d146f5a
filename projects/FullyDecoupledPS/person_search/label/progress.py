"""How far the work is: estimates from the probability of each pair of persons to be one."""

import numpy as np

# Pairs less probable than this are not worth a question, or counted as one.
LEAST_PROBABILITY = 0.01


def recall(rows: np.ndarray, probabilities: np.ndarray, sizes: np.ndarray) -> float:
    """The expected share of the pairs of units of one person that are in one group.

    Args:
        rows: (R, 2) pairs of groups.
        probabilities: (R,) that they are one person.
        sizes: (S,) units of each group.
    """
    joined = pairs_joined(sizes)
    total = joined + pairs_missing(rows, probabilities, sizes)
    return joined / total if total else 1.0


def pairs_joined(sizes: np.ndarray) -> float:
    sizes = sizes.astype(np.float64)
    return float((sizes * (sizes - 1)).sum() / 2)


def pairs_missing(rows: np.ndarray, probabilities: np.ndarray, sizes: np.ndarray) -> float:
    return float((probabilities * sizes[rows].prod(axis=1)).sum())


def decisions_left(
    rows: np.ndarray, probabilities: np.ndarray, sizes: np.ndarray, target: float
) -> int:
    """Questions until the recall is reached, the most probable pairs first.

    They are played through, each answered by chance with its probability, and without those that
    the answers before make needless. Arguments as in :func:`recall`.
    """
    joined = pairs_joined(sizes)
    wanted = target * (joined + pairs_missing(rows, probabilities, sizes))
    if joined >= wanted:
        return 0
    order = np.flatnonzero(probabilities >= LEAST_PROBABILITY)
    order = order[np.argsort(-probabilities[order], kind="stable")]
    is_same = np.random.default_rng(0).random(len(order)) < probabilities[order]
    group, size = list(range(len(sizes))), sizes.tolist()
    different: set[tuple[int, int]] = set()
    asked = 0
    for (a, b), same in _in_parts(rows[order], is_same):
        a, b = _find(group, a), _find(group, b)
        if a == b or (a, b) in different:
            continue
        asked += 1
        if not same:
            different.update([(a, b), (b, a)])
            continue
        joined += size[a] * size[b]
        group[b], size[a] = a, size[a] + size[b]
        if joined >= wanted:
            break
    return max(asked, 1)


def _in_parts(rows: np.ndarray, is_same: np.ndarray):
    """Both together, as Python's numbers; only as many are made as are taken, about."""
    for start in range(0, len(rows), 1024):
        yield from zip(*(part[start : start + 1024].tolist() for part in (rows, is_same)))


def _find(group: list[int], item: int) -> int:
    while group[item] != item:
        group[item] = group[group[item]]
        item = group[item]
    return item
