"""The boxes of a frame as annotations of a data set: persons, and regions to be ignored."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torchvision.ops import box_iou

from fully_decoupled_ps.dataset_tools.inspection.boxes import DUPLICATE_IOU, MIN_HEIGHT, MIN_WIDTH

from .labelled import NO_PERSON, UNCERTAIN, LabelledBox
from .records import Xyxy

Annotation = dict[str, Any]

UNFOLLOWED = "detections of nobody who was followed (kept as ignore regions)"
TINY = f"boxes narrower than {MIN_WIDTH} or lower than {MIN_HEIGHT} pixels (kept as ignore regions)"
DOUBLE = "boxes of somebody who has a better one in the frame (kept as ignore regions)"
OUTSIDE = "boxes outside their picture, or of no size (left out)"
NOBODY_THERE = "boxes of what is no person (left out)"


class _Person(NamedTuple):
    xyxy: Xyxy
    person_id: int
    rank: tuple  # of two boxes of one person the larger is kept


def annotate(
    boxes: Sequence[LabelledBox], size: tuple[int, int], ids: Mapping[int, int], counts: Counter
) -> list[Annotation]:
    """Annotations as the project's JSON has them: ``bbox``, ``person_id``, perhaps ``iscrowd``.

    Everybody has a box, so that no detector learns a person as background: with -1 where it is not
    known who it is. What may be a person becomes a region that counts neither for nor against a
    detection: detections that belong to no tracklet, boxes too small to learn from, and a second
    box of somebody. What was said to be no person is left out.

    Args:
        boxes: of one frame, all decisions applied.
        size: width and height of the frame in pixels.
        ids: the id to write, by person; of all others it is -1.
        counts: gets what is left out or changed, by reason.
    """
    persons, regions = [], []
    for box in boxes:
        xyxy = _clipped(box.box.box, size)
        if box.kind == NO_PERSON:
            counts[NOBODY_THERE] += 1
        elif xyxy is None:
            counts[OUTSIDE] += 1
        elif box.kind == UNCERTAIN:
            counts[UNFOLLOWED] += 1
            regions.append(xyxy)
        elif xyxy[2] - xyxy[0] < MIN_WIDTH or xyxy[3] - xyxy[1] < MIN_HEIGHT:
            counts[TINY] += 1
            regions.append(xyxy)
        else:
            person_id = ids.get(box.person, -1)
            persons.append(_Person(xyxy, person_id, _rank(box, person_id)))
    kept = _without_doubles(persons)
    regions += [p.xyxy for p in persons if p not in kept]
    counts[DOUBLE] += len(persons) - len(kept)
    return [{"bbox": list(p.xyxy), "person_id": p.person_id} for p in kept] + [
        {"bbox": list(xyxy), "person_id": -1, "iscrowd": 1} for xyxy in regions
    ]


def _rank(box: LabelledBox, person_id: int) -> tuple:
    """Known persons first; then drawn boxes, detections by their score, interpolated ones."""
    return person_id >= 0, box.box.box_id < 0, not box.box.is_interpolated, box.box.score


def _without_doubles(persons: Sequence[_Person]) -> list[_Person]:
    """Of boxes of one person, and of boxes that cover each other, the best one; in their order."""
    boxes = torch.tensor([p.xyxy for p in persons], dtype=torch.float64).reshape(-1, 4)
    overlaps = box_iou(boxes, boxes) >= DUPLICATE_IOU
    best: list[int] = []
    for i in sorted(range(len(persons)), key=lambda i: persons[i].rank, reverse=True):
        known = {persons[k].person_id for k in best} - {-1}
        if persons[i].person_id not in known and not overlaps[i, best].any():
            best.append(i)
    return [persons[i] for i in sorted(best)]


def _clipped(box: Xyxy, size: tuple[int, int]) -> Xyxy | None:
    """Cut at the frame's border; None if nothing is left."""
    width, height = map(float, size)
    x0, y0, x1, y1 = box
    cut = max(x0, 0.0), max(y0, 0.0), min(x1, width), min(y1, height)
    return cut if cut[0] < cut[2] and cut[1] < cut[3] else None
