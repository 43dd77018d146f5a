"""Annotation files are read once per process, and again only when one of them has changed."""

import os
import pickle
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

Dicts = list[dict[str, Any]]
Protocols = dict[str, list[dict[str, Any]]]

MAX_ENTRIES = 16
_entries: "OrderedDict[tuple, tuple[int, bytes, Protocols]]" = OrderedDict()


def _state(paths: Sequence[str]) -> int:
    """A number that changes when a file, or a file in one of the folders, changes."""
    stats = []
    for path in paths:
        try:
            files = list(os.scandir(path)) if os.path.isdir(path) else [path]
            for file in files:
                stat = os.stat(file)
                stats.append((os.fspath(file), stat.st_size, stat.st_mtime_ns))
        except FileNotFoundError:
            stats.append((path, None, None))
    return hash(frozenset(stats))


def read_once(
    key: tuple, paths: Sequence[str], read: Callable[[], tuple[Dicts, Protocols]]
) -> tuple[Callable[[], Dicts], Protocols]:
    """
    Args:
        key: names the dataset
        paths: the files and folders that `read` reads
        read: returns dataset dicts and protocols

    Returns:
        a function that makes a fresh copy of the dicts (callers may change theirs), and the
        protocols, which all callers share and nobody changes
    """
    state = _state(paths)
    if key not in _entries or _entries[key][0] != state:
        dicts, protocols = read()
        _entries[key] = (state, pickle.dumps(dicts, pickle.HIGHEST_PROTOCOL), protocols)
    _entries.move_to_end(key)
    while len(_entries) > MAX_ENTRIES:
        _entries.popitem(last=False)
    _, pickled, protocols = _entries[key]
    return lambda: pickle.loads(pickled), protocols
