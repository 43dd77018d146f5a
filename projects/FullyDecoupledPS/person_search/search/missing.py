"""Files of the index that are not found any more: which are gone for certain, and which are not.

A file is gone for certain where a folder on its way, from the one that was named on, lists other
entries but not the next one. Where a folder can't be listed, or lists nothing, a disk or a share
may just not be mounted, or may not be read for now.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ..media.finding import LITTER

# What systems leave in a folder, also in the mount point of a disk that is not there; in any case.
CLUTTER = LITTER | {"thumbs.db", "desktop.ini"}


class Unreachable(Exception):
    """Why it can't be said whether a file is there."""


@dataclass
class MissingFiles:
    """What :func:`find_missing` returns; paths sorted."""

    gone: list[str] = field(default_factory=list)  # for certain
    unreachable: dict[str, str] = field(default_factory=dict)  # path -> why


def find_missing(paths: Iterable[str], folders: Sequence[str]) -> MissingFiles:
    """Sort out what was not found.

    Args:
        paths: absolute; those that do not lie below one of the folders are passed over.
        folders: that were searched.

    Returns:
        MissingFiles: files that are there after all are in neither part of it.
    """
    # a folder that was named by a link: its files may be in by their real paths
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
        """Whether the file is gone; False if it is there.

        Raises:
            Unreachable: if neither can be said.
        """
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
        if _is_here(path):  # by a name in other letters, as some systems allow
            return False
        names = self._names(folder)
        if all(entry.startswith(".") or entry.lower() in CLUTTER for entry in names):
            raise Unreachable(f"{folder} is empty; is a disk or a share not mounted?")
        # some systems remove a mount point together with its mount
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
    """
    Raises:
        Unreachable: if no more can be had of the file than its name in its folder.
    """
    try:
        os.stat(path)
    except FileNotFoundError as error:
        if os.path.islink(path):
            raise Unreachable(f"{path} is a link to what is not there") from error
    except OSError as error:
        raise _unreachable(path, error) from error


def _unreachable(path: str, error: OSError) -> Unreachable:
    """The same words for all files of a folder."""
    return Unreachable(f"files in {os.path.dirname(path)} can't be reached: {error.strerror}")
