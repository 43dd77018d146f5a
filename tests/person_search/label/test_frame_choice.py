"""Frames are chosen by what they add: cases whose gains are worked by hand."""

import random
from collections import Counter

import pytest

from person_search.label.frame_choice import Candidate, choose_frames, spread_order, thin_out


def frames(*rows):
    return [Candidate(camera, time, frozenset(persons)) for camera, time, persons in rows]


def test_near_duplicates_are_left_out_in_each_camera_by_itself():
    times = [("door", 0.0), ("yard", 0.2), ("door", 0.4), ("door", 0.8), ("door", 1.0)]
    times += [("yard", 1.1), ("yard", 1.3), ("door", 1.9)]
    # door: 0.0, then 1.0 (0.4 and 0.8 are too near), 1.9 is too near; yard: 0.2, then 1.3
    assert thin_out(times) == [0, 1, 4, 6]


def test_the_order_of_the_frames_does_not_matter_but_their_times_do():
    assert thin_out([("door", 5.0), ("door", 4.5), ("door", 3.9)]) == [2, 0]


def test_the_frame_with_most_new_persons_comes_first():
    """Gains at first: 1 + 1, 3 + 1, 2 + 1 (the camera's hour counts 1).

    Then, with 1, 2 and 3 chosen once: the first 1/2 + 1/2 = 1, the last 1/2 + 1 + 1/2 = 2.
    """
    candidates = frames(("a", 0, {1}), ("a", 1, {1, 2, 3}), ("a", 2, {2, 4}))
    assert choose_frames(candidates, 3) == [1, 2, 0]
    assert choose_frames(candidates, 2) == [1, 2]


def test_each_hour_and_camera_has_its_share():
    """Person 1 in ten frames of one hour of camera a, one of its next hour, one of camera b.

    Seen by two cameras, each frame's gain is 1 / (1 + n) + 1 / (1 + n of the camera) + that of the
    hour. The first is any (3); then b's: 1/2 + 1 + 1 = 2.5; then a's other hour: 1/3 + 1/2 + 1.
    """
    rows = [("a", second, {1}) for second in range(10)]
    candidates = frames(*rows, ("a", 3600, {1}), ("b", 20, {1}))
    chosen = choose_frames(candidates, 3)
    assert chosen[0] in range(11) and chosen[1] == 11
    assert {chosen[0], chosen[2]} & set(range(10)) and 10 in (chosen[0], chosen[2])


def test_of_equal_gains_frames_far_apart_are_taken():
    candidates = frames(*[("a", second, {1}) for second in range(9)])
    assert choose_frames(candidates, 4) == [0, 8, 4, 2]


def test_no_more_than_there_are():
    assert choose_frames([], 5) == []
    assert sorted(choose_frames(frames(("a", 0, ()), ("b", 0, ())), 5)) == [0, 1]


@pytest.mark.parametrize("count", [1, 2, 7, 16, 100])
def test_any_beginning_of_the_order_is_spread(count):
    order = spread_order(count)
    assert sorted(order) == list(range(count))
    if count == 100:
        assert Counter(i // 25 for i in order[:40]).most_common()[-1][1] >= 8


def plain_choice(candidates, count):
    """The definition: in each step the gains of all, in fractions that are summed anew."""
    cameras = {}
    for c in candidates:
        for p in c.persons:
            cameras.setdefault(p, set()).add(c.camera)
    order, chosen = spread_order(len(candidates)), []

    def gain(i):
        c, taken = candidates[i], [candidates[j] for j in chosen]
        own = [t for t in taken if t.camera == c.camera]
        total = 1 / (1 + sum(t.time // 3600 == c.time // 3600 for t in own))
        for p in c.persons:
            total += 1 / (1 + sum(p in t.persons for t in taken))
            if len(cameras[p]) > 1:
                total += 1 / (1 + sum(p in t.persons for t in own))
        return total

    while len(chosen) < min(count, len(candidates)):
        left = [i for i in order if i not in chosen]
        best = max(round(gain(i), 9) for i in left)
        chosen.append(next(i for i in left if round(gain(i), 9) == best))
    return chosen


def test_it_is_the_greedy_choice_by_definition():
    generator = random.Random(0)
    for _ in range(20):
        rows = [
            (
                generator.choice("ab"),
                time * 900,
                generator.sample(range(6), generator.randint(0, 3)),
            )
            for time in range(14)
        ]
        candidates = frames(*rows)
        got, wanted = choose_frames(candidates, 8), plain_choice(candidates, 8)
        assert got == wanted
