"""Who is who after a log of decisions, on cases worked by hand."""

import pytest

from person_search.label.identities import Facts, Identities
from person_search.label.links import usable
from person_search.label.records import (
    DETACH,
    DIFFERENT,
    NOT_PERSON,
    SAME,
    SPLIT,
    UNDO,
    UNSURE,
    Recording,
    Simultaneous,
)

from .made_up import log, pair, tracklet

TRACKLETS = [tracklet(i, start=1000.0 * i) for i in range(1, 6)]


def state(*entries, simultaneous=(), tracklets=TRACKLETS) -> Identities:
    return Identities(Facts(tracklets, simultaneous), log(*entries))


def persons(found: Identities) -> list[list[int]]:
    none = found.no_persons
    return sorted(sorted(units) for root, units in found.groups.members.items() if root not in none)


def test_sameness_is_transitive_and_difference_holds_between_persons():
    found = state((SAME, pair(1, 2)), (DIFFERENT, pair(3, 4)), (SAME, pair(3, 2)))
    assert persons(found) == [[1, 2, 3], [4], [5]]
    assert found.groups.link(1, 4) == (3, 4, 2, 0.0, True)
    assert found.groups.link(1, 5) is None
    reason = found.why_not(SAME, 1, 4)
    assert "decision 2" in reason and "tracklet 3 and tracklet 4" in reason
    # the other way: they are one person by the first and the third decision
    assert "decision 1, 3" in found.why_not(DIFFERENT, 1, 3)
    assert found.why_not(SAME, 1, 3) is None and found.why_not(DIFFERENT, 5, 4) is None


def test_two_that_were_seen_together_are_never_one():
    together = Simultaneous(1, 2, 1000.0, 1010.0, True)
    found = state((SAME, pair(1, 3)), (SAME, pair(3, 2)), simultaneous=[together])
    assert persons(found) == [[1, 3], [2], [4], [5]]
    (told,) = found.contradictions
    assert "decision 2" in told and "tracklet 1 and tracklet 2" in told
    assert "camera door" in told and "1970" in told
    assert found.holding == {1}


def test_a_split_makes_two_persons_and_voids_what_was_said_of_the_whole():
    before = [(SAME, pair(1, 2)), (SAME, pair(2, 3)), (NOT_PERSON, {"unit": 4})]
    found = state(*before, (SPLIT, {"unit": 2, "view": 3}), (SPLIT, {"unit": 4, "view": 1}))
    assert persons(found) == [
        [
            -5,
        ],
        [-4],
        [1],
        [2],
        [3],
        [4],
        [5],
    ]
    assert found.holding == {4, 5}
    early, late = (found.units.by_id[unit] for unit in (2, -4))
    assert (early.first_view, early.last_view, early.start, early.end) == (0, 2, 2000, 2020)
    assert (late.first_view, late.last_view, late.start, late.end) == (3, 3, 2030, 2030)
    assert found.units.at(2, 2020) == 2 and found.units.at(2, 2030) == -4
    assert found.units.at(2, 2025) is None  # nobody looked at it
    again = state(*before[:1], (SPLIT, {"unit": 2, "view": 3}), (SAME, pair(1, -2)))
    assert persons(again) == [[-2, 1], [2], [3], [4], [5]]
    assert again.groups.link(1, 2).number == 2  # by the split, through the later part


def test_of_three_parts_only_those_beside_each_other_are_different():
    found = state((SPLIT, {"unit": 1, "view": 1}), (SPLIT, {"unit": -1, "view": 3}))
    assert [u.unit for u in found.units.of_tracklet(1)] == [1, -1, -2]
    assert found.why_not(SAME, 1, -2) is None
    assert "decision 1" in found.why_not(SAME, 1, -1)
    assert "decision 2" in found.why_not(SAME, -1, -2)
    # the same when the later boundary came first
    other = state((SPLIT, {"unit": 1, "view": 3}), (SPLIT, {"unit": 1, "view": 1}))
    assert [u.unit for u in other.units.of_tracklet(1)] == [1, -2, -1]
    assert other.why_not(SAME, 1, -1) is None and other.why_not(SAME, -2, -1)


