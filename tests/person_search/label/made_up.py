"""Logs and projects made up for tests of labelling."""

from pathlib import Path

import numpy as np

from person_search.label.records import (
    Decision,
    NewRecording,
    NewTracklet,
    ProjectInfo,
    Simultaneous,
    Tracklet,
)
from person_search.label.store import FILE_NAME, ProjectFile


def tracklet(tracklet_id: int, start: float = 0.0, views: int = 4, camera="door") -> Tracklet:
    """With a view each ten seconds, from its first moment to its last."""
    times = tuple(start + 10.0 * i for i in range(views))
    return Tracklet(tracklet_id, 1, camera, times[0], times[-1], views, times)


def log(*entries: tuple[str, dict]) -> list[Decision]:
    """Decisions 1, 2, ... of kinds and payloads."""
    return [
        Decision(number, str(number), 0.0, "test", kind, payload)
        for number, (kind, payload) in enumerate(entries, 1)
    ]


def pair(a: int, b: int) -> dict[str, int]:
    return {"a": a, "b": b}


def make_project(
    path: Path, features: list[np.ndarray], simultaneous=(), cameras: int = 1, folder: str = ""
) -> ProjectFile:
    """A tracklet for each item of ``features``, (V, D) of its views, one in each camera in turn.

    Tracklet i (from 1) is seen in frames 0 to 2V - 2 of its camera, a frame a second; its views
    are the even frames. All neighbours of all are stored.
    """
    project = ProjectFile(path / FILE_NAME)
    project.set_info(ProjectInfo("f" * 64, features[0].shape[1], "model", "", 1.0))
    for camera in range(cameras):
        some = features[camera::cameras]
        video = f"{folder}/{camera}.mp4"
        frames = [(video, i, None, float(i), float(i), 640, 480) for i in range(20)]
        new = [_new_tracklet(views) for views in some]
        others = [(1, (600.0, 400.0, 620.0, 440.0), 0.25)]
        project.add_recording(
            NewRecording(video, f"camera {camera}", "", True, frames, new, others)
        )
    project.add_simultaneous([Simultaneous(*one) for one in simultaneous])
    ids = np.array([t.tracklet_id for t in project.tracklets()])
    nothing = np.zeros(len(ids) - 1, dtype=np.float32)
    project.set_neighbors({int(i): (ids[ids != i], nothing) for i in ids})
    return project


def _new_tracklet(views: np.ndarray) -> NewTracklet:
    count = 2 * len(views) - 1
    boxes = np.array([[10.0 * i, 0, 10 * i + 5, 20] for i in range(count)])
    return NewTracklet(
        *(np.arange(count), boxes, np.full(count, 0.5), np.zeros(count, dtype=bool)),
        *(tuple(range(0, count, 2)), views, (b"",) * len(views)),
    )
