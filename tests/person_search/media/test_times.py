"""Times as people write them: the first and the last moment of what is written."""

import time
from datetime import datetime, timezone

import pytest

from person_search.errors import UserError
from person_search.media.times import format_time, format_time_range, local_seconds, parse_time

# The last moment before the next unit, as times are kept to the microsecond.
LAST = 1e-6


@pytest.fixture(autouse=True)
def berlin(monkeypatch):
    """Summer time from 2024-03-31T02:00 to 2024-10-27T03:00; the machine's zone comes back."""
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def utc(*parts):
    return datetime(*parts, tzinfo=timezone.utc).timestamp()


AT_5 = utc(2024, 5, 31, 16, 30, 5)


@pytest.mark.parametrize(
    ("text", "first", "next_one"),
    [
        # winter is an hour before UTC, summer two
        ("2025", utc(2024, 12, 31, 23), utc(2025, 12, 31, 23)),
        ("2024-02", utc(2024, 1, 31, 23), utc(2024, 2, 29, 23)),
        ("2024-12", utc(2024, 11, 30, 23), utc(2024, 12, 31, 23)),
        ("20250101", utc(2024, 12, 31, 23), utc(2025, 1, 1, 23)),
        ("2024-05-31", utc(2024, 5, 30, 22), utc(2024, 5, 31, 22)),
        (" 2024-05-31T18 ", utc(2024, 5, 31, 16), utc(2024, 5, 31, 17)),
        ("2024-05-31 18:30", utc(2024, 5, 31, 16, 30), utc(2024, 5, 31, 16, 31)),
        ("20240531T1830", utc(2024, 5, 31, 16, 30), utc(2024, 5, 31, 16, 31)),
        ("2024-05-31T18:30:05", utc(2024, 5, 31, 16, 30, 5), utc(2024, 5, 31, 16, 30, 6)),
        ("2024-05-31t18:30:05.5", AT_5 + 0.5, AT_5 + 0.6),
        ("2024-05-31T18:30:05,25", AT_5 + 0.25, AT_5 + 0.26),
        ("2024-05-31T18:30:05.250000000", AT_5 + 0.25, AT_5 + 0.250001),  # nanoseconds
        ("2024-05-31T18:30Z", utc(2024, 5, 31, 18, 30), utc(2024, 5, 31, 18, 31)),
        ("2024-05-31 18:30 +02:00", utc(2024, 5, 31, 16, 30), utc(2024, 5, 31, 16, 31)),
        ("2024-05-31T18:30:05-0530", utc(2024, 6, 1, 0, 0, 5), utc(2024, 6, 1, 0, 0, 6)),
        ("2024-05-31T18:30+02", utc(2024, 5, 31, 16, 30), utc(2024, 5, 31, 16, 31)),
        ("1700000000s", 1700000000, 1700000001),
        ("1700000000.5 s", 1700000000.5, 1700000000.6),
        ("-5s", -5, -4),
        # the clock is put forward: there is no 02:30, and the day has 23 hours
        ("2024-03-31T02:30", utc(2024, 3, 31, 1), utc(2024, 3, 31, 1)),
        ("2024-03-31", utc(2024, 3, 30, 23), utc(2024, 3, 31, 22)),
        # and back: 02:30 is there twice, so that the first and the last moment are an hour apart
        ("2024-10-27T02:30", utc(2024, 10, 27, 0, 30), utc(2024, 10, 27, 1, 31)),
        ("2024-10-27T01:59", utc(2024, 10, 26, 23, 59), utc(2024, 10, 27, 0)),
        ("2024-10-27", utc(2024, 10, 26, 22), utc(2024, 10, 27, 23)),
    ],
)
def test_the_first_and_the_last_moment_of_what_is_written(text, first, next_one):
    assert parse_time(text) == pytest.approx(first, abs=1e-7)
    assert parse_time(text, end=True) == pytest.approx(next_one - LAST, abs=5e-7)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("yesterday", "'yesterday' is no time; write it as 2024, 2024-05, 2024-05-31,"),
        ("", "'' is no time"),
        ("nan", "'nan' is no time"),
        ("inf", "'inf' is no time"),
        ("2024-13", "'2024-13' is no time .month must be in 1..12"),
        ("20240230", "'20240230' is no time .day is out of range"),
        ("2024-05-31T24:00", "hour must be in 0..23"),
        ("2024-05-31T18:30+99:00", "zones are -23:59 to"),
        ("2024-05-31T18:30+01:60", "zones are -23:59 to"),
        ("2024-05-31 18-02", "is no time"),  # no zone behind an hour: it is a typing error
        ("2024-05-31Z", "is no time"),
        ("31.05.2024", "is no time"),
        ("0205", "years are 1900 to 2999"),
        ("99999999999999s", "is no time"),
        ("nans", "is no time"),
        ("1e9s", "is no time"),
        ("1700000000", "'1700000000' is a number without a unit; write seconds since 1970 as 1700"),
        ("1.7e9", "is a number without a unit"),
        ("202401", "is a number without a unit"),
        ("٢٠٢٤", "is no time"),
    ],
)
def test_what_is_refused(text, message):
    with pytest.raises(UserError, match=message) as caught:
        parse_time(text)
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError):
        parse_time(text, end=True)


def test_local_times_that_are_there_twice_or_never():
    assert local_seconds(datetime(2024, 10, 27, 2, 30)) == utc(2024, 10, 27, 0, 30)
    assert local_seconds(datetime(2024, 10, 27, 2, 30), last=True) == utc(2024, 10, 27, 1, 30)
    assert local_seconds(datetime(2024, 3, 31, 2, 30)) == utc(2024, 3, 31, 1)
    assert local_seconds(datetime(2024, 5, 31, 2, 30)) == utc(2024, 5, 31, 0, 30)


def test_times_are_shown_as_they_are_written():
    assert format_time(parse_time("2024-05-31T18:30:05")) == "2024-05-31 18:30:05"
    assert format_time(1e18) == "1000000000000000000 s"


def test_a_range_repeats_no_day():
    start = parse_time("2024-05-31T18:30:05")
    assert format_time_range(start, start) == "2024-05-31 18:30:05"
    assert format_time_range(start, start + 65) == "2024-05-31 18:30:05 to 18:31:10"
    assert format_time_range(start, start + 86400) == "2024-05-31 18:30:05 to 2024-06-01 18:30:05"
