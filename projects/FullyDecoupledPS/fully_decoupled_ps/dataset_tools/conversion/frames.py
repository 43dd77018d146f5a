"""What the conversions of MOT and COCO share: annotations, copies of pictures, ids."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...data.datasets.checks import person, repeated_ids
from ...data.datasets.class_names import Kind
from ...data.datasets.duplicates import groups_of_copies
from ...errors import UserError

Dicts = list[dict[str, Any]]


@dataclass
class Converted:
    """
    Attributes:
        dicts: dataset dicts by sequence.
        counts: of what was left out or changed, by reason.
        assumed: what was taken for granted, in words.
        shared_ids: of the persons by sequence, if they are said to be the same in all.
    """

    dicts: dict[str, Dicts]
    counts: Counter
    assumed: list[str]
    shared_ids: dict[str, set]


OUTSIDE = "boxes outside their picture, or of no size"
REPEATED = "boxes of an id that their frame has twice (kept, unlabelled)"


@dataclass(frozen=True)
class Box:
    """A box of a file.

    Attributes:
        corners: x0, y0, x1, y1 in pixels.
        person_id: -1 if nobody is named.
        kind: what its class is for person search.
        class_name: for the counts.
        ignored, unlabelled: why it is to be so, beside its class and height; "" if it is not.
    """

    corners: Sequence[float]
    person_id: int
    kind: Kind
    class_name: str
    ignored: str = ""
    unlabelled: str = ""


def annotation(
    box: Box, d: dict[str, Any], min_height: float, counts: Counter
) -> dict[str, Any] | None:
    """Of a box cut at the picture's border: a person, a region to be ignored as COCO's crowds are,
    or None. What is no labelled person, or changed, is counted by reason.
    """
    if box.kind is Kind.OTHER:
        counts[f"boxes of class {box.class_name} (no person)"] += 1
        return None
    width, height = float(d["width"]), float(d["height"])
    x0, y0, x1, y1 = box.corners
    clipped = [max(x0, 0.0), max(y0, 0.0), min(x1, width), min(y1, height)]
    if clipped[2] <= clipped[0] or clipped[3] <= clipped[1]:
        counts[OUTSIDE] += 1
        return None
    counts["boxes cut at the border (kept)"] += clipped != list(box.corners)
    ignored, unlabelled = box.ignored, box.unlabelled
    if not ignored and box.kind is Kind.IGNORED:
        ignored = f"boxes of class {box.class_name}"
    if not ignored and clipped[3] - clipped[1] < min_height:
        ignored = f"boxes lower than {min_height:g} pixels"
    if ignored:
        counts[f"{ignored} (kept as ignore regions)"] += 1
        return {**person(clipped, -1), "iscrowd": 1}
    if box.kind is Kind.UNLABELLED:
        unlabelled = f"boxes of class {box.class_name}"
    if unlabelled:
        counts[f"{unlabelled} (kept, unlabelled)"] += 1
    return person(clipped, -1 if unlabelled else box.person_id)


def unlabel_repeated(annotations: Dicts, counts: Counter) -> Dicts:
    """
    One of two equal boxes of an id is dropped; where an id is at two places in a frame, nobody
    can tell which is right, and both stay unlabelled.
    """
    kept: Dicts = []
    for a in annotations:
        if a["person_id"] >= 0 and a in kept:
            counts["boxes that stand there twice with one id (one kept)"] += 1
        else:
            kept.append(a)
    for i in repeated_ids(kept):
        for a in kept:
            if a["person_id"] == i:
                a["person_id"] = -1
                counts[REPEATED] += 1
    return kept


def drop_copies(converted: Mapping[str, Dicts], counts: Counter) -> dict[str, Dicts]:
    """
    Args:
        converted: dataset dicts by sequence.

    Returns:
        the same without frames whose picture is that of an earlier one with other boxes, which
        can't both be right. With the same persons at the same places both stay: a camera or its
        video stood still.

    Raises:
        UserError: two sequences have the same picture with people in it: each would be split
            into two persons.
    """
    owner = {d["file_name"]: (name, d) for name, dicts in converted.items() for d in dicts}
    dropped: set[str] = set()
    for group in groups_of_copies(owner):
        names = {owner[path][0] for path in group if owner[path][1]["annotations"]}
        if len(names) > 1:
            by_name = {owner[path][0]: path for path in reversed(group)}
            one, other = (by_name[name] for name in sorted(names)[:2])
            raise UserError(
                f"'{one}' and '{other}' are the same picture; a sequence twice splits its people "
                "from themselves, leave one of the two out"
            )
        kept = next((path for path in group if owner[path][1]["annotations"]), group[0])
        same = [owner[path][1]["annotations"] == owner[kept][1]["annotations"] for path in group]
        counts["frames whose picture is the same, byte by byte, as another's (kept)"] += (
            sum(same) - 1
        )
        dropped.update(path for path, equal in zip(group, same) if not equal)
    counts["frames whose picture is the same as another's, with other boxes"] += len(dropped)
    return {
        name: [d for d in dicts if d["file_name"] not in dropped]
        for name, dicts in converted.items()
    }


def numbered_anew(ids: Mapping[str, set[int]]) -> list[str]:
    """
    Args:
        ids: of the persons, by sequence.

    Returns:
        the sequences whose ids are 1, 2, 3, ... (or from 0) without a gap, if there are two or
        more with several: so they are when a tracker or CVAT numbers each sequence's tracks anew.
    """
    found = [
        name
        for name, own in ids.items()
        if len(own) > 1 and min(own) in (0, 1) and max(own) - min(own) == len(own) - 1
    ]
    return found if len(found) > 1 else []


def require_somebody(converted: Mapping[str, Dicts], counts: Counter) -> None:
    """Raises UserError, with what was left out, if no labelled person is left."""
    left = [a for dicts in converted.values() for d in dicts for a in d["annotations"]]
    if any(a["person_id"] >= 0 for a in left):
        return
    unlabelled = sum(not a.get("iscrowd") for a in left)
    told = [f"{unlabelled} boxes without an id"] if unlabelled else []
    told += [f"{n} {reason}" for reason, n in (+counts).items()]
    raise UserError(
        f"no labelled person is left ({'; '.join(told) or 'no box'}); loosen the rules, or give a "
        "file that says who is who"
    )
