"""A recording's tracklets as a project gets them: gaps filled, views chosen, pairs told apart."""

import numpy as np

from person_search.label.detections import Detections
from person_search.label.tracklets import find_simultaneous, new_tracklet


def detections(frames, boxes):
    count = len(frames)
    return Detections(
        *(np.array(frames), np.array(boxes, float), np.full(count, 0.9)),
        features=np.eye(count, dtype=np.float16),
        at_border=np.zeros((count, 4), bool),
    )


def test_a_short_gap_is_filled_and_a_longer_one_is_not():
    boxes = [(0, 0, 10, 20), (30, 0, 40, 26), (90, 0, 100, 20)]
    found = detections([0, 3, 9], boxes)
    times = [0.2 * i for i in range(10)]
    new = new_tracklet(np.arange(3), [0, 2], found, times, (b"a", b"b"))
    assert new.frames.tolist() == [0, 1, 2, 3, 9]
    assert new.is_interpolated.tolist() == [False, True, True, False, False]
    np.testing.assert_allclose(new.boxes[1:3], [(10, 0, 20, 22), (20, 0, 30, 24)])
    assert new.scores.tolist() == [0.9, 0, 0, 0.9, 0.9]
    assert new.view_rows == (0, 4)
    np.testing.assert_array_equal(new.view_features, np.eye(3)[[0, 2]])


def test_interpolation_follows_the_time_and_not_the_number_of_frames():
    found = detections([0, 2], [(0, 0, 10, 20), (80, 0, 90, 20)])
    new = new_tracklet(np.arange(2), [0], found, [0.0, 0.2, 0.8], (b"a",))
    np.testing.assert_allclose(new.boxes[1], (20, 0, 30, 20))


def test_who_is_apart_in_one_frame_is_somebody_else():
    """0 and 1 pass one another; 2 is the upper body of 0, and apart from it once."""
    frames = [0, 0, 0, 1, 1, 1, 2, 2, 2]
    boxes = [
        *[(0, 0, 10, 40), (50, 0, 60, 40), (0, 0, 10, 20)],
        *[(20, 0, 30, 40), (22, 0, 32, 40), (20, 0, 30, 20)],
        *[(40, 0, 50, 40), (0, 0, 10, 40), (60, 0, 70, 20)],
    ]
    tracks = [np.array([0, 3, 6]), np.array([1, 4, 7]), np.array([2, 5, 8])]
    found = find_simultaneous(tracks, detections(frames, boxes), [5.0, 6.0, 7.0], 0.5)
    assert found == [(0, 1, 5.0, 7.0), (1, 2, 5.0, 7.0)]
    # a detection of a low score may be of anything
    doubtful = detections(frames, boxes)._replace(scores=np.full(9, 0.4))
    assert find_simultaneous(tracks, doubtful, [5.0, 6.0, 7.0], 0.5) == []
