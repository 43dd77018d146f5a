"""What a training set is known by, so that a run does not go on with another one unnoticed."""

import hashlib
import os
from collections.abc import Sequence
from typing import Any

# What a fingerprint counts, in the order in which a difference is told.
COUNTS = ("frames", "boxes", "identities")


def fingerprint(names: Sequence[str], dicts: list[dict[str, Any]]) -> dict[str, Any]:
    """
    Args:
        names: of the registered datasets
        dicts: all their dataset dicts, in order

    Returns:
        "names", "frames", "boxes", "identities", and "hash" of every frame's file name (without
        its folder: a dataset may be moved), image id and person ids
    """
    digest = hashlib.sha256()
    boxes, labelled = 0, set()
    for d in dicts:
        person_ids = [a.get("person_id", -1) for a in d.get("annotations", [])]
        boxes += len(person_ids)
        labelled.update(person_id for person_id in person_ids if person_id >= 0)
        frame = (os.path.basename(d["file_name"]), str(d.get("image_id")), person_ids)
        digest.update(repr(frame).encode())
    return {
        "names": list(names),
        "frames": len(dicts),
        "boxes": boxes,
        "identities": len(labelled),
        "hash": digest.hexdigest(),
    }


def differences(before: dict[str, Any], now: dict[str, Any]) -> str:
    """What changed from one fingerprint to another: "" for the same data, also by another name."""
    if before["hash"] == now["hash"]:
        return ""
    changes = [f"{k} {before[k]} -> {now[k]}" for k in COUNTS if before[k] != now[k]]
    if before["names"] != now["names"]:
        changes.insert(0, f"{', '.join(before['names'])} -> {', '.join(now['names'])}")
    return "; ".join(changes) or "as many frames, boxes and identities, but others"
