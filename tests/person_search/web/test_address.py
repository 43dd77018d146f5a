"""The page's address: what is shown, written and read back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from person_search.web.address import View, format_view, parse_view

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
VIEWS = st.builds(
    View,
    cameras=st.lists(TEXT, max_size=3).map(tuple),
    start=st.just("") | TEXT,
    end=st.just("") | TEXT,
    min_score=st.floats(0, 1),
    top=st.none() | st.integers(1, 500),
    cws=st.booleans(),
    pause=st.sampled_from([None, -1.0, 60.0, 3600.0]),
    list_page=st.integers(1, 10**6),
    frame=st.just("") | TEXT,
    pts=st.none() | st.integers(1 - 2**63, 2**63 - 1),
    persons=st.lists(st.integers(0, 2**63 - 1), max_size=5).map(tuple),
    picture=st.none() | st.integers(1, 99),
)


@given(VIEWS)
def test_what_is_written_is_read(view):
    assert parse_view(format_view(view)) == view


def test_the_start_has_no_address():
    assert format_view(View()) == ""
    assert parse_view("") == parse_view(None) == View()


def test_a_name_in_other_bytes_is_kept():
    view = View(frame="/data/b\udce9.jpg")
    assert parse_view(format_view(view)) == view
    assert format_view(view) == "?frame=%2Fdata%2Fb%E9.jpg"


@pytest.mark.parametrize(
    "address",
    [
        *("?person=", "?person=x", "?person=-1", "?person=²", f"?person={'9' * 5000}", "?top=many"),
        *(
            "?score=nan",
            "?score=-1",
            "?list=0",
            "?list=inf",
            "?at=1e999",
            "?apart=nan",
            "?cws=true",
        ),
        *("?nobody=knows", "???", "?=&=&", "?" + "&".join(["person=x"] * 10_000)),
    ],
)
def test_what_is_wrong_is_passed_over(address):
    assert parse_view(address) == View()


def test_an_address_names_only_so_many_persons():
    assert len(parse_view("?" + "&".join(f"person={i}" for i in range(150))).persons) == 100
