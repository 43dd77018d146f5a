"""Which recordings the files on a command line are: each video, and each folder's pictures."""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass

from fully_decoupled_ps.utils.names import natural

from ..errors import UserError
from ..media.files import MediaFile, PathReader

# Seconds over which pictures of the same time are spread, if the next one is not sooner.
SAME_TIME = 1.0


@dataclass(frozen=True)
class FoundRecording:
    """Files that are one recording."""

    path: str  # of the video, or of the folder; with a camera pattern, "folder#camera"
    camera: str
    files: tuple[MediaFile, ...]  # in the order of time
    times: tuple[float, ...]  # of the first frame of each, seconds since the epoch
    is_timed: bool  # whether the user said when it was
    assumed: str = ""  # what was assumed of its times, for people

    @property
    def content(self) -> str:
        """A hash of what its files are like, and of their times."""
        files = [[os.fsencode(f.path).hex(), f.size, f.mtime_ns] for f in self.files]
        return hashlib.sha256(json.dumps([files, self.times]).encode()).hexdigest()


def find_recordings(
    files: Sequence[MediaFile], reader: PathReader, picture_fps: float | None
) -> list[FoundRecording]:
    """
    Args:
        files: those that the command line names.
        reader: gives a file's camera and time.
        picture_fps: pictures per second, in the order of their names; None: their names have
            their times, as the reader's pattern says.

    Returns:
        list: by path.

    Raises:
        UserError: if a pattern does not fit, or nothing says when pictures were taken.
    """
    is_said = reader.start is not None or reader.time_pattern is not None
    found, pictures = [], {}
    for file in files:
        camera = reader.camera(file)
        if file.is_video:
            times = (reader.time(file),)
            found.append(FoundRecording(file.path, camera, (file,), times, is_said))
        else:
            folder = os.path.dirname(file.path)
            path = folder if reader.camera_pattern is None else f"{folder}#{camera}"
            pictures.setdefault((path, camera), []).append(file)
    if pictures:
        _check_order(next(iter(pictures))[0], reader, picture_fps)
    for (path, camera), members in pictures.items():
        found.append(_sequence(path, camera, members, reader, picture_fps))
    return sorted(found, key=lambda recording: os.fsencode(recording.path))


def _check_order(path: str, reader: PathReader, picture_fps: float | None) -> None:
    if picture_fps is None and reader.time_pattern is None:
        raise UserError(
            f"{path}: nothing says in which order and how fast its pictures were taken; name "
            "--time-pattern if their names have the time, or --picture-fps N if they are N a "
            "second in the order of their names"
        )
    if picture_fps is not None and reader.time_pattern is not None:
        raise UserError(
            f"--picture-fps {picture_fps:g}: the times of pictures are those of --time-pattern; "
            "leave one of them out"
        )


def _sequence(
    path: str, camera: str, files: list[MediaFile], reader: PathReader, picture_fps: float | None
) -> FoundRecording:
    files = sorted(files, key=lambda file: natural(os.path.basename(file.path)))
    if picture_fps is None:
        files.sort(key=reader.time)
        times, equal = spread([reader.time(file) for file in files])
        assumed = f"{equal} pictures of the same second as another, spread over it" if equal else ""
        return FoundRecording(path, camera, tuple(files), times, True, assumed)
    first = reader.start if reader.start is not None else files[0].mtime_ns / 1e9
    times = tuple(first + i / picture_fps for i in range(len(files)))
    is_timed = reader.start is not None
    assumed = "" if is_timed else "its first picture is taken to be of when that was last changed"
    return FoundRecording(path, camera, tuple(files), times, is_timed, assumed)


def spread(times: Sequence[float]) -> tuple[tuple[float, ...], int]:
    """Ascending times, those that are equal spread up to the next; and how many were moved.

    >>> spread([5.0, 5.0, 6.0, 6.0])
    ((5.0, 5.5, 6.0, 6.5), 2)
    """
    result, moved, begin = [], 0, 0
    while begin < len(times):
        end = begin
        while end < len(times) and times[end] == times[begin]:
            end += 1
        room = min(times[end] - times[begin], SAME_TIME) if end < len(times) else SAME_TIME
        result += [times[begin] + room * i / (end - begin) for i in range(end - begin)]
        moved += end - begin - 1
        begin = end
    return tuple(result), moved
