"""Which recordings on a command line the project has already, perhaps by another name or time."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..index import Frame, PersonIndex
from ..media.files import MediaFile
from .growing_file import GrowingFile
from .recordings import FoundRecording
from .records import Recording
from .tracklets import read_index_frames


@dataclass
class Comparison:
    """Recordings on the command line against those of the project."""

    new: list[FoundRecording] = field(default_factory=list)
    # to be tracked again: nothing was decided about what the project has of them
    again: list[tuple[Recording, FoundRecording]] = field(default_factory=list)
    unchanged: int = 0
    # in the project, and kept as they were; path -> what is different now
    changed: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)  # path -> why, one line
    # files with the same frames as one of the project; path -> that one's
    copies: dict[str, str] = field(default_factory=dict)
    updated: dict[str, str] = field(default_factory=dict)  # path -> what was noted of it


def compare(
    project: GrowingFile, index: PersonIndex, recordings: Sequence[FoundRecording]
) -> Comparison:
    """Find what is new, and note in the project where its recordings are now, and when they were.

    A video with the very frames of one that the project has is no new one: everybody in it would
    become two people. If the other's file is gone it was moved; else it is a copy. Times that
    the user says replace those of before; guessed ones don't.
    """
    result = Comparison()
    known = {recording.path: recording for recording in project.recordings()}
    of_frames: dict[tuple, Recording] | None = None  # read when it is needed
    new: dict[tuple, str] = {}  # path, by the frames
    for recording in recordings:
        old = known.get(recording.path)
        growing = [file.path for file in recording.files if _has_changed(file)]
        if growing:
            result.failed[recording.path] = (
                f"{growing[0]} was written to meanwhile; run the same command again when it is "
                "complete"
            )
            continue
        if _is_same(old, recording):
            result.unchanged += 1
            continue
        if of_frames is None:
            ids = {r.recording_id: r for r in known.values()}
            of_frames = {frames: ids[i] for i, frames in project.checksums().items()}
        frames, times = read_index_frames(recording, index)
        key = tuple((f.pts, f.checksum) for f in frames)
        is_video = frames and all(None not in pair for pair in key)
        twin = of_frames.get(key) if is_video else None
        if twin is not None and (twin is old or (old is None and not os.path.exists(twin.path))):
            _update(project, index, recording, twin, (frames, times), result)
            del of_frames[key]
            new[key] = recording.path
        elif old is None and (twin is not None or key in new):
            result.copies[recording.path] = new[key] if twin is None else twin.path
            index.remove_files([recording.path])  # else who is forgotten would stay there
        else:
            if is_video and old is None:
                new[key] = recording.path
            _place(project, recording, old, result)
    return result


def _is_same(old: Recording | None, recording: FoundRecording) -> bool:
    return (
        old is not None
        and (old.content, old.camera) == (recording.content, recording.camera)
        and (old.is_timed or not recording.is_timed)
    )


def _place(
    project: GrowingFile, recording: FoundRecording, old: Recording | None, result: Comparison
) -> None:
    """A recording with other frames than any of the project's."""
    if old is None:
        result.new.append(recording)
    elif project.is_untouched(old) and (recording.is_timed or not old.is_timed):
        result.again.append((old, recording))
    else:
        result.changed[recording.path] = _difference(old, recording)


def _difference(old: Recording, recording: FoundRecording) -> str:
    if old.camera != recording.camera:
        return f"its camera was {old.camera}, and would be {recording.camera}"
    return "its files, or their times, have changed; copy it to another name to add it as it is now"


def _update(
    project: GrowingFile,
    index: PersonIndex,
    recording: FoundRecording,
    old: Recording,
    found: tuple[list[Frame], list[float]],
    result: Comparison,
) -> None:
    """Note the path and the times of a recording with the frames of one of the project.

    Args:
        found: its frames and their times.
    """
    if old.camera != recording.camera:
        result.changed[recording.path] = _difference(old, recording)
        return
    frames, times = found
    noted = []
    if old.path != recording.path:
        noted.append(f"moved from {old.path}")
        index.remove_files([old.path])  # the index has its persons by the new path
    said = times if recording.is_timed else None
    if project.update_recording(old, recording.path, recording.content, frames, said):
        noted.append("its times are as they were said now")
    if noted:
        result.updated[recording.path] = ", ".join(noted)
    result.unchanged += 1


def _has_changed(file: MediaFile) -> bool:
    try:
        stat = os.stat(file.path)
    except OSError:  # it is gone; what was read of it is as it was
        return False
    return (stat.st_size, stat.st_mtime_ns) != (file.size, file.mtime_ns)
