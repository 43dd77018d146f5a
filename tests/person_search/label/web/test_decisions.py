"""Decisions as the page sends them."""

import json

import pytest

from person_search.errors import UserError
from person_search.label.records import KINDS
from person_search.label.web.decisions import WORDS, decide, describe, parse_request

TOKEN = "0123456789abcdef" * 2


def body(token=TOKEN, kind="same", payload=None, **more):
    payload = {"a": 1, "b": 4} if payload is None else payload
    request = {"token": token, "kind": kind, "payload": payload, "project": "this", **more}
    return json.dumps(request).encode()


def test_every_kind_has_words():
    assert set(WORDS) == set(KINDS)


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"[]", b"{", b"\xff", b"null", b"[" * 100_000, body(more=1)),
        *(body(token=token) for token in ("", "a" * 31, "A" * 32, "a" * 32 + "\n", 7, None)),
        *(body(kind=kind) for kind in ("", "SAME", 3, None, [], {})),
        *(body(payload=payload) for payload in ([], "a", 5, {"a": 1, "b": 2**53})),
        *(body(shown=rows) for rows in (None, {}, [1], [[1, 0]], [[1, 0, "3"]], [[1, 0, True]])),
    ],
)
def test_what_is_no_decision_is_refused(content):
    with pytest.raises(UserError, match="this is no decision of this page; reload the page"):
        parse_request(content)


def test_a_decision_is_made_once_and_told(labelling):
    request = parse_request(body())
    first = decide(labelling, "this", request)
    assert describe(labelling, first) == "tracklet 1 and tracklet 4: one person"
    assert decide(labelling, "this", request) == first
    assert len(labelling.decisions()) == 1


def test_without_a_number_the_last_decision_is_undone_once(labelling):
    for number, b in enumerate((4, 7)):
        made = parse_request(body(token=f"{number:032x}", payload={"a": 1, "b": b}))
        decide(labelling, "this", made)
    undo = parse_request(body(kind="undo", payload={"number": None}))
    for _ in range(2):
        said = describe(labelling, decide(labelling, "this", undo))
        assert said == "decision 2 undone: tracklet 1 and tracklet 7: one person"
    assert labelling.group_of(1).units == (1, 4)


def test_units_are_named_also_those_that_are_gone(labelling):
    def made(token, kind, **payload):
        return labelling.decide(f"{token:032x}", kind, payload)

    split = made(1, "split", unit=4, view=2)
    same = made(2, "same", a=1, b=-1)
    assert describe(labelling, split) == "tracklet 4: somebody else from view 2 on"
    assert describe(labelling, same) == "tracklet 1 and tracklet 4 from view 2 on: one person"
    made(3, "undo", number=1)
    assert describe(labelling, same) == "tracklet 1 and part 1: one person"
    added = made(4, "add_box", frame_id=1, box=[0, 0, 5, 5], unit=None)
    assert describe(labelling, added) == "a box drawn around somebody"


def test_a_page_of_another_project_decides_nothing(labelling):
    with pytest.raises(UserError, match="of another project than the one that is served now"):
        decide(labelling, "other", parse_request(body()))
    assert labelling.decisions() == []


def test_what_was_shown_before_a_split_is_not_decided(labelling):
    """Tracklet 4 has views 0 to 3; the page was shown, then it is split before view 2."""
    labelling.decide("1" * 32, "split", {"unit": 4, "view": 2})
    for kind, payload in (("same", {"a": 1, "b": 4}), ("not_person", {"unit": 4})):
        late = parse_request(body(kind=kind, payload=payload, shown=[[4, 0, 3]]))
        with pytest.raises(UserError, match="tracklet 4 was split.* had views 0 to 3, now 0 to 1"):
            decide(labelling, "this", late)
    early = parse_request(body(kind="same", shown=[[1, 0, 3], [4, 0, 1]]))
    assert decide(labelling, "this", early).number == 2
    labelling.undo("3" * 32, 1)
    # it was acknowledged, perhaps unheard: asked again, it is not refused
    assert decide(labelling, "this", early).number == 2
