"""Keeping out of an index who was forgotten from it."""

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
    # Files whose content is not known, so that who was in them may come back: path -> why
    unreadable: dict[str, str] = field(default_factory=dict)
    changed: dict[str, str] = field(default_factory=dict)


def make_tombstones(targets: Iterable[Target], sources: dict[str, Source]) -> Tombstones:
    """Tombstones by the content that the targets' files have now.

    Args:
        targets: of files that the index has.
        sources: those files as the index knows them, by path.
    """
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
    """The digest of what was indexed; if it can't be had, None, and why is noted in ``made``."""
    try:
        size = os.stat(source.path).st_size
        # of a recording that goes on, what was indexed is the beginning
        if size == source.size or is_video and size > source.size:
            return content_digest(source.path, source.size)
        made.changed[source.path] = f"{source.path} was changed since it was indexed"
    except OSError as error:
        made.unreadable[source.path] = f"{source.path} can't be read: {error.strerror}"
    return None


def complete_tombstones(index: PersonIndex) -> None:
    """Find out the content of files that could not be read when somebody in them was forgotten.

    Only a file that has not changed since it was indexed is what the tombstone is of.
    """
    for tombstone in index.tombstones():
        if tombstone.digest is None:
            try:
                stat = os.stat(tombstone.path)
                if (stat.st_size, stat.st_mtime_ns) != (tombstone.size, tombstone.mtime_ns):
                    continue
                digest = content_digest(tombstone.path, tombstone.size)
            except OSError:
                continue  # it is not there yet
            path = os.path.realpath(tombstone.path)  # it may be by a link that it is there now
            known = replace(tombstone, path=path, digest=digest)
            index.put_tombstones([known], [tombstone.tombstone_id])


def lift_tombstones(index: PersonIndex, tombstones: Sequence[Tombstone]) -> list[str]:
    """Let persons come back: remove tombstones, and have their files be read again.

    Returns:
        list: the paths of those files, as far as the index has them.
    """
    paths = _paths_of(index, tombstones)
    index.read_again(paths)
    index.put_tombstones([], [tombstone.tombstone_id for tombstone in tombstones])
    return paths


def take_over_tombstones(index: PersonIndex, tombstones: Sequence[Tombstone]) -> None:
    """Add those of another index; files that are in already are read again without the persons."""
    known = {tombstone.tombstone_id for tombstone in index.tombstones()}
    new = [tombstone for tombstone in tombstones if tombstone.tombstone_id not in known]
    if new:
        index.put_tombstones(new)
        index.read_again(_paths_of(index, new))


def _paths_of(index: PersonIndex, tombstones: Sequence[Tombstone]) -> list[str]:
    """Files that may have the content of one of the tombstones, sorted."""
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
    """Tells detections of persons who were forgotten, while files are indexed."""

    def __init__(self, index: PersonIndex):
        self.index = index
        self._of_file: dict[str, list[Tombstone]] = {}
        self._of_frames: list[Tombstone] = []

    def begin(self, source: Source, is_continued: bool = False) -> None:
        """Call once for each file, before its first frame.

        Args:
            source: the file.
            is_continued: it is a video that still holds the frames that the index has of it,
                whatever else was changed in the file, such as the header when it was completed.
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
