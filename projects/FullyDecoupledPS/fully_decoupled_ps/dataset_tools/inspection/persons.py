"""Who is in the dataset: labelled and unlabelled persons, ids, crowds, cameras."""

from collections import Counter, defaultdict
from typing import Any

import numpy as np

from ...data.datasets.checks import has_contiguous_ids, repeated_ids
from .findings import ERROR, WARNING, Findings, spread

Dicts = list[dict[str, Any]]
Summary = dict[str, Any]

MAX_BARS = 13  # of the histogram of persons per frame


def inspect_persons(dicts: Dicts, findings: Findings, split: str = "train") -> Summary:
    """Counts; finds what re-id training can't work with, and ids that look wrong.

    A test set in which nobody has an id still measures detection.
    """
    ids = [a["person_id"] for d in dicts for a in d["annotations"]]
    boxes_of = Counter(i for i in ids if i >= 0)
    if not dicts:
        findings.whole(ERROR, "images.none", "there is no image")
    elif not ids:
        findings.whole(ERROR, "boxes.none", "nobody is annotated")
    elif not boxes_of and split == "train":
        findings.whole(ERROR, "ids.none", "nobody has a person id, so re-id can't be trained")
    once = [i for i, n in sorted(boxes_of.items()) if n == 1]
    findings.warning(
        "ids.one_box",
        "persons with one box only, so nothing to compare it with",
        [f"person {i}" for i in once],
    )
    if not any(finding.kind == "ids.repeated" for finding in findings):  # the reader's own error
        findings.warning("ids.repeated", "persons that stand twice in a frame", _repeated(dicts))
    return {
        "frames": len(dicts),
        "frames_without_persons": sum(not d["annotations"] for d in dicts),
        "frames_for_queries_only": sum(bool(d.get("query_only")) for d in dicts),
        "boxes": len(ids),
        "labelled": len(ids) - ids.count(-1),
        "unlabelled": ids.count(-1),
        "ignore_regions": sum(len(d.get("ignore_regions", ())) for d in dicts),
        "identities": len(boxes_of),
        "identities_with_one_box": len(once),
        "contiguous_ids": has_contiguous_ids(dicts),
        "boxes_per_identity": spread(list(boxes_of.values())),
        "persons_per_frame": persons_per_frame(dicts),
    }


def _repeated(dicts: Dicts) -> list[str]:
    return [
        f"image {d['image_id']}, person {i}" for d in dicts for i in repeated_ids(d["annotations"])
    ]


def persons_per_frame(dicts: Dicts) -> Summary:
    """{"min", "median", "mean", "max", "histogram": [[first, last, frames], ...]}."""
    counts = [len(d["annotations"]) for d in dicts]
    if not counts:
        return {**spread(counts), "mean": None, "histogram": []}
    width = -(-(max(counts) + 1) // MAX_BARS)
    bars = Counter(n // width for n in counts)
    histogram = [
        [k * width, k * width + width - 1, bars[k]] for k in range(max(counts) // width + 1)
    ]
    return {**spread(counts), "mean": float(np.mean(counts)), "histogram": histogram}


def inspect_cameras(dicts: Dicts, findings: Findings) -> Summary:
    """Frames, boxes and ids per camera, and how many ids two cameras or more have seen."""
    frames: Counter = Counter()
    boxes: Counter = Counter()
    ids: dict[Any, set[int]] = defaultdict(set)
    cameras_of: dict[int, set[Any]] = defaultdict(set)
    for d in dicts:
        camera = d.get("camera_id")
        frames[camera] += 1
        boxes[camera] += len(d["annotations"])
        for a in d["annotations"]:
            if a["person_id"] >= 0:
                ids[camera].add(a["person_id"])
                cameras_of[a["person_id"]].add(camera)
    if 0 < frames[None] < len(dicts):
        findings.warning(
            "cameras.partial",
            "images without a camera_id, while others have one: no multi-view search",
            [f"image {d['image_id']}" for d in dicts if d.get("camera_id") is None],
        )
    shared = sum(len(seen) > 1 for seen in cameras_of.values())
    if len(frames) > 1 and cameras_of and not shared:
        findings.whole(WARNING, "cameras.apart", "nobody is seen by two cameras")
    rows = [
        {"camera": c, "frames": frames[c], "boxes": boxes[c], "identities": len(ids[c])}
        for c in sorted(frames, key=lambda c: (c is None, c))
    ]
    known = [] if set(frames) <= {None} else rows
    return {"cameras": known, "identities_in_two_cameras": shared if known else None}
