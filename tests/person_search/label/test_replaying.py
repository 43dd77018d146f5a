"""Replays that start from a copy of the state: that they do, and where they must not."""

import pytest

from person_search.label import replaying
from person_search.label.identities import Facts, Identities
from person_search.label.records import DIFFERENT, NOT_PERSON, SAME, SPLIT, UNDO, Decision

from .made_up import log, pair, tracklet

FACTS = Facts([tracklet(i) for i in range(1, 9)], ())
CHAIN = [(SAME, pair(i, i + 1)) for i in range(1, 7)]


@pytest.fixture
def replays(monkeypatch):
    monkeypatch.setattr(replaying, "EVERY", 3)
    return replaying.Replays(FACTS)


def members(identities: Identities) -> list[list[int]]:
    return sorted(map(sorted, identities.groups.members.values()))


def after(replays, decisions: list[Decision]) -> list[list[int]]:
    """Who is one person, as a replay and as all of the log says."""
    found = members(replays.replay(decisions))
    assert found == members(Identities(FACTS, decisions))
    return found


def no_start(monkeypatch):
    def start(*_):
        raise AssertionError("the whole log is replayed")

    monkeypatch.setattr(replaying.Replays, "_from_the_start", start)


def test_the_last_answers_are_undone_without_the_log_before_them(replays, monkeypatch):
    entries = [*CHAIN]
    after(replays, log(*entries))
    no_start(monkeypatch)
    for number in (6, 5, 4):
        entries.append((UNDO, {"number": number}))
        assert after(replays, log(*entries))[0] == list(range(1, number + 1))


def test_what_was_no_person_is_one_again_without_the_log_before_it(replays, monkeypatch):
    identities = replays.replay([])
    for count in range(1, 7):
        identities.apply(log(*CHAIN)[count - 1])
        replays.answered(identities, log(*CHAIN)[:count])
    entries = [*CHAIN, (NOT_PERSON, {"unit": 7})]
    after(replays, log(*entries))
    no_start(monkeypatch)
    assert after(replays, log(*entries, (UNDO, {"number": 7})))[0] == [1, 2, 3, 4, 5, 6, 7]


def test_an_earlier_decision_is_undone_and_made_again(replays):
    entries = [*CHAIN, (DIFFERENT, pair(1, 8))]
    after(replays, log(*entries))
    entries.append((UNDO, {"number": 2}))
    assert after(replays, log(*entries))[:2] == [[1, 2], [3, 4, 5, 6, 7]]
    entries.append((UNDO, {"number": 8}))
    assert after(replays, log(*entries))[0] == [1, 2, 3, 4, 5, 6, 7]


def test_a_split_makes_earlier_answers_void(replays):
    entries = [*CHAIN]
    after(replays, log(*entries))
    entries.append((SPLIT, {"unit": 4, "view": 2}))
    assert after(replays, log(*entries)) == [[-7], [1, 2, 3], [4], [5, 6, 7], [8]]
