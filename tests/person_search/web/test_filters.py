"""The page's filters in words; how they are read is tested in search/test_filters.py."""

from person_search.index import NO_FILTERS
from person_search.search.filters import make_filters
from person_search.web.filters import describe_filters


def test_filters_in_words():
    assert describe_filters(NO_FILTERS) == "all cameras; all times; all scores"
    filters = make_filters(["c1"], "2024-05-31", "2024-06-01", 0.5)
    assert describe_filters(filters) == (
        "camera c1; from 2024-05-31 00:00:00 to 2024-06-01 23:59:59; scores from 0.5"
    )
