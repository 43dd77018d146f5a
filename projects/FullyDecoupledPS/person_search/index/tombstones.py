"""Tombstones keep forgotten persons out of the index: where a person was, not how they look.

A tombstone identifies a file by its content, which a copy shares and touching it does not change.
It also identifies a video's frame by its content, which stays the same when a recorder rewrites the
header, or when the recording is cut or stored in another container. It holds no feature and no
picture.
"""

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from fully_decoupled_ps.utils.names import decode_name, encode_name

from .disk import explain_disk_errors, is_there

# A detection is of the forgotten person if the boxes' intersection over union is at least this,
MIN_IOU = 0.5
# or if nearly all of the smaller box, which is not much smaller, lies in the other: another network
# or threshold may detect half of the person.
MIN_CONTAINED, MIN_IOU_CONTAINED = 0.9, 0.25
HASH_BLOCK = 1 << 20
# Seconds to wait for another process's commit.
BUSY_TIMEOUT = 30.0


@dataclass(frozen=True)
class Tombstone:
    """A person, a frame or a file that is to stay out of the index."""

    path: str  # where the file was when it was forgotten, without links
    size: int  # bytes that the file had when it was indexed
    mtime_ns: int
    digest: str | None  # :func:`content_digest` of those bytes; None: they could not be read yet
    pts: int | None  # of the frame in its video; None: the picture, or all frames
    box: tuple[float, float, float, float] | None  # x0, y0, x1, y1 in pixels; None: everybody
    forgotten_at: float  # seconds since the epoch
    checksum: int | None = None  # of the video's frame, see :class:`.Frame`; None: not known

    @property
    def tombstone_id(self) -> int:
        """48 bits of a hash: a person who is forgotten twice has one tombstone."""
        content = self.digest or [encode_name(self.path), self.size, self.mtime_ns]
        place = json.dumps((content, self.pts, self.box))
        digest = hashlib.blake2b(place.encode(), digest_size=6).digest()
        return int.from_bytes(digest, "big")

    def to_json(self) -> str:
        """For :meth:`from_json`."""
        return json.dumps({**asdict(self), "path": encode_name(self.path)})

    @classmethod
    def from_json(cls, text: str) -> "Tombstone":
        """What :meth:`to_json` made of a tombstone."""
        content = json.loads(text)
        path, box = decode_name(content["path"]), content["box"]
        return cls(**{**content, "path": path, "box": None if box is None else tuple(box)})


def content_digest(path: str, size: int) -> str | None:
    """BLAKE2b (256 bits, hexadecimal) of a file's first ``size`` bytes; None if it has fewer."""
    return content_digests(path, [size]).get(size)


def content_digests(path: str, sizes: Iterable[int]) -> dict[int, str]:
    """:func:`content_digest` by size, without sizes that the file does not have."""
    found, digest, position = {}, hashlib.blake2b(digest_size=32), 0
    with open(path, "rb") as file:
        for size in sorted(set(sizes)):
            while position < size:
                block = file.read(min(size - position, HASH_BLOCK))
                if not block:
                    return found
                digest.update(block)
                position += len(block)
            found[size] = digest.hexdigest()
    return found


def of_file(
    tombstones: Iterable[Tombstone], path: str, size: int, is_video: bool = False
) -> list[Tombstone]:
    """The tombstones of a file of ``size`` bytes.

    The file is only read if its size is that of a tombstone's file, or if it may be that file,
    grown since then: a recording that continues, perhaps by another name. If it can't be read, its
    size or path decides.
    """
    path = os.path.realpath(path)
    likely = [
        t
        for t in tombstones
        if t.digest and (t.size == size or t.size < size and (is_video or t.path == path))
    ]
    try:
        digests = content_digests(path, {t.size for t in likely}) if likely else {}
    except OSError:
        return [t for t in likely if t.size == size or t.path == path]
    return [t for t in likely if digests.get(t.size) == t.digest]


def is_forgotten(
    tombstones: Sequence[Tombstone],
    pts: int | None,
    boxes: np.ndarray,
    checksum: int | None = None,
) -> np.ndarray:
    """Which of the (R, 4) boxes of a frame are of somebody forgotten, (R,) bool.

    Args:
        tombstones: of the frame's file, or of its checksum.
        pts: of the frame; None for a picture.
        boxes: x0, y0, x1, y1 in pixels.
        checksum: of a video's frame.
    """
    forgotten = np.zeros(len(boxes), dtype=bool)
    for tombstone in tombstones:
        is_same = checksum is not None and tombstone.checksum == checksum
        if is_same or tombstone.pts in (None, pts):
            forgotten |= tombstone.box is None or _is_same(np.asarray(boxes), tombstone.box)
    return forgotten


def _is_same(boxes: np.ndarray, box: Sequence[float]) -> np.ndarray:
    boxes, box = boxes.reshape(-1, 4).astype(np.float64), np.asarray(box, dtype=np.float64)
    sides = np.minimum(boxes[:, 2:], box[2:]) - np.maximum(boxes[:, :2], box[:2])
    common = sides.clip(min=0).prod(axis=1)
    areas, area = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1), (box[2:] - box[:2]).prod()
    iou = common / np.maximum(areas + area - common, 1e-9)
    contained = common / np.maximum(np.minimum(areas, area), 1e-9)
    return (iou >= MIN_IOU) | ((iou >= MIN_IOU_CONTAINED) & (contained >= MIN_CONTAINED))


class TombstoneFile:
    """Tombstones in an SQLite file, for all shards of an index; several processes may write."""

    def __init__(self, path: Path):
        """The file at ``path`` is created with the first tombstone."""
        self.path = path
        self._read: tuple[bytes, list[Tombstone]] = (b"", [])

    def all(self) -> list[Tombstone]:
        """All tombstones, the oldest first; raises a UserError if the file can't be read."""
        if not is_there(self.path):
            return []
        with explain_disk_errors(self.path):
            with open(self.path, "rb") as file:
                header = file.read(100)  # SQLite counts changes in it
            if header != self._read[0]:
                with self._transaction() as db:
                    rows = db.execute("SELECT content FROM tombstones").fetchall()
                found = sorted((Tombstone.from_json(row[0]) for row in rows), key=age)
                self._read = (header, found)
        return self._read[1]

    def put(self, tombstones: Iterable[Tombstone], removed: Iterable[int] = ()) -> None:
        """Add tombstones, and remove those of some ids, in one transaction."""
        with explain_disk_errors(self.path), self._transaction() as db:
            db.executemany(
                "DELETE FROM tombstones WHERE tombstone_id = ?", [(number,) for number in removed]
            )
            db.executemany(
                "INSERT OR REPLACE INTO tombstones VALUES (?, ?)",
                [(t.tombstone_id, t.to_json()) for t in tombstones],
            )

    @contextmanager
    def _transaction(self):
        db = sqlite3.connect(self.path, timeout=BUSY_TIMEOUT)
        try:
            db.execute("PRAGMA secure_delete = ON")
            db.execute(
                "CREATE TABLE IF NOT EXISTS tombstones "
                "(tombstone_id INTEGER PRIMARY KEY, content TEXT NOT NULL)"
            )
            with db:  # commits at its end
                yield db
        finally:
            db.close()


def age(tombstone: Tombstone) -> tuple:
    """To sort by: the oldest first."""
    return tombstone.forgotten_at, tombstone.tombstone_id
