"""Files of the same content: copies, links to one file, and files that are named twice."""

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any


def groups_of_copies(files: Iterable[str]) -> list[list[str]]:
    """
    Args:
        files: paths, each once. One that can't be read is no copy of anything.

    Returns:
        groups of two files or more with the same bytes, in the order given. Only files of equal
        size are read, so that looking through pictures of a camera costs little.
    """
    groups = []
    for same_size in _grouped(files, os.path.getsize):
        # links to one file need not be read to be known as one
        are_links = len(set(map(os.path.realpath, same_size))) == 1
        groups += [same_size] if are_links else _grouped(same_size, _content)
    return groups


def _grouped(paths: Iterable[str], key: Callable[[str], Any]) -> list[list[str]]:
    """Groups of equal keys, of two members or more."""
    groups: dict[Any, list[str]] = defaultdict(list)
    for path in paths:
        try:
            groups[key(path)].append(path)
        except OSError:  # not there: told where it is used
            continue
    return [group for group in groups.values() if len(group) > 1]


def _content(path: str) -> bytes | str:
    """A digest of the content; the real path of what can't be read, which links may share."""
    path = os.path.realpath(path)
    try:
        with open(path, "rb") as f:
            return hashlib.file_digest(f, hashlib.blake2b).digest()
    except OSError:
        return path
