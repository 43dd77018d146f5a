"""Which of the files of the index that were not found are gone, and which can't be reached.

A file is gone if a folder on its path, from the folder that was named on, lists other entries but
not the next part of the path. If a folder can't be listed or is empty, a disk or a share may only
be unmounted or unreadable.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ..media.finding import LITTER

# Names, in any case, that systems create in folders, even in the mount point of an absent disk.
CLUTTER = LITTER | {"thumbs.db", "desktop.ini"}


class Unreachable(Exception):
    """Why it is unknown whether a file exists."""


@dataclass
class MissingFiles:
    """What :func:`find_missing` returns; paths sorted."""

    gone: list[str] = field(default_factory=list)
    unreachable: dict[str, str] = field(default_factory=dict)  # path -> why


def find_missing(paths: Iterable[str], folders: Sequence[str]) -> MissingFiles:
    """Sort the absolute ``paths`` below ``folders``; files that exist after all are left out."""
    # the index may have files of a folder that is a link by their real paths
    named = {path(folder) for folder in folders for path in (os.path.abspath, os.path.realpath)}
    roots = sorted(os.path.join(folder, "") for folder in named)
    missing, listings = MissingFiles(), _Listings()
    for path in sorted(paths):
        root = next((root for root in roots if path.startswith(root)), None)
        if root is None:
            continue
        try:
            if listings.is_gone(root, path):
                missing.gone.append(path)
        except Unreachable as reason:
            missing.unreachable[path] = str(reason)
    return missing


class _Listings:
    """Each folder is listed once."""

    def __init__(self):
        self._found: dict[str, frozenset[str] | OSError] = {}

    def _names(self, folder: str) -> frozenset[str]:
        if folder not in self._found:
            try:
                self._found[folder] = frozenset(os.listdir(folder))
            except OSError as error:
                self._found[folder] = error
        names = self._found[folder]
        if isinstance(names, OSError):
            raise Unreachable(f"{folder} can't be listed: {names.strerror}")
        return names

    def is_gone(self, root: str, path: str) -> bool:
        """Whether the file is gone, not there; raises Unreachable if that is unknown."""
        folder = root.rstrip(os.sep) or os.sep
        names = os.path.relpath(path, root).split(os.sep)
        for depth, name in enumerate(names):
            if name not in self._names(folder):
                return self._is_absent(folder, name, is_folder=depth < len(names) - 1)
            folder = os.path.join(folder, name)
            if depth < len(names) - 1 and os.path.isfile(folder):
                return True  # a file has taken the place of the folder
        _check_reachable(path)
        return os.path.isdir(path)  # a folder has taken the place of the file

    def _is_absent(self, folder: str, name: str, is_folder: bool) -> bool:
        path = os.path.join(folder, name)
        if _is_here(path):  # some file systems ignore case
            return False
        names = self._names(folder)
        if all(entry.startswith(".") or entry.lower() in CLUTTER for entry in names):
            raise Unreachable(f"{folder} is empty; is a disk or a share not mounted?")
        # some systems remove a mount point when they unmount
        if is_folder and any(os.path.ismount(os.path.join(folder, entry)) for entry in names):
            raise Unreachable(f"{path} is not there, but others are mounted beside it; was it one?")
        return True


def _is_here(path: str) -> bool:
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise _unreachable(path, error) from error
    return True


def _check_reachable(path: str) -> None:
    """Raise Unreachable if nothing but the file's name can be read."""
    try:
        os.stat(path)
    except FileNotFoundError as error:
        if os.path.islink(path):
            raise Unreachable(f"{path} is a link to a missing file") from error
    except OSError as error:
        raise _unreachable(path, error) from error


def _unreachable(path: str, error: OSError) -> Unreachable:
    # the same message for all files of a folder, which are counted together
    return Unreachable(f"files in {os.path.dirname(path)} can't be reached: {error.strerror}")
