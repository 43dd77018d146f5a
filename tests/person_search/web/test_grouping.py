"""Hits by camera and time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from person_search.index import Frame, Hit, Person
from person_search.web.grouping import group_hits


def make_hits(places):
    """Hits at (camera, time), the best first."""
    hits = []
    for rank, (camera, time) in enumerate(places, start=1):
        frame = Frame(rank, f"/{rank}.jpg", None, camera, time, 10, 10)
        hits.append(Hit(rank, Person(rank, frame, (0, 0, 5, 5), 0.9), 1 / rank))
    return hits


def ranks(groups):
    return [[hit.rank for hit in group.hits] for group in groups]


def test_a_pause_or_another_camera_starts_a_group():
    hits = make_hits([("b", 100), ("a", 103), ("b", 90), ("b", 130), ("b", 110)])
    groups = group_hits(hits, pause=10)
    # of camera b 90, 100, 110 follow each other; 130 comes too late
    assert ranks(groups) == [[1, 3, 5], [2], [4]]
    assert [(g.camera, g.start, g.end) for g in groups] == [
        ("b", 90, 110),
        ("a", 103, 103),
        ("b", 130, 130),
    ]


def test_no_hit_no_group():
    assert group_hits([], pause=10) == []


@given(
    places=st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 50)), max_size=20),
    pause=st.integers(0, 20),
)
def test_every_hit_is_in_one_group_whose_gaps_are_short(places, pause):
    groups = group_hits(make_hits(places), pause)
    assert sorted(rank for group in ranks(groups) for rank in group) == list(
        range(1, len(places) + 1)
    )
    assert ranks(groups) == [sorted(group) for group in ranks(groups)]
    best = [group[0] for group in ranks(groups)]
    assert best == sorted(best)
    for group in groups:
        times = sorted(hit.person.frame.time for hit in group.hits)
        assert {hit.person.frame.camera for hit in group.hits} == {group.camera}
        assert all(b - a <= pause for a, b in zip(times, times[1:]))
    for camera in "abc":
        spans = sorted((g.start, g.end) for g in groups if g.camera == camera)
        assert all(after[0] - before[1] > pause for before, after in zip(spans, spans[1:]))


@pytest.mark.parametrize("pause", [0, 1e9])
def test_extreme_pauses(pause):
    hits = make_hits([("a", 1), ("a", 2), ("a", 2)])
    assert ranks(group_hits(hits, pause)) == ([[1], [2, 3]] if pause == 0 else [[1, 2, 3]])
