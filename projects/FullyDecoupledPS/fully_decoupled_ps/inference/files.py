"""Pictures and videos, and what their paths say of camera and time."""

import math
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ..errors import UserError
from .times import check_seconds, check_year, local_seconds

TIME_PARTS = ("year", "month", "day", "hour", "minute", "second")


@dataclass(frozen=True)
class MediaFile:
    """A picture or a video."""

    path: str  # absolute
    is_video: bool
    size: int  # bytes
    mtime_ns: int


class PathReader:
    """What a file's path says of its camera and of the time of its first frame."""

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
            start: seconds since the epoch; None: when the file was last changed.

        Raises:
            UserError: if a pattern is no regular expression, or lacks its groups.
        """
        self.camera_pattern = _compile("--camera-pattern", camera_pattern, {"camera"})
        day = {"year", "month", "day"}
        self.time_pattern = _compile("--time-pattern", time_pattern, {"seconds"}, day)
        self.start = start

    def camera(self, file: MediaFile) -> str:
        """
        Raises:
            UserError: if the pattern does not match.
        """
        if self.camera_pattern is None:
            return Path(file.path).parent.name
        return _match("--camera-pattern", self.camera_pattern, file.path, "camera")["camera"]

    def time(self, file: MediaFile) -> float:
        """Seconds since the epoch.

        Raises:
            UserError: if the pattern does not match, or what it matches is no time.
        """
        start = file.mtime_ns / 1e9 if self.start is None else self.start
        if self.time_pattern is None:
            return start
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
            raise UserError(f"--time-pattern: {file.path}: {error}; mend the pattern") from error


def _compile(option: str, pattern: str | None, *groups: set[str]) -> re.Pattern | None:
    """``groups``: the sets of named groups of which one has to be there."""
    if pattern is None:
        return None
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise UserError(
            f"{option} {pattern!r} is no regular expression: {error}; mend it"
        ) from error
    if not any(names <= set(compiled.groupindex) for names in groups):
        wanted = " or ".join(", ".join(f"(?P<{name}>...)" for name in sorted(g)) for g in groups)
        raise UserError(f"{option} {pattern!r} has no {wanted}; name the group that holds it")
    return compiled


def _match(option: str, pattern: re.Pattern, path: str, needed: str) -> dict:
    """``needed``: the group that must not be left out of the match, as an optional one may be."""
    match = pattern.search(path)
    if match is None or match[needed] is None:
        what = "does not match" if match is None else f"has nothing for {needed!r} in"
        raise UserError(
            f"{option} {pattern.pattern!r} {what} {path}; mend the pattern, or index such files by "
            "a command of their own"
        )
    return match.groupdict()
