"""A project's file gives back what was put into it, and keeps every decision."""

import subprocess
import sys

import numpy as np
import pytest

from person_search.errors import UserError
from person_search.label.records import (
    SAME,
    Box,
    NewRecording,
    NewTracklet,
    ProjectInfo,
    Simultaneous,
    Tracklet,
    View,
)
from person_search.label.store import FILE_NAME, ProjectFile, open_project

INFO = ProjectInfo("f" * 64, 4, "model", "", 5.0)


def new_tracklet(frames=(0, 1, 2)) -> NewTracklet:
    """Seen in its first and last frame; four values a feature."""
    count = len(frames)
    between = np.array([0 < i < count - 1 for i in range(count)])
    boxes = np.array([[10.0 * i, 0, 10 * i + 5, 20] for i in frames])
    scores = np.where(between, 0, 0.5)
    crops = (b"first", b"last")
    return NewTracklet(
        np.array(frames), boxes, scores, between, (0, count - 1), np.eye(4)[:2], crops
    )


def new_recording(path="/videos/a.mp4", tracklets=1, frames=4) -> NewRecording:
    rows = [(path, 10 * i, 7, 100.0 + i, float(i), 640, 480) for i in range(frames)]
    others = [(1, (1.0, 2.0, 3.0, 4.0), 0.25)]
    return NewRecording(
        path, "door \udc80", "hash", True, rows, [new_tracklet() for _ in range(tracklets)], others
    )


@pytest.fixture
def project(tmp_path):
    with_file = ProjectFile(tmp_path / FILE_NAME)
    with_file.set_info(INFO)
    yield with_file
    with_file.close()


def test_a_recording_is_given_back_as_it_was_added(project):
    assert project.add_recording(new_recording(tracklets=2)) == [1, 2]

    assert [r.camera for r in project.recordings()] == ["door \udc80"]
    first, second = project.tracklets()
    assert first == Tracklet(1, 1, "door \udc80", 100.0, 102.0, 3, (100.0, 102.0))
    assert second.tracklet_id == 2
    assert project.views(1)[1] == View(1, 1, 3, 102.0, (20.0, 0.0, 25.0, 20.0), 0.5)
    assert project.crop(2, 1) == b"last"
    ids, numbers, features = project.view_features()
    assert ids.tolist() == [1, 1, 2, 2] and numbers.tolist() == [0, 1, 0, 1]
    np.testing.assert_array_equal(features, np.tile(np.eye(4)[:2], (2, 1)))
    in_second_frame = project.boxes_of_frames([2])
    assert [(b.tracklet_id, b.is_interpolated) for b in in_second_frame] == [
        *((1, True), (2, True), (0, False))
    ]
    assert in_second_frame[2] == Box(7, 2, 0, (1.0, 2.0, 3.0, 4.0), 0.25, False)
    assert [f.time for f in project.frames()] == [100.0, 101.0, 102.0, 103.0]
    assert project.frames([3])[0].pts == 20


def test_pairs_are_added_with_their_recording(project):
    pairs = [(0, 2, 101.0, 102.0)]
    project.add_recording(new_recording(tracklets=1))
    project.add_recording(new_recording("/b", 3)._replace(simultaneous=pairs))
    assert project.simultaneous() == [Simultaneous(2, 4, 101.0, 102.0, True)]
    between = Simultaneous(1, 3, 101.0, 103.0, False)
    project.set_between_cameras([Simultaneous(1, 4, 1.0, 2.0, False)])
    project.set_between_cameras([between])
    assert sorted(project.simultaneous()) == [between, Simultaneous(2, 4, 101.0, 102.0, True)]


def test_a_project_without_anybody(project):
    ids, numbers, features = project.view_features()
    assert len(ids) == len(numbers) == len(features) == 0
    assert project.tracklets() == project.simultaneous() == [] and project.neighbors() == {}


def test_the_frames_around_one_are_of_its_recording_and_may_be_shown(project):
    for path in ("/videos/a.mp4", "/videos/b.mp4"):
        project.add_recording(new_recording(path, frames=6))

    def around(frame_id, count):
        return [frame.frame_id for frame in project.frames_around(frame_id, count)]

    assert around(9, 1) == [8, 9, 10] and around(9, 9) == [7, 8, 9, 10, 11, 12]
    assert around(7, 1) == [7, 8] and around(12, 2) == [10, 11, 12]
    assert around(99, 5) == []
    project._run("UPDATE frames SET is_withheld = 1 WHERE frame_id IN (8, 9)")
    assert around(9, 1) == [7, 10]


def test_a_recording_that_fails_halfway_leaves_nothing(project):
    broken = new_recording()._replace(others=[(99, (0, 0, 1, 1), 0.5)])
    with pytest.raises(IndexError):
        project.add_recording(broken)
    assert not (project.recordings() or project.tracklets() or project.frames())


def test_what_is_known_of_pairs_lasts(project, tmp_path):
    project.add_recording(new_recording(tracklets=2))
    pair = Simultaneous(1, 2, 100.0, 102.0, True)
    project.add_simultaneous([pair])
    project.set_neighbors({1: (np.array([2]), np.array([0.75]))})
    project.set_overlaps([frozenset(("a", "b \udc80"))])
    again = open_project(tmp_path)
    assert again.info() == INFO
    assert again.simultaneous() == [pair]
    ids, similarities = again.neighbors()[1]
    assert ids.tolist() == [2] and similarities.tolist() == [0.75]
    assert again.overlaps() == {frozenset(("a", "b \udc80"))}
    again.close()


def test_a_decision_is_made_once(project):
    first = project.decide("token", "page", SAME, {"a": 1, "b": 2})
    assert project.decide("token", "page", SAME, {"a": 1, "b": 3}) == first
    second = project.decide("another", "page", SAME, {"a": 1, "b": 3})
    assert (first.number, second.number) == (1, 2)
    assert project.decisions() == [first, second]


# Decides, says so, and is killed before it can close anything.
DECIDE_AND_DIE = """
import os, signal, sys
from pathlib import Path
from person_search.label.store import FILE_NAME, ProjectFile
project = ProjectFile(Path(sys.argv[1]) / FILE_NAME)
number = 0
while True:
    project.decide(str(number), "page", "same", {"a": 1, "b": 2})
    print(number, flush=True)
    number += 1
"""


def test_no_acknowledged_decision_is_lost_by_a_kill(project, tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", DECIDE_AND_DIE, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as process:
        acknowledged = [int(process.stdout.readline()) for _ in range(20)]
        process.kill()
        acknowledged += [int(line) for line in process.stdout]
    tokens = [d.token for d in project.decisions()]
    assert tokens[: len(acknowledged)] == [str(n) for n in acknowledged]
    assert len(tokens) - len(acknowledged) in (0, 1)  # one that was made and not yet told


def test_no_project_and_another_version_are_told(project, tmp_path):
    with pytest.raises(UserError, match="there is no project"):
        open_project(tmp_path / "elsewhere")
    project.set_info(INFO._replace(version=2))
    with pytest.raises(UserError, match="version 2"):
        open_project(tmp_path)
