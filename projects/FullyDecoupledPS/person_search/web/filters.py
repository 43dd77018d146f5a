"""The page's filters: from what was typed to :class:`Filters`, and to a line that tells them."""

from collections.abc import Sequence

from fully_decoupled_ps.utils.names import printable

from ..index import Filters
from ..media.times import format_time
from ..search import filters as typed_filters

NAMES = typed_filters.FilterNames("Camera", "From", "To", "Detection score at least")


def make_filters(
    cameras: Sequence[str], start: str | None, end: str | None, min_score: float | None
) -> Filters:
    """As on the command line; see :func:`.search.filters.make_filters`.

    Raises:
        UserError: if a time is invalid, the last one is before the first, or the score is out of
            range.
    """
    return typed_filters.make_filters(cameras, start, end, min_score, NAMES)


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
