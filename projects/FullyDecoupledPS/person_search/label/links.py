"""Why two units are two persons."""

from collections.abc import Iterable
from typing import NamedTuple

from ..media.times import format_time
from .records import Recording, Simultaneous
from .units import Unit, Units

# Seconds by which the clocks of two cameras may differ.
CLOCK_TOLERANCE = 2.0


class Link(NamedTuple):
    """Two units that are different persons, and why."""

    a: int
    b: int
    number: int | None = None  # of the decision that says so; None: they were seen together
    time: float = 0.0  # when
    is_one_camera: bool = True

    def told(self, units: dict[int, Unit]) -> str:
        """The reason as a sentence's part."""
        a, b = (units[u].name for u in self[:2])
        if self.number is not None:
            return f"decision {self.number} says that {a} and {b} are different"
        cameras = [units[u].tracklet.camera for u in self[:2]]
        when = format_time(self.time)
        if self.is_one_camera:
            return f"{a} and {b} are both seen by camera {cameras[0]} at {when}"
        return f"{a} is seen by camera {cameras[0]} and {b} by camera {cameras[1]} at {when}"


def usable(
    pairs: Iterable[Simultaneous],
    recordings: dict[int, Recording],
    overlaps: set[frozenset[str]],
) -> list[Simultaneous]:
    """The pairs that prove two persons.

    Two cameras prove it only if the user gave both their times, and did not say that they
    overlap; for longer than their clocks may differ.

    Args:
        recordings: by tracklet.
    """

    timed = {tracklet for tracklet, recording in recordings.items() if recording.is_timed}

    def proves(pair: Simultaneous) -> bool:
        if pair.a not in recordings or pair.b not in recordings:
            return False
        if pair.is_one_camera:
            return True
        cameras = {recordings[pair.a].camera, recordings[pair.b].camera}
        is_long = pair.last - pair.first > CLOCK_TOLERANCE
        return is_long and {pair.a, pair.b} <= timed and cameras not in overlaps

    return [pair for pair in pairs if proves(pair)]


def links_of_parts(pair: Simultaneous, units: Units) -> Iterable[Link]:
    """What a pair of tracklets says of their units."""
    for a in units.of_tracklet(pair.a):
        for b in units.of_tracklet(pair.b):
            first, last = max(pair.first, a.start, b.start), min(pair.last, a.end, b.end)
            is_long = pair.is_one_camera or last - first > CLOCK_TOLERANCE
            if first <= last and is_long:
                yield Link(a.unit, b.unit, None, first, pair.is_one_camera)
