"""An index in a folder: one shard, or several that were written by different processes."""

import heapq
import itertools
import json
import os
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from fully_decoupled_ps.utils.files import sync_folder

from ..errors import NoIndexError, UserError
from .base import IndexWriter, PersonIndex, frame_order
from .disk import explain_disk_errors, is_there
from .records import (
    NO_FILTERS,
    Counts,
    Filters,
    Frame,
    IndexInfo,
    Person,
    Source,
    info_from_json,
)
from .shard import RECORDS_FILE, Shard, ShardWriter
from .tombstones import Tombstone, TombstoneFile

INFO_FILE = "index.json"
TOMBSTONES_FILE = "forgotten.sqlite"


class LocalIndex(PersonIndex):
    """::

        DIR/index.json           version, fingerprint, dimension, number of shards
        DIR/forgotten.sqlite     tombstones: who is not to come back
        DIR/shard-1-of-1/
            records.sqlite       files, frames, persons, and how many features are valid
            features-0.f16       the features
            ivf-*.faiss          from 200,000 persons on, to search them fast
            lock

    Ids outside a shard are ``id * num_shards + shard - 1``, with the shard counted from 1.
    """

    def __init__(self, folder: Path, info: IndexInfo):
        """Use :func:`open_local`."""
        self.location = str(folder)
        self.folder = folder
        self.info = info
        self.check_version()
        self._shards: dict[int, Shard] = {}
        self._tombstones = TombstoneFile(folder / TOMBSTONES_FILE)
        self._open_shards()

    def _shard_folder(self, shard: int) -> Path:
        return self.folder / f"shard-{shard}-of-{self.info.num_shards}"

    def _open_shards(self) -> None:
        """Open the shards that exist by now; other processes may still create theirs."""
        for shard in range(1, self.info.num_shards + 1):
            folder = self._shard_folder(shard)
            if shard not in self._shards and is_there(folder / RECORDS_FILE):
                self._shards[shard] = Shard(folder, self.info.dim)

    def close(self) -> None:
        for shard in self._shards.values():
            shard.close()
        self._shards = {}

    def refresh(self) -> bool:
        self._open_shards()
        return any([shard.refresh() for shard in self._shards.values()])

    # ids

    def _outer(self, local_id: int, shard: int) -> int:
        return local_id * self.info.num_shards + shard - 1

    def _inner(self, outer_id: int) -> tuple[int, int]:
        """The id within its shard, and the shard."""
        local_id, shard = divmod(int(outer_id), self.info.num_shards)
        return local_id, shard + 1

    def _by_shard(self, outer_ids: Sequence[int]) -> dict[int, list[int]]:
        groups: dict[int, list[int]] = {}
        for outer_id in outer_ids:
            local_id, shard = self._inner(outer_id)
            if shard in self._shards:
                groups.setdefault(shard, []).append(local_id)
        return groups

    def _outer_frame(self, frame: Frame, shard: int) -> Frame:
        return replace(frame, frame_id=self._outer(frame.frame_id, shard))

    # reading

    def counts(self) -> Counts:
        each = [shard.records.counts() for shard in self._shards.values()]
        return Counts(*(sum(counts) for counts in zip(*each))) if each else Counts(0, 0, 0)

    def cameras(self) -> list[str]:
        return sorted({c for shard in self._shards.values() for c in shard.records.cameras()})

    def time_range(self) -> tuple[float, float] | None:
        ranges = [shard.records.time_range() for shard in self._shards.values()]
        times = [time for times in ranges if times for time in times]
        return (min(times), max(times)) if times else None

    def frames(
        self, filters: Filters = NO_FILTERS, offset: int = 0, limit: int = 50
    ) -> list[Frame]:
        first, count = (0, offset + limit) if len(self._shards) > 1 else (offset, limit)
        each = [
            [self._outer_frame(frame, n) for frame in shard.records.frames(filters, first, count)]
            for n, shard in self._shards.items()
        ]
        merged = heapq.merge(*each, key=frame_order)
        return list(itertools.islice(merged, offset - first, offset - first + limit))

    def count_frames(self, filters: Filters = NO_FILTERS) -> int:
        return sum(shard.records.count_frames(filters) for shard in self._shards.values())

    def find_frames(self, path: str, pts: int | None = None) -> list[Frame]:
        return [
            self._outer_frame(frame, n)
            for n, shard in self._shards.items()
            for frame in shard.records.find_frames(path, pts)
        ]

    def persons(self, frame_id: int) -> list[Person]:
        local_id, shard = self._inner(frame_id)
        if shard not in self._shards:
            return []
        ids = self._shards[shard].records.persons_of(local_id)
        return self.get_persons([self._outer(i, shard) for i in ids])

    def get_persons(self, person_ids: Sequence[int]) -> list[Person]:
        found = {}
        for n, ids in self._by_shard(person_ids).items():
            for local_id, person in self._shards[n].records.get_persons(ids).items():
                outer_id = self._outer(local_id, n)
                frame = self._outer_frame(person.frame, n)
                found[outer_id] = replace(person, person_id=outer_id, frame=frame)
        return [self._found(found, person_id) for person_id in person_ids]

    def features(self, person_ids: Sequence[int]) -> np.ndarray:
        found = {}
        for n, ids in self._by_shard(person_ids).items():
            for local_id, feature in self._shards[n].features(ids).items():
                found[self._outer(local_id, n)] = feature
        rows = [self._found(found, person_id) for person_id in person_ids]
        return np.stack(rows) if rows else np.zeros((0, self.info.dim), dtype=np.float32)

    def nearest(self, feature: np.ndarray, top: int, filters: Filters):
        each = []
        for n, shard in self._shards.items():
            ids, similarities, scores = shard.nearest(feature, top, filters)
            each.append((self._outer(ids, n), similarities, scores))
        if not each:
            return np.zeros(0, np.int64), np.zeros(0, np.float32), np.zeros(0, np.float32)
        ids, similarities, scores = (np.concatenate(parts) for parts in zip(*each))
        order = np.lexsort((ids, -similarities))[:top]
        return ids[order], similarities[order], scores[order]

    # writing

    def writer(self, shard: int = 1) -> IndexWriter:
        if not 1 <= shard <= self.info.num_shards:
            raise UserError(f"shard {shard}: the index has shards 1 to {self.info.num_shards}")
        with explain_disk_errors(self.folder):
            return ShardWriter(self._shard_folder(shard), self.info.dim)

    def sources(self) -> dict[str, Source]:
        return {
            path: state.source
            for shard in self._shards.values()
            for path, state in shard.records.states().items()
        }

    def tombstones(self) -> list[Tombstone]:
        return self._tombstones.all()

    def put_tombstones(self, added: Iterable[Tombstone], removed: Iterable[int] = ()) -> None:
        self._tombstones.put(added, removed)

    def forget(self, person_ids: Sequence[int], tombstones: Sequence[Tombstone] = ()) -> int:
        removed = 0
        groups = self._by_shard(person_ids)
        with ExitStack() as stack:
            # lock every shard before any change, so that a refusal leaves nothing half done and no
            # other process adds a copy of the file in the meantime
            writers = {n: stack.enter_context(self.writer(n)) for n in self._shards}
            if tombstones:
                self.put_tombstones(tombstones)
            for n, ids in groups.items():
                removed += writers[n].remove_persons(ids)
                writers[n].commit()
                writers[n].records.vacuum()
            for n in groups:
                writers[n].optimize()
        self.refresh()
        return removed


