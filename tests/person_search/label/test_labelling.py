"""A project that is labelled: decisions last, contradictions are refused, questions are useful."""

import threading

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from person_search.errors import UserError
from person_search.label.identities import Facts, Identities
from person_search.label.labelled import NO_PERSON, NOBODY, PERSON, UNCERTAIN
from person_search.label.labelling import Labelling
from person_search.label.records import (
    ADD_BOX,
    DETACH,
    DIFFERENT,
    KINDS,
    MOVE_BOX,
    NOT_PERSON,
    REMOVE_BOX,
    SAME,
    SPLIT,
    UNSURE,
)
from person_search.label.store import open_project

from .made_up import make_project, pair

# Three persons in eight dimensions: tracklets 1, 2, 3 of one, 4, 5 of another, 6 of a third.
WHO = (0, 0, 0, 1, 1, 2)


@pytest.fixture
def project(tmp_path):
    rng = np.random.default_rng(0)
    features = np.eye(8, dtype=np.float32)[list(WHO)][:, None].repeat(4, axis=1)
    features = features + 0.1 * rng.standard_normal(features.shape)
    features /= np.linalg.norm(features, axis=2, keepdims=True)
    with_file = make_project(tmp_path, list(features))
    yield with_file
    with_file.close()


@pytest.fixture
def labelling(project):
    return Labelling(project)


def decide(labelling, *entries):
    for kind, payload in entries:
        labelling.decide(f"token {len(labelling.decisions())}", kind, payload)


def persons(labelling) -> list[tuple[int, ...]]:
    return [group.units for group in labelling.groups()]


# decisions


def test_a_decision_is_made_once_and_lasts(labelling, tmp_path):
    first = labelling.decide("token", SAME, pair(1, 2))
    assert labelling.decide("token", DIFFERENT, pair(1, 2)) == first
    assert persons(labelling) == [(1, 2), (3,), (4,), (5,), (6,)]
    again = Labelling(open_project(tmp_path))
    assert persons(again) == persons(labelling)
    assert again.decide("token", SAME, pair(3, 4)) == first
    assert again.decisions() == [(first, True)]


def test_undo_takes_the_last_decision_that_holds(labelling):
    decide(labelling, (SAME, pair(1, 2)), (DIFFERENT, pair(3, 4)))
    assert labelling.undo("u1").payload == {"number": 2}
    assert labelling.undo("u1").payload == {"number": 2}  # the same one
    assert labelling.undo("u2").payload == {"number": 1}
    assert persons(labelling) == [(i,) for i in range(1, 7)]
    with pytest.raises(UserError, match="no decision to undo"):
        labelling.undo("u3")
    with pytest.raises(UserError, match="decision 1 was undone already"):
        labelling.undo("u4", 1)
    labelling.undo("u5", 4)  # the undoing
    assert persons(labelling)[0] == (1, 2)
    assert [holds for _, holds in labelling.decisions()] == [True, False, True, False, True]
    assert labelling.progress().decisions == 1


WRONG = [
    (SAME, pair(1, 1), "both 1"),
    (SAME, pair(1, 99), "no unit 99"),
    (SAME, {"a": 1}, "fields a, b"),
    (SAME, {"a": 1, "b": "2"}, "b is '2'"),
    (SAME, {"a": True, "b": 2}, "a is True"),
    ("guess", pair(1, 2), "'guess'.*same, different"),
    (SPLIT, {"unit": 1, "view": 0}, "tracklet 1.*0 to 3"),
    (SPLIT, {"unit": 1, "view": 4}, "tracklet 1.*0 to 3"),
    (DETACH, {"unit": 1, "rest": []}, "rest is \\[\\]"),
    (DETACH, {"unit": 1, "rest": [2]}, "units \\[\\], not with \\[2\\]"),
    (MOVE_BOX, {"box_id": 999, "box": [0, 0, 1, 1]}, "box 999"),
    (MOVE_BOX, {"box_id": 1, "box": [5, 0, 1, 1]}, "x0 < x1"),
    (MOVE_BOX, {"box_id": 1, "box": [0, 0, 641, 1]}, "641.*640 by 0 to 480"),
    (REMOVE_BOX, {"box_id": -5}, "box -5"),
    (ADD_BOX, {"frame_id": 99, "box": [0, 0, 1, 1], "unit": None}, "frame 99"),
    (ADD_BOX, {"frame_id": 1, "box": [0, 0, 1, float("nan")], "unit": None}, "nan"),
    (ADD_BOX, {"frame_id": 1, "box": [0, 0, 1, 1], "unit": 6}, "decision 1.*tracklet 6"),
    ("undo", {"number": 7}, "decision 7 was never made"),
]


