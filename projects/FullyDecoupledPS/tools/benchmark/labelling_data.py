"""A made-up labelling project, and its truth."""

from argparse import Namespace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from person_search.label.records import NewRecording, NewTracklet, ProjectInfo
from person_search.label.relations import update_relations
from person_search.label.store import FILE_NAME, ProjectFile

from .labelling_truth import NOBODY, Truth

SECONDS = 7200  # of each camera's recording, with a frame a second
LENGTH = 12  # frames of a tracklet
VIEWS = (0, 2, 4, 7, 9, 11)


class Crowd(NamedTuple):
    """How persons look: lengths of what is added to a person's own direction of length 1."""

    of_camera: float = 0.5  # of a person in a camera
    of_tracklet: float = 1.3
    of_view: float = 0.5
    common: float = 0.7  # of all persons in a camera
    quality: float = 0.35  # tracklets differ: sigma of the logarithm of their own part


def _directions(rng, rows: int, dim: int) -> np.ndarray:
    """(rows, dim) of about length 1; some directions tell more than others, as in real features."""
    scale = np.arange(1, dim + 1) ** -0.35
    return (rng.standard_normal((rows, dim)) * scale / np.linalg.norm(scale)).astype(np.float32)


def make_features(rng, crowd: Crowd, who, cameras, dim: int) -> np.ndarray:
    """(T, V, D) of the views of tracklets.

    Args:
        who: (T, V) identities; NOBODY: something that looks like no person.
        cameras: (T,).
    """
    persons = _directions(rng, who.max() + 1, dim)
    in_camera = crowd.of_camera * _directions(rng, (who.max() + 1) * (cameras.max() + 1), dim)
    common = crowd.common * _directions(rng, cameras.max() + 1, dim)
    quality = np.exp(crowd.quality * rng.standard_normal(len(who)))[:, None]
    own = crowd.of_tracklet * quality * _directions(rng, len(who), dim)
    found = np.empty((*who.shape, dim), dtype=np.float32)
    for view in range(who.shape[1]):
        is_person = (who[:, view] != NOBODY)[:, None]
        looks = persons[who[:, view]] + in_camera[who[:, view] * (cameras.max() + 1) + cameras]
        noise = crowd.of_view * _directions(rng, len(who), dim)
        found[:, view] = is_person * looks + own * (2 - is_person) + noise + common[cameras]
    return found / np.linalg.norm(found, axis=2, keepdims=True)


def draw_crowd(rng, tracklets: int, persons: int, cameras: int, impure: float, nobody: float):
    """(T, LENGTH) identities of boxes, (T,) cameras and (T,) first seconds."""
    weights = np.exp(0.7 * rng.standard_normal(persons))
    who = rng.choice(persons, tracklets, p=weights / weights.sum())
    camera = rng.integers(cameras, size=tracklets)
    # nobody is in two places at once
    start = np.empty(tracklets, dtype=np.int64)
    for person in range(persons):
        some = np.flatnonzero(who == person)
        slots = SECONDS // (2 * LENGTH)
        at = rng.choice(slots, len(some), replace=len(some) > slots)
        start[some] = at * 2 * LENGTH + rng.integers(LENGTH - 2, size=len(some))
    boxes = np.repeat(who[:, None], LENGTH, axis=1)
    for row in np.flatnonzero(rng.random(tracklets) < impure):
        boxes[row, rng.integers(3, LENGTH - 2) :] = rng.integers(persons)
    boxes[rng.random(tracklets) < nobody] = NOBODY
    return boxes, camera, start


def make_project(folder: Path, args: Namespace) -> tuple[ProjectFile, Truth]:
    """Write a project without pictures.

    Args:
        args: tracklets, persons, cameras, impure, nobody, noise, dim, seed.
    """
    rng = np.random.default_rng(args.seed)
    boxes, camera, start = draw_crowd(
        rng, args.tracklets, args.persons, args.cameras, args.impure, args.nobody
    )
    features = make_features(rng, Crowd(of_tracklet=args.noise), boxes[:, VIEWS], camera, args.dim)
    project = ProjectFile(folder / FILE_NAME)
    project.set_info(ProjectInfo("0" * 64, args.dim, "benchmark", "", 1.0))
    truth = Truth({}, {})
    for number in range(args.cameras):
        rows = np.flatnonzero(camera == number)
        ids = project.add_recording(_recording(number, rows, start, features))
        for tracklet_id, row in zip(ids, rows):
            times = np.arange(start[row], start[row] + LENGTH, dtype=float)
            truth.boxes[tracklet_id] = (times, boxes[row])
            truth.views[tracklet_id] = boxes[row, VIEWS].tolist()
    update_relations(project)
    return project, truth


def _recording(number: int, rows, start, features) -> NewRecording:
    name = f"camera {number + 1}"
    frames = [("/made-up/" + name, s, None, float(s), float(s), 640, 480) for s in range(SECONDS)]
    new = [
        NewTracklet(
            np.arange(start[row], start[row] + LENGTH),
            np.tile(np.float32([0, 0, 40, 80]), (LENGTH, 1)),
            np.full(LENGTH, 0.9),
            np.zeros(LENGTH, dtype=bool),
            VIEWS,
            features[row],
            (b"",) * len(VIEWS),
        )
        for row in rows
    ]
    pairs = _simultaneous(rows, start)
    return NewRecording("/made-up/" + name, name, "", True, frames, new, [], pairs)


def _simultaneous(rows, start) -> list[tuple[int, int, float, float]]:
    """Pairs of one camera's tracklets, as places in ``rows``, whose times overlap."""
    found, running = [], []
    for place in np.argsort(start[rows], kind="stable").tolist():
        first = start[rows[place]]
        running = [p for p in running if start[rows[p]] + LENGTH > first]
        for other in running:
            last = start[rows[other]] + LENGTH - 1
            found.append((*sorted((other, place)), float(first), float(last)))
        running.append(place)
    return found


def rank_1(project: ProjectFile, truth: Truth) -> float:
    """Share of the tracklets whose most similar one of another camera shows the same person."""
    camera_of = {t.tracklet_id: t.camera for t in project.tracklets()}
    right = []
    for tracklet_id, (ids, _) in project.neighbors().items():
        others = [i for i in ids.tolist() if camera_of[i] != camera_of[tracklet_id]]
        if others and truth.views[tracklet_id][0] != NOBODY:
            right.append(truth.views[tracklet_id][0] == truth.views[others[0]][0])
    return float(np.mean(right))
