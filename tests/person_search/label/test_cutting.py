"""Where tracks are cut and joined, and what is learnt for it; features of angles in a plane."""

import numpy as np
import pytest

from person_search.label import cutting
from person_search.label.cutting import Limits, Track, cut_and_join, find_clear, join, learn_limits
from person_search.label.detections import Detections

LIMITS = Limits(quiet=0.2, suspicious=0.7, join=0.9)


def made(angles, frames=None, boxes=None, scores=None):
    """A recording of one track; a feature has the angle in degrees."""
    count = len(angles)
    radians = np.radians(angles)
    return Detections(
        np.arange(count) if frames is None else np.array(frames),
        np.tile([40.0, 10, 60, 60], (count, 1)) if boxes is None else np.array(boxes, float),
        np.full(count, 0.9) if scores is None else np.array(scores),
        np.stack([np.cos(radians), np.sin(radians)], axis=1),
        np.zeros((count, 4), bool),
    )


def track(found, fps=5):
    rows = np.arange(len(found.frames))
    clear = rows[found.scores >= 0.5]
    return Track(rows, clear, found, np.arange(100) / fps)


def parts(found, limits=LIMITS):
    return [rows.tolist() for rows in track(found).cut(limits)]


def test_similarities_are_of_the_second_before_and_behind():
    """Five frames a second: of the last place, 6 (0 and 1 s before) against the last one."""
    found = made([0, 0, 90, 90, 90, 90, 90, 90, 0])
    got = track(found).similarities
    # the means of (0, 0, 90 * 5) and of (0): angle of (2, 5) against 0; then (0, 90 * 6)...
    before = {1: (2, 0), 6: (1, 5), 7: (0, 6)}
    behind = {1: (0, 6), 6: (1, 1), 7: (1, 0)}
    for place, a in before.items():
        b = behind[place]
        expected = np.dot(a, b) / np.linalg.norm(a) / np.linalg.norm(b)
        assert got[place] == pytest.approx(expected), place


def test_a_change_between_consecutive_frames_is_cut_where_it_is_greatest():
    assert parts(made([0] * 8 + [90] * 8)) == [list(range(8)), list(range(8, 16))]
    # 60 degrees is a similarity of 0.5: no reason by itself, but one behind a gap
    assert parts(made([0] * 8 + [60] * 8)) == [list(range(16))]
    frames = [*range(8), *range(11, 19)]
    assert parts(made([0] * 8 + [60] * 8, frames)) == [list(range(8)), list(range(8, 16))]


def test_what_is_unclear_at_a_cut_belongs_to_neither_part():
    scores = [0.9] * 8 + [0.3] * 3 + [0.9] * 8
    angles = [0] * 8 + [30] * 3 + [60] * 8
    assert parts(made(angles, scores=scores)) == [list(range(8)), list(range(11, 19))]
    assert parts(made([0] * 19, scores=scores)) == [list(range(19))]


def test_a_long_time_without_a_clear_view_is_a_cut_unless_they_look_alike():
    scores = [0.9] * 6 + [0.3] * 8 + [0.9] * 6
    assert parts(made([0] * 6 + [40] * 14, scores=scores)) == [
        list(range(6)),
        list(range(14, 20)),
    ]
    assert parts(made([0] * 20, scores=scores)) == [list(range(20))]


def test_ends_without_a_clear_view_are_a_second_long_at_most():
    scores = [0.3] * 9 + [0.9] * 4 + [0.3] * 9
    assert track(made([0] * 22, scores=scores)).rows.tolist() == list(range(4, 18))


def test_who_is_clear():
    boxes = [(40, 10, 60, 60), (45, 12, 65, 62), (100, 0, 120, 50), (0, 0, 9, 50)]
    found = made([0] * 4, frames=[0] * 4, boxes=boxes, scores=[0.9, 0.8, 0.3, 0.9])
    at_border = np.zeros((4, 4), bool)
    at_border[3, 0] = at_border[1, 3] = True  # feet may be cut off, sides not
    # the first is covered to 15 * 48 / 1000 by the second, whose feet are lower
    assert find_clear(found._replace(at_border=at_border), 0.5).tolist() == [
        *(False, True, False, False)
    ]


