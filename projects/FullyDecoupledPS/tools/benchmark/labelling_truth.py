"""The truth of a project: who is in its boxes, by the ground truth of its recordings."""

from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from fully_decoupled_ps.errors import UserError
from person_search.label.overlap import pairwise_iou
from person_search.label.records import Box
from person_search.label.store import ProjectFile

NOBODY = -1
# One that is too far off to tell whose box it is, and not off enough to be nobody's; or that is as
# much another person's, who stands behind.
INEXACT = -2
# Of a box with its person's, and of one that is recognisable in it.
LEAST_IOU = 0.5
VISIBLE_IOU = 0.2
# By which a box has to be its person's more than another's.
LEAST_LEAD = 0.2


class Truth(NamedTuple):
    """Who is in the boxes and views of each tracklet; NOBODY in those of nobody.

    A box that overlaps a person with less than LEAST_IOU is INEXACT if that is at least
    VISIBLE_IOU, and so is one that overlaps another person by as much, but for LEAST_LEAD; in a
    view, whom it overlaps most is seen.
    """

    boxes: dict[int, tuple[np.ndarray, np.ndarray]]  # (N,) times, (N,) identities
    views: dict[int, list[int]]


def read_truth(project: ProjectFile, folder: Path) -> Truth:
    """Match all boxes of tracklets with the ground truth, frame by frame.

    Args:
        folder: CAM/gt/gt.txt and CAM/seqinfo.ini in MOT layout, CAM the name of the folder that
            a recording is in; identities are the same in all.
    """
    boxes: dict[int, list[tuple[float, int, int]]] = defaultdict(list)
    frames_of: dict[str, list] = defaultdict(list)
    for frame in project.frames():
        frames_of[Path(frame.path).parent.name].append(frame)
    for name, frames in frames_of.items():
        rate, truth = _read_mot(folder / name)
        found = defaultdict(list)
        for box in project.boxes_of_frames([frame.frame_id for frame in frames]):
            found[box.frame_id].append(box)
        for frame in frames:
            known = truth.get(round(frame.offset * rate) + 1, [])
            for box, *identities in _match(found[frame.frame_id], known):
                boxes[box.tracklet_id].append((frame.time, *identities))
    boxes.pop(0, None)
    tables = {i: tuple(map(np.array, zip(*sorted(rows)))) for i, rows in boxes.items()}
    views = {}
    for tracklet in project.tracklets():
        times, _, seen = tables[tracklet.tracklet_id]
        views[tracklet.tracklet_id] = seen[np.searchsorted(times, tracklet.view_times)].tolist()
    return Truth({i: rows[:2] for i, rows in tables.items()}, views)


def _read_mot(folder: Path) -> tuple[float, dict[int, list[tuple[int, np.ndarray]]]]:
    """Frames per second, and by frame number the identities with their x0, y0, x1, y1."""
    try:
        lines = (folder / "seqinfo.ini").read_text().splitlines()
        rate = next(float(line.split("=")[1]) for line in lines if line.startswith("frameRate"))
        rows = np.loadtxt(folder / "gt" / "gt.txt", delimiter=",", ndmin=2)
    except (OSError, ValueError, StopIteration) as error:
        raise UserError(f"--truth: {folder} has no seqinfo.ini and gt/gt.txt ({error})") from error
    truth = defaultdict(list)
    for number, identity, x, y, width, height in rows[:, :6].tolist():
        truth[int(number)].append((int(identity), np.array([x, y, x + width, y + height])))
    return rate, truth


def _match(found: list[Box], known: list[tuple[int, np.ndarray]]) -> list[tuple[Box, int, int]]:
    """Each box with its identity, one to one with the largest overlap in all, and who is seen."""
    if not (found and known):
        return [(box, NOBODY, NOBODY) for box in found]
    overlaps = pairwise_iou(np.array([b.box for b in found]), np.stack([box for _, box in known]))
    names = np.array([identity for identity, _ in known])
    seen = np.where(overlaps.max(axis=1) >= VISIBLE_IOU, names[overlaps.argmax(axis=1)], NOBODY)
    identities = np.where(seen == NOBODY, NOBODY, INEXACT)
    for row, column in zip(*linear_sum_assignment(-overlaps * (overlaps >= LEAST_IOU))):
        if overlaps[row, column] >= LEAST_IOU:
            seen[row] = names[column]
            lead = overlaps[row, column] - np.delete(overlaps[row], column).max(initial=0)
            identities[row] = names[column] if lead >= LEAST_LEAD else INEXACT
    return list(zip(found, identities.tolist(), seen.tolist()))