def test_only_the_part_that_was_seen_with_another_is_different_from_it():
    together = Simultaneous(1, 2, 1020.0, 1030.0, True)  # during views 2 and 3 of the first
    tracklets = [tracklet(1, 1000.0), tracklet(2, 1020.0)]
    found = state((SPLIT, {"unit": 1, "view": 1}), simultaneous=[together], tracklets=tracklets)
    assert found.why_not(SAME, 1, 2) is None
    assert "both seen by camera door" in found.why_not(SAME, -1, 2)


def test_taking_a_unit_out_leaves_the_rest_together():
    found = state((SAME, pair(1, 2)), (SAME, pair(2, 3)), (DETACH, {"unit": 2, "rest": [1, 3]}))
    assert persons(found) == [[1, 3], [2], [4], [5]]
    assert found.groups.link(2, 1).number == 3
    assert found.holding == {3}


def test_what_is_no_person_is_with_nobody():
    entries = [(SAME, pair(1, 2)), (SAME, pair(3, 2)), (NOT_PERSON, {"unit": 2})]
    found = state(*entries)
    assert persons(found) == [[1], [3], [4], [5]]
    for kind in (SAME, DIFFERENT, UNSURE):
        assert "decision 3" in found.why_not(kind, 4, 2)
    assert persons(state(*entries, (UNDO, {"number": 3}))) == [[1, 2, 3], [4], [5]]


def test_undoing_and_undoing_that():
    entries = [(SAME, pair(1, 2)), (UNDO, {"number": 1})]
    assert persons(state(*entries)) == [[1], [2], [3], [4], [5]]
    redone = [*entries, (UNDO, {"number": 2})]
    assert persons(state(*redone)) == [[1, 2], [3], [4], [5]]
    assert persons(state(*redone, (UNDO, {"number": 1}))) == [[1], [2], [3], [4], [5]]


def test_what_was_said_of_a_part_goes_with_its_split():
    entries = [(SPLIT, {"unit": 1, "view": 2}), (SAME, pair(-1, 2)), (SAME, pair(1, 3))]
    found = state(*entries, (UNDO, {"number": 1}))
    assert persons(found) == [[1, 3], [2], [4], [5]]
    assert found.holding == {3} and not found.contradictions


def test_a_redone_decision_that_contradicts_is_told_and_left_out():
    entries = [
        *((DIFFERENT, pair(1, 2)), (UNDO, {"number": 1}), (SAME, pair(1, 2))),
        (UNDO, {"number": 2}),
    ]
    found = state(*entries)
    assert persons(found) == [[1], [2], [3], [4], [5]]  # the earlier one counts
    (told,) = found.contradictions
    assert "decision 3 (same)" in told and "decision 1 says" in told


def test_an_unsure_pair_is_open_again_when_one_of_the_persons_grows():
    entries = [(UNSURE, pair(1, 2)), (UNSURE, pair(1, 1))]
    found = state(*entries)
    assert found.groups.is_unsure(2, 1) and not found.groups.is_unsure(1, 3)
    assert not state(*entries, (SAME, pair(2, 3))).groups.is_unsure(1, 2)


@pytest.mark.parametrize(
    ("is_timed", "overlaps", "last", "proves"),
    [
        (True, set(), 2.5, True),
        (True, set(), 2.0, False),  # the clocks may differ by that
        (False, set(), 9.0, False),
        (True, {frozenset(("door", "yard"))}, 9.0, False),
        (True, {frozenset(("door", "hall"))}, 9.0, True),
    ],
)
def test_when_two_cameras_prove_two_persons(is_timed, overlaps, last, proves):
    recordings = {
        1: Recording(1, "/a", "door", "", True),
        2: Recording(2, "/b", "yard", "", is_timed),
    }
    pairs = [Simultaneous(1, 2, 0.0, last, False), Simultaneous(1, 2, 0.0, 0.0, True)]
    found = usable([*pairs, Simultaneous(1, 9, 0.0, 9.0, True)], recordings, overlaps)
    assert found == (pairs if proves else pairs[1:])
