"""The same picture more than once: its people would get two ids, or be found in a copy."""

import os
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from ...data.datasets.duplicates import groups_of_copies
from .findings import Findings

Dicts = list[dict[str, Any]]


def inspect_copies(
    dicts: Dicts, findings: Findings, others: Dicts = (), others_name: str = ""
) -> None:
    """
    Finds one file under several image ids, and files with the same bytes, links among them.
    It is a warning if nobody is annotated in any of them, or if they are one camera's and have
    the same persons in the same boxes: a camera with a still view gives such frames.

    Args:
        others: dataset dicts of a set that should share no picture with this one.
        others_name: what the set is called.
    """
    frames: dict[str, Dicts] = defaultdict(list)
    for d in dicts:
        frames[d["file_name"]].append(d)
    other_files = dict.fromkeys(d["file_name"] for d in others)
    groups = groups_of_copies(dict.fromkeys([*frames, *other_files]))
    own = [[file for file in group if file in frames] for group in groups]
    _tell(
        findings, "images.twice", "picture files listed under several ids", frames,
        [[file] for file, listed in frames.items() if len(listed) > 1],
    )  # fmt: skip
    _tell(
        findings, "images.copies", "pictures that are there more than once (the same bytes)",
        frames, [files for files in own if len(files) > 1 and not _is_still(files, frames)],
    )  # fmt: skip
    findings.warning(
        "images.still", "equal pictures of one camera with equal annotations",
        [_equal(files) for files in own if len(files) > 1 and _is_still(files, frames)],
    )  # fmt: skip
    shared = [file for file in frames if file in other_files]
    shared += [
        _equal(group)
        for group, mine in zip(groups, own)
        if mine and set(group) & other_files.keys() and not set(mine) & other_files.keys()
    ]
    findings.error("images.in_both", f"pictures that are in {others_name} as well", shared)


def _tell(
    findings: Findings,
    kind: str,
    message: str,
    frames: dict[str, Dicts],
    groups: Sequence[Sequence[str]],
) -> None:
    with_persons = [any(_matters(d) for file in g for d in frames[file]) for g in groups]
    findings.error(
        kind, message, [_equal(g) for g, matters in zip(groups, with_persons) if matters]
    )
    findings.warning(
        f"{kind}.empty",
        f"{message}, without a person",
        [_equal(g) for g, matters in zip(groups, with_persons) if not matters],
    )


def _is_still(files: Sequence[str], frames: dict[str, Dicts]) -> bool:
    """Whether these are frames of one camera in which the same persons stand in the same boxes."""
    dicts = [d for file in files for d in frames[file]]
    cameras = {d.get("camera_id") for d in dicts}
    persons = {
        tuple(sorted((a["person_id"], *map(float, a["bbox"])) for a in d["annotations"]))
        for d in dicts
    }
    is_one_camera = len(cameras) == 1 and None not in cameras
    are_copies = len({os.path.realpath(file) for file in files}) == len(files)  # no links
    return is_one_camera and are_copies and len(persons) == 1 and () not in persons


def _matters(d: dict[str, Any]) -> bool:
    return bool(d["annotations"] or d.get("queries"))


def _equal(files: Sequence[str]) -> str:
    return " = ".join(f"'{file}'" for file in files)
