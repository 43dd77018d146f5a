"""The page's filters: their names, and a line that describes them."""

from fully_decoupled_ps.utils.names import printable

from ..index import Filters
from ..media.times import format_time
from ..search.filters import FilterNames

NAMES = FilterNames("Camera", "From", "To", "Detection score at least")


def describe_filters(filters: Filters) -> str:
    """One line for people.

    >>> describe_filters(Filters(cameras=("c1", "c2"), min_score=0.5))
    'cameras c1, c2; all times; scores from 0.5'
    """
    names = ", ".join(map(printable, filters.cameras))
    cameras = f"camera{'s' * (len(filters.cameras) > 1)} {names}" if names else "all cameras"
    bounds = [
        f"{word} {format_time(time)}"
        for word, time in (("from", filters.start), ("to", filters.end))
        if time is not None
    ]
    scores = f"scores from {filters.min_score:g}" if filters.min_score else "all scores"
    return f"{cameras}; {' '.join(bounds) or 'all times'}; {scores}"
