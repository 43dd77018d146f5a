"""Which pictures and videos there are, and what their paths say of camera and time."""

import os
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Sequence

from ..errors import UserError

PICTURES = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"))
VIDEOS = frozenset(
    ".3gp .264 .265 .asf .avi .dav .flv .h264 .h265 .hevc .m2ts .m4v .mjpeg .mkv .mov .mp4 .mpeg "
    ".mpg .mts .ts .webm .wmv".split()
)

TIME_PARTS = ("year", "month", "day", "hour", "minute", "second")


@dataclass(frozen=True)
class MediaFile:
    """A picture or a video."""

    path: str  # absolute
    is_video: bool
    size: int  # bytes
    mtime_ns: int


def find_files(paths: Sequence[str]) -> list[MediaFile]:
    """The pictures and videos at ``paths``: files, and folders with all that is in them.

    In folders the ending of a name tells pictures and videos from other files, and names that
    begin with a dot are passed over. A file named itself is a picture unless it ends like a video.
    Links are followed.

    Returns:
        list: sorted by path, none twice.

    Raises:
        UserError: if there is nothing at one of the paths, or neither picture nor video in it.
    """
    found = {}
    for path in paths:
        if os.path.isdir(path):
            files = _in_folder(path)
            if not files:
                raise UserError(
                    f"folder {path} holds no picture ({_list(PICTURES)}) and no video "
                    f"({_list(VIDEOS)}); name a folder that does"
                )
        elif os.path.exists(path):
            files = [path]
        else:
            raise UserError(f"{path}: no such file or folder; check the spelling")
        for file in files:
            full = os.path.abspath(file)
            if full not in found and os.path.exists(full):  # not a dangling link
                stat = os.stat(full)
                is_video = Path(full).suffix.lower() in VIDEOS
                found[full] = MediaFile(full, is_video, stat.st_size, stat.st_mtime_ns)
    return [found[path] for path in sorted(found)]


def _list(endings) -> str:
    return " ".join(sorted(endings))


def _in_folder(folder: str) -> list[str]:
    files, seen = [], set()
    for parent, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(parent)
        if real in seen:  # a link to a folder above it
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if not name.startswith(".")]
        files += [
            os.path.join(parent, name)
            for name in names
            if not name.startswith(".") and Path(name).suffix.lower() in PICTURES | VIDEOS
        ]
    return files


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
        return _match("--camera-pattern", self.camera_pattern, file.path)["camera"]

    def time(self, file: MediaFile) -> float:
        """Seconds since the epoch.

        Raises:
            UserError: if the pattern does not match, or what it matches is no time.
        """
        start = file.mtime_ns / 1e9 if self.start is None else self.start
        if self.time_pattern is None:
            return start
        groups = _match("--time-pattern", self.time_pattern, file.path)
        try:
            if "seconds" in groups:
                return (self.start or 0.0) + float(groups["seconds"])
            parts = [int(groups[part]) for part in TIME_PARTS if groups.get(part) is not None]
            return datetime(*parts).timestamp()
        except (ValueError, OverflowError) as error:
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


def _match(option: str, pattern: re.Pattern, path: str) -> dict:
    match = pattern.search(path)
    if match is None:
        raise UserError(
            f"{option} {pattern.pattern!r} does not match {path}; mend the pattern, or index such "
            "files by a command of their own"
        )
    return match.groupdict()


def parse_time(text: str) -> float:
    """Seconds since the epoch from an option: such a number, or local time in ISO 8601.

    >>> parse_time("1700000000.5")
    1700000000.5

    Raises:
        UserError: if it is neither.
    """
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError) as error:
        raise UserError(
            f"{text!r} is no time; write it as 2024-05-31, 2024-05-31T18:30 or "
            "2024-05-31T18:30:05, or in seconds since 1970"
        ) from error


def format_time(seconds: float) -> str:
    """Local time, to the second, for people.

    Numbers too small or large for a date are given as they are.
    """
    try:
        return datetime.fromtimestamp(seconds).isoformat(sep=" ", timespec="seconds")
    except (ValueError, OverflowError, OSError):
        return f"{seconds:.0f} s"
