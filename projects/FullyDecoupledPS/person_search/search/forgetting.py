"""Keeping forgotten persons out of an index."""

import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ..index import PersonIndex, Source, Tombstone
from ..index.tombstones import content_digest, is_forgotten, of_file
from ..media.finding import RealPaths, is_video


@dataclass(frozen=True)
class Target:
    """Who is to be forgotten: a person, everybody in a frame, or everybody in a file."""

    path: str  # absolute
    is_video: bool
    pts: int | None = None  # of the frame in its video; None: the picture, or all frames
    box: tuple[float, float, float, float] | None = None  # None: everybody
    checksum: int | None = None  # of a video's frame


@dataclass
class Tombstones:
    """What :func:`make_tombstones` returns."""

    all: list[Tombstone] = field(default_factory=list)
    # Files whose content is not known, so their persons may come back: path -> why
    unreadable: dict[str, str] = field(default_factory=dict)
    changed: dict[str, str] = field(default_factory=dict)


def make_tombstones(targets: Iterable[Target], sources: dict[str, Source]) -> Tombstones:
    """Tombstones by the present content of the targets' files, which are among ``sources``."""
    made, digests, now = Tombstones(), {}, time.time()
    for target in targets:
        source = sources[target.path]
        if target.path not in digests:
            digests[target.path] = _content(source, target.is_video, made)
        path = os.path.realpath(source.path)
        made.all.append(
            Tombstone(
                *(path, source.size, source.mtime_ns, digests[target.path]),
                *(target.pts, target.box, now, target.checksum),
            )
        )
    return made


def _content(source: Source, is_video: bool, made: Tombstones) -> str | None:
    """The digest of what was indexed; None if it can't be computed: ``made`` gets the reason."""
    try:
        size = os.stat(source.path).st_size
        # of a recording that continued, the beginning was indexed
        if size == source.size or is_video and size > source.size:
            return content_digest(source.path, source.size)
        made.changed[source.path] = f"{source.path} was changed since it was indexed"
    except OSError as error:
        made.unreadable[source.path] = f"{source.path} can't be read: {error.strerror}"
    return None


def complete_tombstones(index: PersonIndex) -> None:
    """Add the content of files that could not be read when somebody in them was forgotten.

    A tombstone is of a file only if it has not changed since it was indexed.
    """
    for tombstone in index.tombstones():
        if tombstone.digest is not None:
            continue
        try:
            stat = os.stat(tombstone.path)
            if (stat.st_size, stat.st_mtime_ns) != (tombstone.size, tombstone.mtime_ns):
                continue
            digest = content_digest(tombstone.path, tombstone.size)
        except OSError:
            continue  # it can't be read yet
        path = os.path.realpath(tombstone.path)  # the path may have become a link
        known = replace(tombstone, path=path, digest=digest)
        index.put_tombstones([known], [tombstone.tombstone_id])


def lift_tombstones(index: PersonIndex, tombstones: Sequence[Tombstone]) -> list[str]:
    """Remove tombstones and have their files be read again; returns those files' paths."""
    paths = _paths_of(index, tombstones)
    index.read_again(paths)
    index.put_tombstones([], [tombstone.tombstone_id for tombstone in tombstones])
    return paths


def take_over_tombstones(index: PersonIndex, tombstones: Sequence[Tombstone]) -> None:
    """Add those of another index; files already in this one are read again without the persons."""
    known = {tombstone.tombstone_id for tombstone in index.tombstones()}
    new = [tombstone for tombstone in tombstones if tombstone.tombstone_id not in known]
    if new:
        index.put_tombstones(new)
        index.read_again(_paths_of(index, new))


def _paths_of(index: PersonIndex, tombstones: Sequence[Tombstone]) -> list[str]:
    """Files of the index that may have the content of one of the tombstones, sorted."""
    sizes, paths = {t.size for t in tombstones}, {t.path for t in tombstones}
    checksums = {t.checksum for t in tombstones} - {None}
    real_path = RealPaths()

    def is_concerned(source: Source) -> bool:
        if source.size in sizes or real_path(source.path) in paths:
            return True
        if not is_video(source.path):
            return False
        return bool(of_file(tombstones, source.path, source.size, is_video=True)) or (
            bool(checksums)
            and any(frame.checksum in checksums for frame in index.find_frames(source.path))
        )

    return sorted(s.path for s in index.sources().values() if is_concerned(s))


class ForgottenPersons:
    """Finds detections of forgotten persons while files are indexed."""

    def __init__(self, index: PersonIndex):
        self.index = index
        self._of_file: dict[str, list[Tombstone]] = {}
        self._of_frames: list[Tombstone] = []

    def begin(self, source: Source, is_continued: bool = False) -> None:
        """Call once for each file, before its first frame.

        ``is_continued``: a video that still holds the frames that the index has of it, whatever
        else has changed in the file, such as its header.
        """
        tombstones, path = self.index.tombstones(), os.path.realpath(source.path)
        self._of_frames = [t for t in tombstones if t.checksum is not None]
        found = of_file(tombstones, path, source.size, is_video(source.path))
        if is_continued:
            found += [t for t in tombstones if t.path == path and t not in found]
        if found:
            self._of_file[source.path] = found

    def among(
        self, path: str, pts: int | None, boxes: np.ndarray, checksum: int | None = None
    ) -> np.ndarray:
        """Which of the (R, 4) boxes of a frame are of somebody forgotten, (R,) bool."""
        of_frame = [t for t in self._of_frames if checksum is not None and t.checksum == checksum]
        return is_forgotten([*self._of_file.get(path, ()), *of_frame], pts, boxes, checksum)
