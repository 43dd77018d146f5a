"""Two networks on one test set: figures before and after, and how far chance could move them.

Figures are means over queries, or over boxes; but the queries of one person are hard or easy
together, as are the boxes of one frame. So what is drawn in the bootstrap is whole persons, and
whole frames (a cluster bootstrap), and the same ones for both networks: the interval of the
difference is far narrower than those of the two figures.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

SAMPLES = 2000
PERCENTILES = (2.5, 97.5)
SEED = 0


@dataclass(frozen=True)
class Interval:
    """A figure, and the ends of its 95 % interval; None where there is none."""

    value: float
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        if self.low is None:
            return f"{self.value:.1f}"
        return f"{self.value:.1f} [{self.low:.1f}, {self.high:.1f}]"


@dataclass(frozen=True)
class Comparison:
    """One figure of both networks, in percent.

    Attributes:
        figure: its name.
        over: what it is a mean over, in words, with the number.
        groups: how many persons or frames were drawn from; of fewer than 2 there is no interval.
        difference: after less before, in points.
    """

    figure: str
    over: str
    groups: int
    before: Interval
    after: Interval
    difference: Interval

    @property
    def is_worse(self) -> bool:
        """Beyond what chance explains; of one person or frame nothing is known of chance."""
        end = self.difference.high
        return (self.difference.value if end is None else end) < 0

    def record(self) -> dict[str, Any]:
        return {**asdict(self), "worse": self.is_worse}


def compare_means(
    figure: str, over: str, groups: np.ndarray, before: np.ndarray, after: np.ndarray
) -> Comparison:
    """
    Args:
        groups: (n,) which person a query, or which frame a box, belongs to.
        before, after: (n,) the values whose means the figure is, in percent.
    """
    _, rows = np.unique(groups, return_inverse=True)
    number = rows.max() + 1
    ones = np.ones(len(rows))
    # (3, groups): sums of the values, and how many there are
    sums = np.stack([np.bincount(rows, values) for values in (before, after, ones)])
    random = np.random.default_rng(SEED)
    drawn = random.multinomial(number, np.full(number, 1 / number), size=SAMPLES)
    means = (drawn @ sums[:2].T) / (drawn @ sums[2:].T)  # (samples, 2)

    def interval(value: float, samples: np.ndarray) -> Interval:
        if number == 1:
            return Interval(float(value))
        return Interval(float(value), *(float(p) for p in np.percentile(samples, PERCENTILES)))

    return Comparison(
        figure,
        over,
        int(number),
        interval(np.mean(before), means[:, 0]),
        interval(np.mean(after), means[:, 1]),
        interval(np.mean(after) - np.mean(before), means[:, 1] - means[:, 0]),
    )


def compare_figures(figure: str, over: str, before: float, after: float) -> Comparison:
    """Of a figure that is no mean; without intervals."""
    parts = (Interval(value) for value in (before, after, after - before))
    return Comparison(figure, over, 0, *parts)
