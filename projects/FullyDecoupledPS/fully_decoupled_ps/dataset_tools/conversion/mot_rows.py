"""Which rows of a MOT ground truth become persons, which ignore regions, and which nothing."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...data.datasets.checks import person
from ...data.datasets.class_names import Kind
from .classes import ClassChoice
from .frames import ignore_region, place_box
from .mot_formats import MotFormat, marks_only
from .mot_frames import Numbering
from .mot_table import CLASS, FLAG, HEIGHT, ID, VISIBILITY, WIDTH, X


@dataclass(frozen=True)
class MotRules:
    """Which rows are taken, and how.

    Attributes:
        format: "cvat", "mot15", ...; None: recognised for each sequence.
        stride: every so many frames, from the first on.
        classes: what the user says of classes.
        min_visibility: 0 to 1; persons less visible are kept without an id.
        min_height: pixels, after cutting at the border; lower boxes become ignore regions.
        shared_ids: whether an id is the same person in all sequences.
        zero_based: whether x and y count from 0 whatever the format.
        numbering: of the pictures or the video's frames, where the user says it.
    """

    format: str | None = None
    stride: int = 1
    classes: ClassChoice = field(default_factory=ClassChoice)
    min_visibility: float = 0.25
    min_height: float = 16.0
    shared_ids: bool = False
    zero_based: bool = False
    numbering: Numbering | None = None


class RowReader:
    """The annotation of a row, or None; what is not a labelled person is counted by reason."""

    def __init__(
        self,
        fmt: MotFormat,
        rows: np.ndarray,
        names: Mapping[int, str],
        kinds: Mapping[int, Kind],
        rules: MotRules,
        first_id: int,
        counts: Counter,
    ) -> None:
        """
        Args:
            rows: all of the file, (N, 9).
            names, kinds: of its classes.
            first_id: added to the ids.
        """
        self.kinds, self.names = kinds, names
        self.first_pixel = 0 if rules.zero_based else fmt.first_pixel
        self.rules, self.first_id, self.counts = rules, first_id, counts
        # a tick at "occluded" says nothing of how much of a person is seen
        self.ticks = fmt.name == "cvat" and marks_only(rows)

    def __call__(self, row: np.ndarray, width: int, height: int) -> dict[str, Any] | None:
        kind = self.kinds[int(row[CLASS])]
        if kind is Kind.OTHER:
            self.counts[f"boxes of class {self._name(row)} (no person)"] += 1
            return None
        corner = row[X : X + 2] - self.first_pixel
        box = [*corner.tolist(), *(corner + row[WIDTH : HEIGHT + 1]).tolist()]
        placed = place_box(box, width, height, self.counts)
        if placed is None:
            return None
        reason = self._why_ignored(row, kind, placed)
        if reason:
            self.counts[f"{reason} (kept as ignore regions)"] += 1
            return ignore_region(placed)
        reason = self._why_unlabelled(row, kind)
        if reason:
            self.counts[f"{reason} (kept, unlabelled)"] += 1
        labelled = not reason and row[ID] >= 0
        return person(placed, int(row[ID]) + self.first_id if labelled else -1)

    def _why_ignored(self, row: np.ndarray, kind: Kind, box: list[float]) -> str | None:
        if kind is Kind.IGNORED:
            return f"boxes of class {self._name(row)}"
        if kind is Kind.PERSON and row[FLAG] == 0:
            return "boxes flagged to be ignored (0)"
        if row[VISIBILITY] == 0 and not self.ticks and self.rules.min_visibility > 0:
            return "persons wholly hidden (visibility 0)"
        if box[3] - box[1] < self.rules.min_height:
            return f"boxes lower than {self.rules.min_height:g} pixels"
        return None

    def _why_unlabelled(self, row: np.ndarray, kind: Kind) -> str | None:
        if kind is Kind.UNLABELLED:
            return f"boxes of class {self._name(row)}"
        if row[VISIBILITY] < self.rules.min_visibility and not self.ticks:
            return f"persons less visible than {self.rules.min_visibility:g}"
        return None

    def _name(self, row: np.ndarray) -> str:
        number = int(row[CLASS])
        return f"{number} ({self.names[number]})" if number in self.names else str(number)
