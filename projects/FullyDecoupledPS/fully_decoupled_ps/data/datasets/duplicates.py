"""Files of the same content: copies, links to one file, and files that are named twice."""

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

BLOCK = 1 << 20  # bytes read at a time


def groups_of_copies(files: Iterable[str]) -> list[list[str]]:
    """
    Args:
        files: paths, each once. One that can't be read is no copy of anything.

    Returns:
        groups of two files or more with the same bytes, in the order given. Only files of equal
        size are read, so that looking through pictures of a camera costs little.
    """
    of_size = _grouped([(path, path) for path in files], os.path.getsize)
    groups = []
    for same_size in of_size:
        # links to one file need not be read to be known as one
        by_file = _grouped([(path, path) for path in same_size], os.path.realpath, least=1)
        firsts = [(group[0], group) for group in by_file]
        same = _grouped(firsts, _digest) if len(firsts) > 1 else []
        merged = [sorted(sum(many, []), key=same_size.index) for many in same]
        inside = {path for group in merged for path in group}
        groups += merged + [g for g in by_file if len(g) > 1 and g[0] not in inside]
    return groups


def _grouped(
    items: Iterable[tuple[str, Any]], key: Callable[[str], Any], least: int = 2
) -> list[list[Any]]:
    """The second of each item, in groups of equal keys of the first, of `least` members or more."""
    groups: dict[Any, list[Any]] = defaultdict(list)
    for path, value in items:
        try:
            groups[key(path)].append(value)
        except OSError:  # not there or not to be read: told where it is used
            continue
    return [group for group in groups.values() if len(group) >= least]


def _digest(path: str) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    with open(path, "rb") as f:
        while block := f.read(BLOCK):
            digest.update(block)
    return digest.digest()
