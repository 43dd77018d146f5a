"""Times as people write them, and as they are shown."""

import math
import re
from datetime import datetime, timedelta, timezone

from ..errors import UserError

YEARS = range(1900, 3000)
MICROSECOND = timedelta(microseconds=1)

_BASIC_DATE = re.compile(r"^(\d{4})(\d\d)(\d\d)(?=$|[T ])", re.ASCII | re.IGNORECASE)
_ZONE = r"(?:\s?(?P<zone>Z|[+-]\d\d(?::?\d\d)?))?"
_SECOND = r"(?P<second>\d\d)(?:[.,](?P<part>\d+))?"
_CLOCK = rf"(?P<hour>\d\d)(?::?(?P<minute>\d\d)(?::?{_SECOND})?{_ZONE})?"
_DATE = re.compile(
    rf"(?P<year>\d{{4}})(?:-(?P<month>\d\d)(?:-(?P<day>\d\d)(?:[T ]{_CLOCK})?)?)?",
    re.ASCII | re.IGNORECASE,
)
_SECONDS = re.compile(r"(?P<seconds>-?\d+(?:\.(?P<part>\d+))?)\s?s", re.ASCII)
_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)


def parse_time(text: str, *, end: bool = False) -> float:
    """Seconds since the epoch from a time that somebody wrote.

    Allowed are dates and times of ISO 8601, from a year to a fraction of a second
    (``2024``, ``2024-05``, ``2024-05-31``, ``20240531``, ``2024-05-31T18:30:05.5``, a space in
    place of the T), of the local zone or with ``Z`` or ``+02:00`` behind the minutes; and seconds
    since 1970 with their unit (``1700000000s``). Returns the first moment of what is written, or
    with ``end`` the last one, to the microsecond. See :func:`local_seconds` for summer time.

    >>> parse_time("1700000000s"), parse_time("1700000000s", end=True)
    (1700000000.0, 1700000000.999999)
    >>> parse_time("2024-05-31T00:00Z", end=True) - parse_time("2024-05-31T00:00Z")
    59.999999

    Raises:
        UserError: if it is neither, or no such time exists.
    """
    text = text.strip()
    try:
        if match := _SECONDS.fullmatch(text):
            return _seconds(match, end)
        if match := _DATE.fullmatch(_BASIC_DATE.sub(r"\1-\2-\3", text)):
            return _date(match, end)
    except (ValueError, OverflowError, OSError) as error:
        raise UserError(f"{text!r} is no time ({error}); correct it") from error
    if _NUMBER.fullmatch(text):
        raise UserError(
            f"{text!r} is a number without a unit; write seconds since 1970 as 1700000000s, and "
            "dates as 2024-05-31"
        )
    raise UserError(
        f"{text!r} is no time; write it as 2024, 2024-05, 2024-05-31, 2024-05-31T18:30 or "
        "2024-05-31T18:30:05, with +02:00 or Z behind it if it is not of this machine's zone, or "
        "as seconds since 1970 with their unit: 1700000000s"
    )


def _seconds(match: re.Match, end: bool) -> float:
    seconds = float(match["seconds"])
    check_seconds(seconds)
    return seconds + max(10.0 ** -len(match["part"] or "") - 1e-6, 0.0) if end else seconds


def _date(match: re.Match, end: bool) -> float:
    parts = {key: match[key] for key in ("year", "month", "day", "hour", "minute", "second")}
    written = {key: int(value) for key, value in parts.items() if value is not None}
    check_year(written["year"])
    moment = datetime(**{"month": 1, "day": 1, **written})
    if match["part"]:
        moment += timedelta(microseconds=int(match["part"][:6].ljust(6, "0")))
    if end:
        moment = _following(moment, list(written)[-1], match["part"] or "") - MICROSECOND
    if match["zone"]:
        return moment.replace(tzinfo=_zone(match["zone"])).timestamp()
    return local_seconds(moment, last=end)


def check_year(year: int) -> None:
    """Raise a ValueError for what can't be the year of a recording, such as one of two digits."""
    if year not in YEARS:
        raise ValueError(f"years are {YEARS[0]} to {YEARS[-1]}")


def check_seconds(seconds: float) -> None:
    """:func:`check_year` of seconds since the epoch, which might be milliseconds."""
    check_year(datetime.fromtimestamp(seconds, timezone.utc).year)


def _following(moment: datetime, unit: str, part: str) -> datetime:
    """The first moment after the unit that is written: a year, ..., a second, or a part of one."""
    if unit == "year":
        return moment.replace(year=moment.year + 1)
    if unit == "month":
        years, month = divmod(moment.month, 12)
        return moment.replace(year=moment.year + years, month=month + 1)
    if part:
        return moment + timedelta(microseconds=10 ** max(6 - len(part), 0))
    return moment + timedelta(**{f"{unit}s": 1})


def _zone(text: str) -> timezone:
    if text in "Zz":
        return timezone.utc
    digits = text[1:].replace(":", "").ljust(4, "0")
    hours, minutes = int(digits[:2]), int(digits[2:])
    if hours > 23 or minutes > 59:
        raise ValueError("zones are -23:59 to +23:59")
    offset = timedelta(hours=hours, minutes=minutes)
    return timezone(-offset if text[0] == "-" else offset)


def local_seconds(moment: datetime, *, last: bool = False) -> float:
    """Seconds since the epoch of a local time, without a zone.

    A time that exists twice, because the clock is put back, is the first of the two, or with
    ``last`` the second. One that does not exist, because the clock is put forward, is the moment of
    the change.
    """
    earlier, later = sorted(moment.replace(fold=fold).timestamp() for fold in (0, 1))
    if earlier == later:
        return earlier
    if abs(datetime.fromtimestamp(earlier) - moment) < timedelta(seconds=1):
        return later if last else earlier
    before, after = math.floor(earlier), math.ceil(later)
    while after - before > 1:
        middle = (before + after) // 2
        if _utc_offset(middle) == _utc_offset(after):
            after = middle
        else:
            before = middle
    return after - 1e-6 if last else float(after)


def _utc_offset(seconds: float) -> timedelta:
    return datetime.fromtimestamp(seconds).astimezone().utcoffset()


def format_time(seconds: float) -> str:
    """Local time, to the second, for people; seconds if they are out of a date's range."""
    try:
        return datetime.fromtimestamp(seconds).isoformat(sep=" ", timespec="seconds")
    except (ValueError, OverflowError, OSError):
        return f"{seconds:.0f} s"


def format_time_range(start: float, end: float) -> str:
    """For people; the day of the end only if it is another one."""
    first, last = format_time(start), format_time(end)
    if first == last:
        return first
    day, _, clock = last.partition(" ")
    return f"{first} to {clock if first.startswith(day) else last}"
