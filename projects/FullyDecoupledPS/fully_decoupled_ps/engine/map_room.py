"""Room on the disk for maps that are kept (``MODEL.REID.MAP_CACHE``)."""

import logging
import os
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ..data.map_cache import OWN_FILE, content_key
from ..errors import UserError

logger = logging.getLogger(__name__)

GIB = 2**30
KEY = "MODEL.REID.MAP_CACHE"
PREFIX = "maps-"
# Told apart from what else a user may have in the folder.
_FOLDER = re.compile(PREFIX + "[0-9a-f]{32}")
# A file that is not whole after so long has nobody who writes it.
SECONDS_TO_WRITE = 3600
# A folder that nobody has marked as used for so long belongs to no running training.
SECONDS_IN_USE = 3600


class _File(NamedTuple):
    path: Path
    size: int  # bytes
    time: float  # at which it was written, or its folder last used
    content: str  # of which image
    is_torn: bool  # not whole


def mark_used(folder: Path) -> None:
    """Tell other trainings that the maps in a folder are used."""
    os.utime(folder)


def make_room(folder: Path, needed: int, limit: int, images: Sequence[str]) -> None:
    """Tell how much maps will take, and remove those that are in the way, the oldest first.

    These are maps of other detectors that nobody uses, and of images that are not in the training
    data any more. No file is touched that is not a cache's own.

    Args:
        folder: of this detector, in the one that the limit is of.
        needed, limit: bytes.
        images: paths of the training data's.

    Raises:
        UserError: the limit is too small, or the disk is.
    """
    say = f"maps of {len(images)} images take up to {needed / GIB:.2f} GiB"
    if needed > limit:
        raise UserError(
            f"{KEY}: {say}, and MAX_GIB is {limit / GIB:g}; raise it, lower INPUT.MIN_SIZE_TRAIN, "
            f"or leave out {KEY}.FOLDER"
        )
    there, removable = _sort_own(folder, images)
    in_use = 0
    for other in _others(folder):
        used = _time_of_use(other)
        files = [file._replace(time=used) for file in _files(other)]
        if used > time.time() - SECONDS_IN_USE:
            in_use += sum(file.size for file in files)
        else:
            removable += files
    if needed + in_use > limit:
        raise UserError(
            f"{KEY}: {say}, and MAX_GIB is {limit / GIB:g}, of which maps of other detectors or "
            f"input sizes take {in_use / GIB:.2f}, used within the last hour; raise MAX_GIB, name "
            f"another FOLDER, or remove them from {folder.parent}"
        )
    _remove_oldest(removable, limit - needed - in_use, folder)
    free = shutil.disk_usage(folder).free
    if needed - there > free:
        raise UserError(
            f"{KEY}: {say}, of which {there / GIB:.2f} are there, and the disk of {folder.parent} "
            f"has {free / GIB:.2f} GiB free; name a FOLDER on another disk, or leave it out"
        )
    logger.info("%s: %s, of which %.2f are there, in %s", KEY, say, there / GIB, folder)


def _sort_own(folder: Path, images: Sequence[str]) -> tuple[int, list[_File]]:
    """Bytes of the images' maps in this detector's folder, and what else is a cache's there."""
    files = []
    for file in _files(folder):
        if file.is_torn and file.time < time.time() - SECONDS_TO_WRITE:
            file.path.unlink(missing_ok=True)  # of a process that was killed while it wrote
        else:
            files.append(file)
    # An image takes far less to read than its maps.
    contents = set(map(content_key, images)) if files else set()
    there = sum(file.size for file in files if file.content in contents)
    return there, [file for file in files if file.content not in contents]


def _remove_oldest(files: list[_File], limit: int, own: Path) -> None:
    """Until the rest takes no more than ``limit`` bytes."""
    files = sorted(files, key=lambda file: (file.time, file.path))
    total, folders = sum(file.size for file in files), {}
    for file in files:
        parent = file.path.parent
        # another detector's maps go together
        if total <= limit and (parent == own or parent not in folders):
            continue
        file.path.unlink(missing_ok=True)
        total -= file.size
        folders[parent] = folders.get(parent, 0) + 1
    for folder, number in folders.items():
        of = (
            "images that are not in the data" if folder == own else "another detector or input size"
        )
        logger.info("Removed %d maps of %s from %s (%s.MAX_GIB)", number, of, folder, KEY)
        if folder != own:
            with suppress(OSError):  # something else is in it, or another training was first
                folder.rmdir()


def _others(folder: Path) -> Iterator[Path]:
    with os.scandir(folder.parent) as entries:
        for entry in entries:
            is_ours = _FOLDER.fullmatch(entry.name) and entry.name != folder.name
            if is_ours and entry.is_dir(follow_symlinks=False):
                yield Path(entry.path)


def _time_of_use(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except FileNotFoundError:  # another training has removed it meanwhile
        return 0.0


def _files(folder: Path) -> Iterator[_File]:
    """A cache's own files that are in a folder; none if it, or they, vanish meanwhile."""
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            match = OWN_FILE.fullmatch(entry.name)
            if not match:
                continue
            with suppress(FileNotFoundError):
                status, path = entry.stat(follow_symlinks=False), Path(entry.path)
                yield _File(
                    path, status.st_size, status.st_mtime, match["content"], bool(match["torn"])
                )
