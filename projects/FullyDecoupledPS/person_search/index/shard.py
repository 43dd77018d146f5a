"""One shard of an index: its records, its features, and what searches them."""

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from fully_decoupled_ps.utils.files import sync_folder

from .base import IndexWriter
from .exact import EXACT_LIMIT, ExactSearcher
from .feature_store import FeatureStore
from .locking import WriterLock
from .records import Filters, NewFrame, Source, SourceState
from .records_db import Records

logger = logging.getLogger(__name__)

RECORDS_FILE = "records.sqlite"
# The feature file is rewritten once a larger share of its rows belongs to removed persons.
MAX_FREE_SHARE = 0.2


class Shard:
    """Reads a shard. Ids are the shard's own."""

    def __init__(self, folder: Path, dim: int):
        self.folder = folder
        self.dim = dim
        self.records = Records(folder / RECORDS_FILE)
        self._revision = None
        self._store = FeatureStore(folder / "none", dim, 0)
        self._searcher = None
        self._rows_passing: tuple = (None, None)

    def close(self) -> None:
        self.records.close()
        self._searcher = None

    def refresh(self) -> bool:
        """Take note of the last commit; returns whether it is a new one."""
        revision = self.records.get("revision", 0)
        if revision == self._revision:
            return False
        self._store = open_store(self.records, self.folder, self.dim)
        self._searcher = None
        self._rows_passing = (None, None)
        self._revision = revision
        return True

    def features(self, person_ids: Sequence[int]) -> dict[int, np.ndarray]:
        """(D,) float32 by person; those that are not there are left out."""
        with self.records.snapshot():
            self.refresh()
            rows = self.records.feature_rows(person_ids)
            stored = self._store.read()
            return {person: stored[row].astype(np.float32) for person, row in rows.items()}

    def nearest(self, feature: np.ndarray, top: int, filters: Filters):
        """See :meth:`PersonIndex.nearest`."""
        with self.records.snapshot():  # rows and persons of the same commit
            self.refresh()
            if self._searcher is None:
                self._searcher = self._make_searcher()
            allowed = self._allowed_rows(filters)
            rows, similarities = self._searcher.search(feature, top, allowed)
            found = self.records.at_rows(rows.tolist())
        ids = np.array([found[row][0] for row in rows.tolist()], dtype=np.int64)
        scores = np.array([found[row][1] for row in rows.tolist()], dtype=np.float32)
        return ids, similarities, scores

    def _make_searcher(self):
        features, ivf = self._store.read(), self.records.get("ivf")
        if ivf is not None:
            from .ivf import IVFSearcher

            return IVFSearcher(self.folder, ivf, features)
        if len(features) > EXACT_LIMIT:
            logger.warning(
                "%s: %d persons are searched one by one, which is slow; "
                "`person-search index` with the same --index makes the search fast",
                *(self.folder, len(features)),
            )
        return ExactSearcher(features)

    def _allowed_rows(self, filters: Filters) -> np.ndarray | None:
        """Rows that take part, or None if all do."""
        if self._rows_passing[0] != filters:
            if filters:
                rows = self.records.rows_passing(filters)
            elif len(self.records.free_rows()):
                rows = self.records.all_rows()
            else:
                rows = None
            self._rows_passing = (filters, rows)
        return self._rows_passing[1]


def open_store(records: Records, folder: Path, dim: int) -> FeatureStore:
    """The feature file that the records name, with its valid rows."""
    name = records.get("features_file", "features-0.f16")
    return FeatureStore(folder / name, dim, records.get("rows", 0))


class ShardWriter(IndexWriter):
    """Writes a shard. A commit flushes the features first, then the records, which count them."""

    def __init__(self, folder: Path, dim: int):
        """Raises a UserError if another process writes to the shard, or it is damaged."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.dim = dim
        self._lock = WriterLock(folder)
        try:
            self.records = Records(folder / RECORDS_FILE)
            self.store = open_store(self.records, folder, dim)
            # finish what a killed writer left undone
            self.store.cut()
            self._erase_free_rows()
            self._remove_stale_files()
        except BaseException:
            self._lock.release()
            raise

    def _remove_stale_files(self) -> None:
        ivf = self.records.get("ivf") or {}
        current = {self.store.path.name, ivf.get("file")}
        for path in [*self.folder.glob("features-*.f16"), *self.folder.glob("ivf-*")]:
            if path.name not in current:
                path.unlink()

    def close(self) -> None:
        try:
            self.records.rollback()
            # rows that were appended but never committed
            open_store(self.records, self.folder, self.dim).cut()
        finally:
            self.records.close()
            self._lock.release()

    def states(self) -> dict[str, SourceState]:
        return self.records.states()

    def checksums(self, path: str) -> dict[int, int | None]:
        return self.records.checksums(path)

    def begin(self, source: Source, goes_on: bool = False) -> None:
        self.records.begin()
        if not goes_on:
            self.records.remove_source(source.path)
        self.records.put_source(source)

    def update(self, source: Source) -> None:
        self.records.begin()
        self.records.put_source(source, is_done=True)

    def add(self, path: str, frame: NewFrame) -> None:
        self.records.begin()
        self.records.add_frame(path, frame, self.store.append(frame.features))

    def finish(self, path: str) -> None:
        self.records.begin()
        self.records.set_done(path)

    def remove(self, paths: Iterable[str]) -> None:
        self.records.begin()
        for path in paths:
            self.records.remove_source(path)

    def remove_persons(self, person_ids: Sequence[int]) -> int:
        """Remove persons; their frames stay. Returns how many there were."""
        self.records.begin()
        found = self.records.feature_rows(person_ids)
        self.records.remove_persons(list(found))
        return len(found)

    def commit(self) -> None:
        self.store.flush()
        self.records.begin()
        self.records.set("rows", self.store.rows)
        self.records.set("features_file", self.store.path.name)
        self._end_transaction()
        self._erase_free_rows()

    def _end_transaction(self) -> None:
        if len(self.records.free_rows(only_to_erase=True)):
            # it also holds codes of the removed persons
            self.records.set("ivf", None)
        self.records.set("revision", self.records.get("revision", 0) + 1)
        self.records.commit()
        sync_folder(self.folder)

    def _erase_free_rows(self) -> None:
        rows = self.records.free_rows(only_to_erase=True)
        if len(rows) == 0:
            return
        self.store.erase(rows.tolist())
        self._remove_stale_files()
        self.records.begin()
        self.records.set_erased()
        self.records.commit()

    def optimize(self) -> None:
        free = len(self.records.free_rows())
        if free > MAX_FREE_SHARE * self.store.rows:
            self._compact()
        if self.store.rows - free <= EXACT_LIMIT and self.records.get("ivf") is None:
            return
        from .ivf import build_or_extend

        old = self.records.get("ivf")
        ivf = build_or_extend(self.folder, old, self.store, self.records.all_rows())
        if ivf != old:
            self.records.begin()
            self.records.set("ivf", ivf)
            self._end_transaction()
            self._remove_stale_files()

    def _compact(self) -> None:
        """Rewrite the feature file without the rows of removed persons."""
        generation = int(self.store.path.stem.split("-")[1]) + 1
        rows = self.records.all_rows()
        copy = self.store.copy_rows(rows, self.folder / f"features-{generation}.f16")
        self.records.begin()
        self.records.renumber_rows()
        self.store = copy
        self.records.set("ivf", None)
        self.commit()
        self._remove_stale_files()