def open_local(folder: Path, create: IndexInfo | None = None) -> LocalIndex:
    """See :func:`open_index`."""
    path = folder / INFO_FILE
    if create is not None and not is_there(path):
        _create(folder, create)
    if not is_there(path):
        raise NoIndexError(
            f"--index {folder}: there is no index; make one with "
            f"`person-search index PATHS --index {folder}`"
        )
    info = read_info(path)
    index = LocalIndex(folder, info)
    if create is not None:
        index.check_model(create.fingerprint, create.precision)
        if create.num_shards != info.num_shards:
            index.close()
            if info.num_shards == 1:
                raise UserError(
                    f"--shard i/{create.num_shards}: index {folder} is not split; leave --shard "
                    "out, or name another folder"
                )
            raise UserError(
                f"index {folder} is split into {info.num_shards} shards; run it with "
                f"--shard 1/{info.num_shards} to --shard {info.num_shards}/{info.num_shards}"
            )
    return index


def _create(folder: Path, info: IndexInfo) -> None:
    """Make the folder and its ``index.json``, unless another process has just done so."""
    with explain_disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        others = [p.name for p in folder.iterdir() if not p.name.startswith(".")]
        if others and INFO_FILE not in others:
            raise UserError(
                f"--index {folder} holds other files ({others[0]} for one); name an empty or a "
                "new folder"
            )
        temporary = folder / f".{INFO_FILE}.{os.getpid()}.tmp"
        temporary.write_text(json.dumps(asdict(info), indent=2))
        try:
            os.link(temporary, folder / INFO_FILE)
        except FileExistsError:
            pass
        finally:
            temporary.unlink()
        sync_folder(folder)


def read_info(path: Path) -> IndexInfo:
    """The content of ``index.json``; raises a UserError if it is damaged."""
    try:
        return info_from_json(path.read_text())
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UserError(
            f"{path} is damaged ({error}); restore it from a backup, or delete the index and make "
            "it again"
        ) from error
