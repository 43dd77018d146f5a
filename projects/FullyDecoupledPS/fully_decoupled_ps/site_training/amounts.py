"""How much there is to train on and to test with, and what is too little."""

from dataclasses import dataclass

import numpy as np

from ..dataset_tools.inspection import Inspection
from ..errors import UserError

# Telling persons apart is learned from pairs: the same person twice, and somebody else.
MIN_IDENTITIES = 2
# Fewer than these, and a training mostly learns them by heart. PRW has 483; the demo's 330 are
# enough to see a gain, and a tenth of PRW's is where a warning begins.
FEW_IDENTITIES = 50
# A search across cameras is learned from persons that two cameras have seen.
FEW_IDENTITIES_ACROSS = 20
# A mean over n persons is known to about 60 / sqrt(n) points of mAP (twice its standard error, for
# average precisions that spread by 30): 12 points of 25 persons, which hides most gains.
FEW_TEST_IDENTITIES = 25
# Recall of n boxes is known to about 100 / sqrt(n) points: 6 of 250.
FEW_TEST_BOXES = 250


@dataclass(frozen=True)
class Amounts:
    """Counts of a data set."""

    frames: int
    frames_with_boxes: int
    boxes: int
    identities: int
    in_two_frames: int  # identities with two boxes or more
    in_two_cameras: int | None  # identities that two cameras have seen; None: not two cameras
    height: float  # of a small person (10th percentile), as a share of the frame's shorter side
    has_ignore_regions: bool
    queries: dict[str, tuple[int, int]]  # protocol -> queries with somebody to find, persons

    def __str__(self) -> str:
        across = "" if self.in_two_cameras is None else f", {self.in_two_cameras} in two cameras"
        return (
            f"{self.frames} frames, {self.boxes} boxes, {self.identities} identities, of which "
            f"{self.in_two_frames} have two boxes or more{across}"
        )


def count(inspection: Inspection) -> Amounts:
    """The counts of a set that was inspected without an error."""
    heights = [
        (a["bbox"][3] - a["bbox"][1]) / min(d["width"], d["height"])
        for d in inspection.dicts
        for a in d["annotations"]
    ]
    found = inspection.summary
    return Amounts(
        frames=found["frames"],
        frames_with_boxes=found["frames"] - found["frames_without_persons"],
        boxes=found["boxes"],
        identities=found["identities"],
        in_two_frames=found["identities"] - found["identities_with_one_box"],
        in_two_cameras=found["identities_in_two_cameras"] if len(found["cameras"]) > 1 else None,
        height=float(np.percentile(heights, 10)) if heights else 0.0,
        has_ignore_regions=found["ignore_regions"] > 0,
        queries={
            row["protocol"]: (row["queries"] - row["without_ground_truth"], row["persons"])
            for row in found["queries"]
        },
    )


def check_enough(train: Amounts, test: Amounts) -> list[str]:
    """What there is little of, where it will do with a warning; one phrase each.

    Raises:
        UserError: for what can't be trained or tested at all; names what is missing.
    """
    asked, persons = next(iter(test.queries.values()), (0, 0))
    missing = []
    if train.in_two_frames < MIN_IDENTITIES:
        missing.append(
            f"{train.in_two_frames} identities of the training set have two boxes or more, at "
            f"least {MIN_IDENTITIES} are needed: give the same person_id to the boxes of a person "
            "in several frames"
        )
    if not asked:
        missing.append(
            "no query of the test set has anybody to find: it needs persons that are seen in two "
            "frames or more, with their person_id"
        )
    if missing:
        raise UserError("too little data: " + "; ".join(missing))
    checks = [
        (train.in_two_frames, FEW_IDENTITIES, "identities to train on with two boxes or more"),
        (
            train.in_two_cameras,
            FEW_IDENTITIES_ACROSS,
            "identities to train on in two cameras",
        ),
        (persons, FEW_TEST_IDENTITIES, "persons to test the search with"),
        (test.boxes, FEW_TEST_BOXES, "boxes to test the detection with"),
    ]
    return [
        f"only {there} {what}, where {few} or more are advised"
        for there, few, what in checks
        if there is not None and there < few
    ]
