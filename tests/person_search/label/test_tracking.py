"""Tracklets of hand-made detections: who is linked, who is cut, and what is no tracklet."""

import numpy as np
import pytest

from person_search.label.detections import Detections
from person_search.label.tracking import duplicates, sure_tracklets, track

pytest.importorskip("trackers")

FPS = 5
A, B, C = np.eye(8)[:3]


def walker(frames, x, step, feature, score=0.9, size=(20, 50)):
    """Rows of somebody who walks along; ``x``: where in frame 0."""
    return [
        (f, (x + step * f, 30.0, x + step * f + size[0], 30.0 + size[1]), score, feature)
        for f in frames
    ]


def detections(*persons):
    rows = sorted((row for person in persons for row in person), key=lambda row: row[0])
    frames, boxes, scores, features = zip(*rows)
    border = np.zeros((len(frames), 4), bool)
    return Detections(*map(np.array, (frames, boxes, scores, features, border)))


def tracklets(*persons, fps=FPS):
    """Of each tracklet its frames, and the features in it."""
    found = detections(*persons)
    times = np.arange(found.frames.max() + 1) / fps
    return [
        (found.frames[rows].tolist(), {int(f.argmax()) for f in found.features[rows]})
        for rows in track(found, times, score_thresh=0.5)
    ]


def test_two_who_pass_one_another_are_two_tracklets():
    frames = range(20)
    found = tracklets(walker(frames, 0, 8, A), walker(frames, 200, -8, B, size=(22, 60)))
    assert sorted(found, key=lambda t: t[1]) == [(list(frames), {0}), (list(frames), {1})]


def test_a_short_gap_is_bridged_and_a_long_one_ends_the_tracklet():
    seen = [0, 1, 2, 3, 4, 5, 9, 10, 11, 12]
    assert tracklets(walker(seen, 0, 4, A)) == [(seen, {0})]
    seen = [0, 1, 2, 3, 4, 5, 20, 21, 22, 23]
    assert tracklets(walker(seen, 0, 4, A)) == [(seen[:6], {0}), (seen[6:], {0})]


def test_somebody_else_in_the_same_place_is_a_tracklet_of_their_own():
    """A is covered by B, who goes on: the boxes follow one another as if they were one person's."""
    before, behind = range(12), range(12, 24)
    other = walker(range(24), 400, 2, C)
    found = tracklets(walker(before, 0, 3, A), walker(behind, 0, 3, B), other)
    assert (list(before), {0}) in found and (list(behind), {1}) in found


def test_a_worse_box_of_the_same_person_is_left_out():
    frames = range(6)
    person = walker(frames, 0, 4, A)
    again = [(f, tuple(np.add(box, (1, 2, 1, 0))), 0.6, feature) for f, box, _, feature in person]
    assert tracklets(person, again) == [(list(frames), {0})]
    found = detections(person, again)
    assert duplicates(found).tolist() == [s == 0.6 for s in found.scores]


def test_a_low_score_continues_a_tracklet_and_begins_none():
    frames = range(8)
    person = [
        (f, box, 0.2 if f in (3, 4, 7) else 0.9, feature)
        for f, box, _, feature in walker(frames, 0, 4, A)
    ]
    shadow = walker(frames, 300, 0, B, score=0.3)
    assert tracklets(person, shadow) == [(list(frames), {0})]


def test_who_is_seen_once_is_a_tracklet_only_where_frames_are_rare():
    once = [*walker([3], 0, 0, A), *walker(range(8), 300, 1, B)]
    assert [frames for frames, _ in tracklets(once)] == [list(range(8))]
    assert ([3], {0}) in tracklets(once, fps=1)
    # nothing is linked across minutes
    assert len(tracklets(once, fps=1 / 60)) == 9


def test_a_walker_is_followed_at_one_frame_a_second():
    frames = range(6)
    assert tracklets(walker(frames, 0, 45, A), fps=1) == [(list(frames), {0})]


@pytest.mark.parametrize("times", [[], [0.0]])
def test_a_recording_without_anybody(times):
    nobody = detections(walker([0], 0, 0, A)).take(np.zeros(0, int))
    assert track(nobody, np.array(times), 0.5) == []


def test_tracklets_of_low_scores_are_left_out():
    scores = np.array([0.9, 0.9, 0.8, 0.7, 0.6, 0.5])
    first, second, third = np.array([0, 1]), np.array([2, 3]), np.array([4, 5])
    # means 0.9, 0.75, 0.55; most reach 0.825, of which 0.7 is 0.5775
    kept = sure_tracklets([third, first, second], scores)
    assert [rows.tolist() for rows in kept] == [[0, 1], [2, 3]]
    assert sure_tracklets([], scores) == []
