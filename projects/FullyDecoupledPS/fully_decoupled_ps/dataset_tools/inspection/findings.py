"""What is wrong with a dataset: errors and warnings, counted by kind, with the first places."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

ERROR = "error"  # training or evaluation would fail, or give wrong figures
WARNING = "warning"  # it works; somebody should look

MAX_PLACES = 100  # kept of each finding, for the JSON report


@dataclass(frozen=True)
class Finding:
    """One kind of fault."""

    level: str  # ERROR or WARNING
    kind: str  # a short name that stays the same, for scripts, as "boxes.tiny"
    message: str  # what it is that `count` is of
    count: int  # 0: of the dataset as a whole
    places: Sequence[str]  # the first MAX_PLACES of them


def spread(values: Sequence[float]) -> dict[str, float | None]:
    """Minimum, median and maximum, each None if there are no values."""
    if not values:
        return {"min": None, "median": None, "max": None}
    return {"min": min(values), "median": float(np.median(values)), "max": max(values)}


class Findings(list[Finding]):
    """All findings of one inspection."""

    def error(self, kind: str, message: str, places: Sequence[str]) -> None:
        """An error at these places; none if there are none."""
        self._add(ERROR, kind, message, places)

    def warning(self, kind: str, message: str, places: Sequence[str]) -> None:
        """A warning at these places; none if there are none."""
        self._add(WARNING, kind, message, places)

    def whole(self, level: str, kind: str, message: str) -> None:
        """Something about the dataset as a whole."""
        self.append(Finding(level, kind, message, 0, ()))

    def _add(self, level: str, kind: str, message: str, places: Sequence[str]) -> None:
        if places:
            self.append(Finding(level, kind, message, len(places), tuple(places[:MAX_PLACES])))

    def of(self, level: str) -> list[Finding]:
        return [finding for finding in self if finding.level == level]
