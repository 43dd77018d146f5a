"""Filters as they are typed, by either of the two ways to type them."""

import functools
from datetime import datetime

import pytest

from person_search.cli.common import add_filter_arguments, read_filters
from person_search.errors import UserError
from person_search.index import NO_FILTERS, Filters
from person_search.search.filters import make_filters
from person_search.web.filters import NAMES


def on_command_line(cameras=(), start=None, end=None, min_score=None):
    import argparse

    parser = argparse.ArgumentParser()
    add_filter_arguments(parser)
    options = [f"--camera={camera}" for camera in cameras]
    for name, value in (("from", start), ("to", end), ("min-score", min_score)):
        options += [] if value is None else [f"--{name}={value}"]
    return read_filters(parser.parse_args(options))


on_the_page = functools.partial(make_filters, names=NAMES)
both_ways = pytest.mark.parametrize("read", [on_command_line, on_the_page])


@both_ways
def test_a_day_is_the_whole_day(read):
    filters = read(["c1"], "2024-05-31", "2024-05-31", 0.25)
    assert (filters.cameras, filters.min_score) == (("c1",), 0.25)
    assert filters.start == datetime(2024, 5, 31).timestamp()
    assert filters.end == datetime(2024, 5, 31, 23, 59, 59, 999999).timestamp()


@both_ways
def test_a_year_is_no_number_of_seconds(read):
    filters = read([], "2025", "20250101", 0)
    assert filters.start == datetime(2025, 1, 1).timestamp()
    assert filters.end == datetime(2025, 1, 1, 23, 59, 59, 999999).timestamp()


@both_ways
@pytest.mark.parametrize(
    ("values", "message"),
    [
        (([], "noon", None, 0), "(From|--from): 'noon' is no time"),
        (([], None, "1700000000", 0), "(To|--to): '1700000000' is a number without a unit"),
        (([], "nan", None, 0), "'nan' is no time"),
        (([], "2024-06-01", "2024-05-31", 0), "(To|--to) 2024-05-31 is before .*; swap them"),
    ],
)
def test_a_mistake_names_its_field(read, values, message):
    with pytest.raises(UserError, match=message):
        read(*values)


@pytest.mark.parametrize("score", [1.5, -0.1, float("nan")])
def test_scores_out_of_range(score):
    with pytest.raises(
        UserError, match=f"Detection score at least {score}: scores are from 0 to 1"
    ):
        on_the_page([], None, None, score)


@both_ways
def test_nothing_typed_lets_everybody_pass(read):
    assert read([], None, None, None) == NO_FILTERS
    assert read([], " ", "", 0) == NO_FILTERS


@pytest.mark.parametrize("bound", ["start", "end", "min_score"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_bound_that_is_no_number_is_refused_wherever_it_comes_from(bound, value):
    with pytest.raises(UserError, match=f"filter {bound} {value}: it has to be a finite number"):
        Filters(**{bound: value})