@pytest.mark.parametrize(("kind", "payload", "message"), WRONG)
def test_what_cannot_be_is_refused_in_words(labelling, kind, payload, message):
    labelling.decide("first", NOT_PERSON, {"unit": 6})
    with pytest.raises(UserError, match=message):
        labelling.decide("token", kind, payload)
    assert len(labelling.project.decisions()) == 1
    labelling.decide("token", SAME, pair(1, 2))  # the token is still free


def test_an_answer_that_contradicts_is_refused(labelling):
    decide(labelling, (SAME, pair(1, 2)), (DIFFERENT, pair(2, 3)))
    with pytest.raises(UserError, match="decision 2 says .*tracklet 2 and tracklet 3"):
        labelling.decide("token", SAME, pair(1, 3))
    with pytest.raises(UserError, match="one person by decision 1"):
        labelling.decide("token", DIFFERENT, pair(1, 2))


def test_threads_lose_no_decision(labelling):
    def work(number):
        for i in range(5):
            labelling.decide(f"{number} {i}", UNSURE, pair(number, 1 + number % 6))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(1, 7)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert sorted(d.number for d, _ in labelling.decisions()) == list(range(1, 31))


# who is who


def test_persons_are_numbered_by_their_first_tracklet(labelling):
    decide(
        labelling, (SAME, pair(5, 3)), (SPLIT, {"unit": 1, "view": 2}), (NOT_PERSON, {"unit": 6})
    )
    assert [tuple(group) for group in labelling.groups()] == [
        *((3, (3, 5)), (1, (1,)), (2, (2,)), (4, (4,)), (1_000_000_002, (-2,))),
    ]
    decide(labelling, (SAME, pair(-2, 4)))
    assert labelling.group_of(-2) == (4, (4, -2))
    assert [u.unit for u in labelling.units()] == [1, -2, 2, 3, 4, 5, 6]
    assert not labelling.is_person(6)
    with pytest.raises(UserError, match="tracklet 6 was said to be no person"):
        labelling.group_of(6)
    progress = labelling.progress()
    assert (progress.decisions, progress.tracklets, progress.persons) == (4, 6, 4)


def test_boxes_as_they_were_decided(labelling):
    decide(
        labelling,
        (SAME, pair(1, 2)),
        (SPLIT, {"unit": 1, "view": 1}),  # views are in frames 1, 3, 5 and 7
        (NOT_PERSON, {"unit": 3}),
        (ADD_BOX, {"frame_id": 2, "box": [1, 2, 30, 40], "unit": 5}),
        (ADD_BOX, {"frame_id": 2, "box": [5, 2, 30, 40], "unit": None}),
        (MOVE_BOX, {"box_id": -4, "box": [2, 2, 30, 40]}),
    )
    found = labelling.boxes([2, 1])
    first = [one for one in found if one.box.frame_id == 2]
    assert found[: len(first)] == first  # in the order that was asked for
    assert [(b.unit, b.person, b.kind) for b in first] == [
        (None, NOBODY, PERSON),  # between the parts of the first tracklet
        (2, 2, PERSON),
        (3, NOBODY, NO_PERSON),
        *((unit, unit, PERSON) for unit in (4, 5, 6)),
        (None, NOBODY, UNCERTAIN),  # a detection of no tracklet
        (5, 5, PERSON),
        (None, NOBODY, PERSON),
    ]
    drawn = first[7].box
    assert (drawn.box_id, drawn.box, drawn.score) == (-4, (2, 2, 30, 40), 1)
    uncertain = first[6].box.box_id
    decide(
        labelling,
        (REMOVE_BOX, {"box_id": -4}),
        (REMOVE_BOX, {"box_id": first[1].box.box_id}),
        (MOVE_BOX, {"box_id": uncertain, "box": [0, 0, 9, 9]}),
    )
    after = labelling.boxes([2])
    assert {b.box.box_id for b in first} - {b.box.box_id for b in after} == {
        *(-4, first[1].box.box_id)
    }
    assert {b.box.box_id: b.kind for b in after}[uncertain] == PERSON  # somebody fitted it
    with pytest.raises(UserError, match="box -4"):
        decide(labelling, (MOVE_BOX, {"box_id": -4, "box": [0, 0, 9, 9]}))


def test_the_boxes_of_a_gap_between_no_persons_are_of_none(labelling):
    decide(
        labelling,
        (SPLIT, {"unit": 1, "view": 1}),
        (NOT_PERSON, {"unit": 1}),
    )
    assert labelling.boxes([2])[0].kind == UNCERTAIN
    decide(labelling, (NOT_PERSON, {"unit": -1}))
    assert labelling.boxes([2])[0].kind == NO_PERSON


# any log

