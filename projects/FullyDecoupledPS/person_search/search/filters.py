"""From what was typed, on the command line or the page, to :class:`Filters`."""

from collections.abc import Sequence
from typing import NamedTuple

from ..errors import UserError
from ..index import Filters, PersonIndex
from ..media.times import format_time, parse_time


class FilterNames(NamedTuple):
    """Names of the fields in messages."""

    camera: str = "--camera"
    start: str = "--from"
    end: str = "--to"
    min_score: str = "--min-score"


OPTIONS = FilterNames()


def make_filters(
    cameras: Sequence[str] | None,
    start: str | None,
    end: str | None,
    min_score: float | None,
    names: FilterNames = OPTIONS,
) -> Filters:
    """
    Args:
        cameras: any of these; none: all.
        start, end: as :func:`parse_time` reads them; blank: no bound. ``end`` is included as
            precisely as it is written: the whole day, or the whole minute.
        min_score: least score of a detection, 0 to 1; None: 0.

    Raises:
        UserError: if a time is invalid, the last one is before the first, or the score is out of
            range.
    """
    first = _time(names.start, start)
    last = _time(names.end, end, end=True)
    if first is not None and last is not None and last < first:
        raise UserError(f"{names.end} {end} is before {names.start} {start}; swap them")
    score = 0.0 if min_score is None else float(min_score)
    if not 0 <= score <= 1:  # nor if it is not a number
        raise UserError(f"{names.min_score} {score:g}: scores are from 0 to 1")
    return Filters(tuple(cameras or ()), first, last, score)


def _time(name: str, text: str | None, end: bool = False) -> float | None:
    if not (text or "").strip():
        return None
    try:
        return parse_time(text, end=end)
    except UserError as error:
        raise UserError(f"{name}: {error}") from error


def check_cameras(
    cameras: Sequence[str], known: Sequence[str], names: FilterNames = OPTIONS
) -> None:
    """Raise a UserError for a camera that is not among those of the index, ``known``."""
    for camera in cameras:
        if camera not in known:
            raise UserError(
                f"{names.camera} {camera}: the index has no such camera; "
                f"it has {', '.join(known[:20]) or 'none'}"
            )


def describe_range(index: PersonIndex) -> str:
    """The times that the index covers, for people whose filters let nobody pass."""
    times = index.time_range()
    if times is None:
        return "the index is empty"
    return f"its frames are from {format_time(times[0])} to {format_time(times[1])}"
