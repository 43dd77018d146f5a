"""The page's filters: from what was typed to :class:`Filters`, and to a line that tells them."""

import math
from typing import Sequence

from ..errors import UserError
from ..index import Filters
from ..inference.files import format_time, parse_time
from ..names import decode_name, printable


def make_filters(
    cameras: Sequence[str], start: str | None, end: str | None, min_score: float | None
) -> Filters:
    """
    Args:
        cameras: any of these, as :func:`encode_name` writes them; none: all.
        start, end: local time as :func:`parse_time` reads it; empty: no bound.
        min_score: least score of a detection, 0 to 1.

    Raises:
        UserError: if a time is none, the last one is before the first, or the score is out of
            range.
    """
    first, last = _time("From", start), _time("To", end)
    if first is not None and last is not None and last < first:
        raise UserError(f"To ({end}) is before From ({start}); swap them")
    score = 0.0 if min_score is None else float(min_score)
    if not 0 <= score <= 1:
        raise UserError(f"Least score {score:g}: scores are from 0 to 1")
    return Filters(tuple(map(decode_name, cameras or ())), first, last, score)


def _time(field: str, text: str | None) -> float | None:
    if not (text or "").strip():
        return None
    try:
        seconds = parse_time(text.strip())
    except UserError as error:
        raise UserError(f"{field}: {error}") from error
    if not math.isfinite(seconds):
        raise UserError(f"{field}: {text!r} is no time; write it as 2024-05-31T18:30")
    return seconds


def describe_filters(filters: Filters) -> str:
    """One line for people.

    >>> describe_filters(Filters(cameras=("c1", "c2"), min_score=0.5))
    'cameras c1, c2; all times; scores from 0.5'
    """
    if filters.cameras:
        cameras = (
            f"camera{'s' * (len(filters.cameras) > 1)} {', '.join(map(printable, filters.cameras))}"
        )
    else:
        cameras = "all cameras"
    bounds = [
        f"{word} {format_time(time)}"
        for word, time in (("from", filters.start), ("to", filters.end))
        if time is not None
    ]
    scores = f"scores from {filters.min_score:g}" if filters.min_score else "all scores"
    return f"{cameras}; {' '.join(bounds) or 'all times'}; {scores}"