UNIT = st.integers(-8, 6).filter(bool)
ENTRY = st.one_of(
    st.tuples(st.sampled_from([SAME, SAME, SAME, DIFFERENT, UNSURE]), UNIT, UNIT),
    st.tuples(st.sampled_from([SPLIT]), UNIT, st.integers(1, 3)),
    st.tuples(st.sampled_from([DETACH, NOT_PERSON]), UNIT, UNIT),
    st.tuples(st.just("undo"), st.integers(1, 12), UNIT),
)


def _payload(labelling, kind, one, other):
    if kind == SPLIT:
        return {"unit": one, "view": other}
    if kind == DETACH:
        found = next((g for g in persons(labelling) if one in g), ())
        return {"unit": one, "rest": [u for u in found if u != one]}
    if kind in (NOT_PERSON, "undo"):
        return {"number" if kind == "undo" else "unit": one}
    return pair(one, other)


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(entries=st.lists(ENTRY, min_size=1, max_size=14), every=st.integers(1, 5))
def test_the_log_alone_gives_the_state(tmp_path_factory, entries, every):
    """Also where a replay starts from a copy of the state, one of which is made now and then."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("person_search.label.replaying.EVERY", every)
        _decide_and_check(tmp_path_factory, entries)


@pytest.mark.parametrize("before", [(), ((SAME, pair(1, 2)), (SAME, pair(2, 3)))])
def test_no_person_voids_what_was_said_of_it(labelling, project, before):
    decide(labelling, *before, (NOT_PERSON, {"unit": 2}))
    assert [group.units for group in labelling.groups() if {1, 2, 3} & set(group.units)] == [
        *((1,), (3,))
    ]
    facts = Facts(project.tracklets(), project.simultaneous())
    _check_equal(labelling._identities, Identities(facts, project.decisions()))


def test_parts_of_one_tracklet_are_asked_about_also_after_a_new_start(labelling, project):
    """Somebody, somebody else, and perhaps the first one again."""
    decide(labelling, (SPLIT, {"unit": 1, "view": 2}), (SPLIT, {"unit": 1, "view": 1}))
    _check_candidates(labelling)
    found = Labelling(project)._asking._candidates
    pairs = [{found.roots[slot] for slot in row} for row in found.rows]
    assert {1, -1} in pairs and {1, -2} not in pairs and {-1, -2} not in pairs


def _decide_and_check(tmp_path_factory, entries):
    features = [np.eye(8, dtype=np.float32)[[who] * 4] for who in WHO]
    together = [(1, 6, 2.0, 4.0, True)]
    project = make_project(tmp_path_factory.mktemp("any"), features, together)
    labelling = Labelling(project)
    for number, (kind, one, other) in enumerate(entries):
        try:
            labelling.decide(str(number), kind, _payload(labelling, kind, one, other))
        except UserError:
            pass
    found = labelling._identities
    facts = Facts(project.tracklets(), project.simultaneous())
    replayed = Identities(facts, project.decisions())
    _check_equal(found, replayed)
    _check_consistent(found, [d for d, holds in labelling.decisions() if holds])
    _check_candidates(labelling)
    project.close()


def _check_equal(found: Identities, replayed: Identities) -> None:
    def links(state):
        person = {r: tuple(sorted(m)) for r, m in state.groups.members.items()}
        return {(person[a], person[b]) for a, bs in state.groups.links.items() for b in bs}

    assert found.units.by_id == replayed.units.by_id
    assert found.holding == replayed.holding and found.no_persons == replayed.no_persons
    assert found.contradictions == replayed.contradictions
    assert sorted(map(sorted, found.groups.members.values())) == sorted(
        map(sorted, replayed.groups.members.values())
    )
    assert links(found) == links(replayed)
    assert found.examples == replayed.examples


def _check_consistent(found: Identities, holding) -> None:
    groups = found.groups
    for one, others in groups.links.items():
        assert one not in others and all(one in groups.links[other] for other in others)
    for decision in holding:
        assert decision.kind in KINDS
        if decision.kind in (SAME, DIFFERENT):
            a, b = decision.payload["a"], decision.payload["b"]
            assert groups.is_same(a, b) == (decision.kind == SAME)
            assert (groups.link(a, b) is not None) == (decision.kind == DIFFERENT)


def _check_candidates(labelling) -> None:
    """The pairs that are kept up to date are those of a new start, with the same similarities."""
    tables = []
    for one in (labelling, Labelling(labelling.project)):
        found = one._asking._candidates
        persons_of_rows = [
            tuple(sorted(tuple(sorted(found.members[found.roots[slot]])) for slot in row))
            for row in found.rows
        ]
        tables.append(dict(zip(persons_of_rows, found.similarities.tolist())))
        assert len(tables[-1]) == len(found.rows)
    assert tables[0].keys() == tables[1].keys()
    for row, similarity in tables[0].items():
        assert similarity == pytest.approx(tables[1][row], abs=1e-5)