def test_limits_separate_one_person_from_two(monkeypatch):
    monkeypatch.setattr(cutting, "MIN_PAIRS", 1)
    one = track(made([0, 0, 0, 20, 20, 20]))
    two = track(made([70, 70, 70]))
    limits = learn_limits([one, two])
    within = np.concatenate([one.similarities, two.similarities])
    between = float(one.feature @ two.feature)
    assert limits.suspicious == within.min() > between
    assert limits.join == limits.suspicious and limits.quiet <= limits.suspicious
    # nobody else was there to compare with: only what is rare within tracks is a change
    monkeypatch.setattr(cutting, "MIN_PAIRS", 2)
    assert learn_limits([one, two]).join == np.inf
    assert learn_limits([track(made([0]))]) == Limits(-1, -1, np.inf)


def moved(x, y=10, height=50):
    return (x, y, x + 20, y + height)


def joined(second, angle=0, gap=2):
    """How many tracks become of one that ends in frame 4, and one that starts ``gap`` later."""
    boxes = [moved(40)] * 5 + [second] * 5
    frames = [*range(5), *range(4 + gap, 9 + gap)]
    found = made([0] * 5 + [angle] * 5, frames, boxes)
    times = np.arange(100) / 5
    halves = [np.arange(5), np.arange(5, 10)]
    return len(join([Track(rows, rows, found, times) for rows in halves], found, times, 0.9))


def test_parts_are_joined_if_they_follow_look_alike_and_are_near():
    assert joined(moved(50)) == 1
    assert joined(moved(50), angle=40) == 2
    assert joined(moved(150)) == 2  # 110 pixels in 0.4 s
    assert joined(moved(150), gap=9) == 1  # in 1.8 s, of a person 50 high: (0.3 + 1.2 * 1.8) * 50
    assert joined(moved(50), gap=11) == 2  # longer than 2 s
    assert joined(moved(50, height=90)) == 2
    assert joined(moved(50), gap=0) == 2, "both in one frame"


def test_the_most_similar_are_joined_first():
    """Two side by side, of whom each could be followed by either: 0 and 20 degrees."""
    boxes = [moved(40)] * 3 + [moved(50)] * 3 + [moved(45)] * 3 + [moved(55)] * 3
    found = made([0] * 3 + [20] * 3 + [20] * 3 + [0] * 3, [0, 1, 2] * 2 + [4, 5, 6] * 2, boxes)
    first, second, third, fourth = np.arange(12).reshape(4, 3)
    tracks = [Track(r, r, found, np.arange(9) / 5) for r in (first, second, third, fourth)]
    result = join(tracks, found, np.arange(9) / 5, 0.9)
    assert [rows.tolist() for rows in result] == [[*first, *fourth], [*second, *third]]


def test_two_persons_in_one_track_are_told_apart_by_those_seen_beside_them():
    """A track that changes from one to the other, among many of both."""
    frames, angles, boxes, tracks = [], [], [], []
    for pair in range(12):
        for who in range(2):
            is_mixed = (pair, who) == (6, 0)
            tracks.append(np.arange(12) + len(frames))
            frames += range(40 * pair, 40 * pair + 12)
            angles += [90 * who] * 6 + [90 * (who + is_mixed)] * 6
            boxes += [moved(40 + 100 * who)] * 12
    order = np.argsort(frames, kind="stable")
    place = np.argsort(order)
    found = made(angles, frames, boxes).take(order)
    result = cut_and_join([place[t] for t in tracks], found, np.arange(480) / 5, 0.5)
    assert len(result) == 25
    assert all(len(set(found.features[rows, 0].round(3))) == 1 for rows in result)
