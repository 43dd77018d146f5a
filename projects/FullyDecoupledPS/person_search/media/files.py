"""Pictures and videos, and what their paths say of camera and time."""

import math
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from fully_decoupled_ps.predictor import videos

from ..errors import UserError
from .times import check_seconds, check_year, local_seconds

TIME_PARTS = ("year", "month", "day", "hour", "minute", "second")

# In messages: what a video's start is taken from if no option gives it.
CREATED = "the creation time in the file"
CHANGED = "the time of the last change less the duration"
LAST_CHANGE = "the time of the last change (no duration is known, so that it may be the end)"
# An earlier creation time is of a clock that was never set.
FIRST_YEAR = 2000
# Seconds by which a recorder's clock and the time of the last change may differ.
CLOCK_TOLERANCE = 10.0


@dataclass(frozen=True)
class MediaFile:
    """A picture or a video."""

    path: str  # absolute
    is_video: bool
    size: int  # bytes
    mtime_ns: int


class PathReader:
    """The camera and the time of a file's first frame, from the file's path."""

    def __init__(
        self,
        camera_pattern: str | None = None,
        time_pattern: str | None = None,
        start: float | None = None,
    ):
        """
        Args:
            camera_pattern: regular expression searched in the path, whose group ``camera`` is the
                camera; None: the camera is the name of the file's folder.
            time_pattern: regular expression whose groups ``year``, ``month``, ``day``, ``hour``,
                ``minute``, ``second`` (the first three are needed) are local time, or whose group
                ``seconds`` counts from ``start``; None: ``start``.
            start: seconds since the epoch; None: when a picture was last changed, and for a video
                see :func:`video_start`.

        Raises:
            UserError: if a pattern is no regular expression, or lacks its groups.
        """
        self.camera_pattern = _compile("--camera-pattern", camera_pattern, {"camera"})
        day = {"year", "month", "day"}
        self.time_pattern = _compile("--time-pattern", time_pattern, {"seconds"}, day)
        self.start = start
        # videos whose start no option gives: path -> start, and what it is taken from
        self.assumed: dict[str, tuple[float, str]] = {}

    def camera(self, file: MediaFile) -> str:
        """Raises a UserError if the pattern does not match."""
        if self.camera_pattern is None:
            return Path(file.path).parent.name
        return _match("--camera-pattern", self.camera_pattern, file.path, "camera")["camera"]

    def time(self, file: MediaFile) -> float:
        """Seconds since the epoch; a UserError if the pattern's match is not a time."""
        if self.time_pattern is None:
            if self.start is not None:
                return self.start
            if not file.is_video:
                return file.mtime_ns / 1e9
            if file.path not in self.assumed:
                self.assumed[file.path] = video_start(file)
            return self.assumed[file.path][0]
        needed = "seconds" if "seconds" in self.time_pattern.groupindex else "year"
        groups = _match("--time-pattern", self.time_pattern, file.path, needed)
        try:
            if needed == "seconds":
                seconds = float(groups["seconds"])
                if not math.isfinite(seconds):
                    raise ValueError(f"{groups['seconds']} is no number of seconds")
                seconds += self.start or 0.0
                check_seconds(seconds)
                return seconds
            parts = {part: int(groups[part]) for part in TIME_PARTS if groups.get(part)}
            moment = datetime(**parts)
            check_year(moment.year)
            return local_seconds(moment)
        except (TypeError, ValueError, OverflowError, OSError) as error:
            raise UserError(f"--time-pattern: {file.path}: {error}; correct the pattern") from error


def video_start(file: MediaFile) -> tuple[float, str]:
    """The time of a video's first frame, seconds since the epoch, and what it is taken from.

    Devices store the time of a recording's start or of its end as the creation time, in UTC or,
    wrongly, in local time. The reading that agrees with the last change of the file, at which a
    recording ends, is used. If none does, as in a copy, it is the start in UTC, or on Android the
    end. Without a creation time, or if it is later than the last change, the recording ended with
    the last change.
    """
    changed = file.mtime_ns / 1e9
    try:
        clock = videos.read_clock(file.path)
    except Exception:  # whatever a decoder raises; it is reported when the file is read
        return changed, LAST_CHANGE
    if clock.start is not None:
        return clock.start.timestamp(), CREATED
    if clock.created is not None and clock.created.year >= FIRST_YEAR:
        utc, local = clock.created.timestamp(), local_seconds(clock.created.replace(tzinfo=None))
        at_start, at_end = (utc, local), (utc - clock.duration, local - clock.duration)
        readings = at_end if clock.is_created_at_end else (*at_start, *at_end)
        best = min(readings, key=lambda start: abs(start + clock.duration - changed))
        if abs(best + clock.duration - changed) <= CLOCK_TOLERANCE:
            return best, CREATED
        if readings[0] <= changed:
            return readings[0], CREATED
    return changed - clock.duration, CHANGED if clock.duration else LAST_CHANGE


def _compile(option: str, pattern: str | None, *groups: set[str]) -> re.Pattern | None:
    """``groups``: sets of named groups, of which the pattern needs one."""
    if pattern is None:
        return None
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise UserError(
            f"{option} {pattern!r} is no regular expression: {error}; correct it"
        ) from error
    if not any(names <= set(compiled.groupindex) for names in groups):
        wanted = " or ".join(", ".join(f"(?P<{name}>...)" for name in sorted(g)) for g in groups)
        raise UserError(f"{option} {pattern!r} has no {wanted}; name the group that holds it")
    return compiled


def _match(option: str, pattern: re.Pattern, path: str, needed: str) -> dict:
    """``needed``: a group that must have matched, though it may be optional in the pattern."""
    match = pattern.search(path)
    if match is None or match[needed] is None:
        what = "does not match" if match is None else f"has nothing for {needed!r} in"
        raise UserError(
            f"{option} {pattern.pattern!r} {what} {path}; correct the pattern, or index such files "
            "by a command of their own"
        )
    return match.groupdict()
