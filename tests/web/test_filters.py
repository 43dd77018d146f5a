"""From typed filters to those of the index."""

from datetime import datetime

import pytest

from fully_decoupled_ps.errors import UserError
from fully_decoupled_ps.index import NO_FILTERS, Filters
from fully_decoupled_ps.web.filters import describe_filters, make_filters


@pytest.mark.parametrize("empty", [None, "", "  "])
def test_empty_fields_let_everything_pass(empty):
    assert make_filters([], empty, empty, None) == NO_FILTERS


def test_every_field_counts():
    filters = make_filters(["c1", "c2"], "2024-05-31", " 2024-05-31T18:30 ", 0.25)
    start, end = datetime(2024, 5, 31), datetime(2024, 5, 31, 18, 30)
    assert filters == Filters(("c1", "c2"), start.timestamp(), end.timestamp(), 0.25)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (([], "noon", "", 0), "From: 'noon' is no time"),
        (([], "", "noon", 0), "To: 'noon' is no time"),
        (([], "nan", "", 0), "From: 'nan' is no time"),
        (([], "2024-06-01", "2024-05-31", 0), "swap them"),
        (([], "", "", 1.5), "Least score 1.5: scores are from 0 to 1"),
        (([], "", "", -0.1), "scores are from 0 to 1"),
        (([], "", "", float("nan")), "scores are from 0 to 1"),
    ],
)
def test_a_mistake_names_its_field(values, message):
    with pytest.raises(UserError, match=message):
        make_filters(*values)


def test_filters_in_words():
    assert describe_filters(NO_FILTERS) == "all cameras; all times; all scores"
    filters = make_filters(["c1"], "2024-05-31", "2024-06-01", 0.5)
    assert describe_filters(filters) == (
        "camera c1; from 2024-05-31 00:00:00 to 2024-06-01 00:00:00; scores from 0.5"
    )
