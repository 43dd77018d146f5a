"""An index in Milvus, for those who outgrow one machine: the same interface, through pymilvus.

Milvus has no transactions. Ids are a hash of the file's path, the frame's pts and the person's
number in the frame, so adding a frame again overwrites it. Persons are written before their frame,
and frames before their file is marked as done, so a killed run costs work and never data.
"""

import hashlib
import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace

import numpy as np

from fully_decoupled_ps.utils.names import decode_name, encode_name

from ..errors import NoIndexError, UserError
from .base import IndexWriter, PersonIndex, frame_order
from .milvus_collections import (
    BOX,
    FIELDS,
    FRAME_FIELDS,
    FRAMES,
    INFO_ID,
    NO_VALUE,
    PERSON_FIELDS,
    PERSONS,
    REWRITTEN,
    SOURCES,
    TOMBSTONES,
    create_collection,
    placeholder,
    quoted,
)
from .milvus_lease import WriterLease
from .records import (
    NO_FILTERS,
    Counts,
    Filters,
    Frame,
    IndexInfo,
    NewFrame,
    Person,
    Source,
    SourceState,
    info_from_json,
)
from .tombstones import Tombstone, age

# Milvus answers no query for more.
MAX_RESULTS = 16_384
BATCH = 1000
PREFIX = "milvus://"
# No pings while idle: a server may take them for an attack and close the connection, which gRPC
# reports on the console.
GRPC_OPTIONS = {"grpc.keepalive_permit_without_calls": False}


def stable_id(path: str, *numbers: int) -> int:
    """63 bits of a hash: the same for the same arguments, in every process."""
    parts = (encode_name(path), *numbers)
    digest = hashlib.blake2b(json.dumps(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


class MilvusIndex(PersonIndex):
    """Collections: persons (named as asked), frames, files, tombstones and writers' leases."""

    def __init__(self, client, location: str, collection: str, info: IndexInfo):
        """Use :func:`open_milvus`."""
        self.client = client
        self.location = location
        self.collection = collection
        self.info = info
        self._frames: list[Frame] | None = None
        self._by_path: dict[str, list[Frame]] | None = None
        self._tombstones: list[Tombstone] | None = None
        self.check_version()

    def name_of(self, kind: str) -> str:
        """The name of the collection of a kind."""
        return self.collection + kind

    def close(self) -> None:
        self.client.close()

    def refresh(self) -> bool:
        had_frames, self._frames, self._by_path = self._frames is not None, None, None
        self._tombstones = None
        return had_frames

    # reading

    @contextmanager
    def errors(self):
        """Turn what pymilvus raises into a :class:`UserError`."""
        from pymilvus.exceptions import MilvusException

        try:
            yield
        except MilvusException as error:
            raise UserError(
                f"{self.location}: Milvus says: {' '.join(str(error.message).split())}; check the "
                "server, and run the same command again"
            ) from error

    def batches(self, kind: str, condition: str, fields: Iterable[str]) -> Iterator[list[dict]]:
        """All entities of a collection that fulfil a condition."""
        fields = list(fields)
        with self.errors():
            iterator = self.client.query_iterator(
                self.name_of(kind), filter=condition, output_fields=fields, batch_size=BATCH
            )
            while batch := iterator.next():
                # of Milvus Lite they have the key twice
                yield [{field: row[field] for field in fields} for row in batch]
            iterator.close()

    def query(self, kind: str, condition: str, fields: Iterable[str]) -> list[dict]:
        """As :meth:`batches`, in one list."""
        return [row for batch in self.batches(kind, condition, fields) for row in batch]

    def get(self, kind: str, ids: Sequence[int], fields: Iterable[str]) -> dict[int, dict]:
        """Entities by id, which is the first field; those that don't exist are left out."""
        found, fields = {}, list(fields)
        with self.errors():
            for start in range(0, len(ids), BATCH):
                some = [int(i) for i in ids[start : start + BATCH]]
                rows = self.client.get(self.name_of(kind), ids=some, output_fields=fields)
                found.update({row[fields[0]]: row for row in rows})
        return found

    def _count(self, kind: str) -> int:
        with self.errors():
            name = self.name_of(kind)
            return self.client.query(name, filter="", output_fields=["count(*)"])[0]["count(*)"]

    def counts(self) -> Counts:
        return Counts(self._count(SOURCES) - 1, self._count(FRAMES), self._count(PERSONS))

    def all_frames(self) -> list[Frame]:
        """All frames, in the order of :meth:`frames`; Milvus can't sort."""
        if self._frames is None:
            rows = self.query(FRAMES, "frame_id >= 0", FRAME_FIELDS)
            self._frames = sorted(map(_frame, rows), key=frame_order)
        return self._frames

    def cameras(self) -> list[str]:
        return sorted({frame.camera for frame in self.all_frames()})

    def time_range(self) -> tuple[float, float] | None:
        frames = self.all_frames()
        return (frames[0].time, frames[-1].time) if frames else None

    def _passing(self, filters: Filters) -> list[Frame]:
        return [
            frame
            for frame in self.all_frames()
            if (not filters.cameras or frame.camera in filters.cameras)
            and (filters.start is None or frame.time >= filters.start)
            and (filters.end is None or frame.time <= filters.end)
        ]

    def frames(
        self, filters: Filters = NO_FILTERS, offset: int = 0, limit: int = 50
    ) -> list[Frame]:
        return self._passing(filters)[offset : offset + limit]

    def count_frames(self, filters: Filters = NO_FILTERS) -> int:
        return len(self._passing(filters))

    def find_frames(self, path: str, pts: int | None = None) -> list[Frame]:
        if self._by_path is None:
            self._by_path = {}
            for frame in self.all_frames():
                self._by_path.setdefault(frame.path, []).append(frame)
        return [f for f in self._by_path.get(path, ()) if pts in (None, f.pts)]

    def persons(self, frame_id: int) -> list[Person]:
        rows = self.query(PERSONS, f"frame_id == {int(frame_id)}", PERSON_FIELDS)
        return sorted(map(_person, rows), key=lambda p: (-p.score, p.person_id))

    def get_persons(self, person_ids: Sequence[int]) -> list[Person]:
        found = self.get(PERSONS, person_ids, PERSON_FIELDS)
        return [_person(self._found(found, person_id)) for person_id in person_ids]

    def features(self, person_ids: Sequence[int]) -> np.ndarray:
        found = self.get(PERSONS, person_ids, ["person_id", "feature"])
        rows = [self._found(found, person_id)["feature"] for person_id in person_ids]
        return np.array(rows, dtype=np.float32).reshape(-1, self.info.dim)

    def nearest(self, feature: np.ndarray, top: int, filters: Filters):
        with self.errors():
            hits = self.client.search(
                self.name_of(PERSONS),
                [feature.astype(np.float32).tolist()],
                limit=min(top, MAX_RESULTS),
                filter=_condition(filters),
                output_fields=["score"],
                search_params={"metric_type": "IP"},
            )[0]
        ids = np.array([hit["person_id"] for hit in hits], dtype=np.int64)
        similarities = np.array([hit["distance"] for hit in hits], dtype=np.float32)
        scores = np.array([hit["entity"]["score"] for hit in hits], dtype=np.float32)
        return ids, similarities, scores

    # writing

    def writer(self, shard: int = 1) -> "MilvusWriter":
        return MilvusWriter(self, shard)

    def upsert(self, kind: str, rows: list[dict]) -> None:
        """Write entities; those of the same id are overwritten."""
        extra = {} if kind == PERSONS else placeholder()
        with self.errors():
            for start in range(0, len(rows), BATCH):
                some = [{**row, **extra} for row in rows[start : start + BATCH]]
                self.client.upsert(self.name_of(kind), some)

    def delete(self, kind: str, ids: Sequence[int]) -> None:
        with self.errors():
            for start in range(0, len(ids), BATCH):
                self.client.delete(self.name_of(kind), ids=ids[start : start + BATCH])

    def states(self, condition: str = f"source_id != {INFO_ID}") -> dict[str, SourceState]:
        """What is known of every file, by path."""
        states = {}
        for row in self.query(SOURCES, condition, FIELDS[SOURCES]):
            names = {"path": decode_name(row["path"]), "camera": decode_name(row["camera"])}
            source = Source(**{key: row[key] for key in Source.__dataclass_fields__} | names)
            states[source.path] = SourceState(source, bool(row["is_done"]))
        return states

    def sources(self) -> dict[str, Source]:
        return {path: state.source for path, state in self.states().items()}

    def tombstones(self) -> list[Tombstone]:
        if self._tombstones is None:
            rows = []
            with self.errors():
                if self.client.has_collection(self.name_of(TOMBSTONES)):
                    self.client.load_collection(self.name_of(TOMBSTONES))
                    rows = self.query(TOMBSTONES, "tombstone_id >= 0", ["content"])
            self._tombstones = sorted(
                (Tombstone.from_json(row["content"]) for row in rows), key=age
            )
        return self._tombstones

    def put_tombstones(self, added: Iterable[Tombstone], removed: Iterable[int] = ()) -> None:
        with self.errors():
            create_collection(self.client, self.name_of(TOMBSTONES), TOMBSTONES)
        rows = [{"tombstone_id": t.tombstone_id, "content": t.to_json()} for t in added]
        self.upsert(TOMBSTONES, rows)
        self.delete(TOMBSTONES, list(removed))
        self._tombstones = None

    def forget(self, person_ids: Sequence[int], tombstones: Sequence[Tombstone] = ()) -> int:
        there = list(self.get(PERSONS, person_ids, ["person_id"]))
        if not there and not tombstones:
            return 0
        lease = WriterLease(self, shard=0, num_shards=0)
        try:
            if tombstones:
                self.put_tombstones(tombstones)
            if not there:
                return 0
            self.delete(PERSONS, there)
            self._rewrite(lease)
        finally:
            lease.release()
        return len(there)

    def _rewrite(self, lease: WriterLease) -> None:
        """Copy the persons to a new collection, and drop the old one.

        A deletion only hides an entity: its bytes stay in Milvus' files until a compaction, which
        may never happen. The files of a dropped collection are removed.
        """
        new, old = self.name_of(REWRITTEN), self.name_of(PERSONS)
        with self.errors():
            if self.client.has_collection(new):
                self.client.drop_collection(new)
            create_collection(self.client, new, PERSONS, self.info.dim)
            for batch in self.batches(PERSONS, "person_id >= 0", [*PERSON_FIELDS, "feature"]):
                self.client.insert(new, batch)
            self.client.flush(new)
            lease.check()
            self.client.drop_collection(old)
            self.client.rename_collection(new, old)
            self.client.load_collection(old)


class MilvusWriter(IndexWriter):
    """Collects what is added, and sends it at a commit."""

    def __init__(self, index: MilvusIndex, shard: int):
        self.index = index
        self._lease = WriterLease(index, shard, index.info.num_shards)
        index.refresh()  # nobody can be forgotten while this writer has the lease
        self._sources: dict[str, Source] = {}
        self._done: set[str] = set()
        self._frames: list[dict] = []
        self._persons: list[dict] = []

    def close(self) -> None:
        self._lease.release()
        self.index.refresh()

    def states(self) -> dict[str, SourceState]:
        return self.index.states()

    def checksums(self, path: str) -> dict[int, int | None]:
        rows = self.index.query(FRAMES, _of_path(path), FRAME_FIELDS)
        frames = [_frame(row) for row in rows]
        return {frame.pts: frame.checksum for frame in frames if frame.pts is not None}

    def begin(self, source: Source, goes_on: bool = False) -> None:
        if goes_on:
            self._change_frames(source)
        elif self._known(source.path):
            self.remove([source.path])
        self._sources[source.path] = source
        self._done.discard(source.path)

    def _known(self, path: str) -> Source | None:
        """The file as the index has it."""
        found = self.index.states(f"source_id == {stable_id(path)}")
        return found[path].source if found else None

    def update(self, source: Source) -> None:
        self._change_frames(source)
        self._sources[source.path] = source
        self._done.add(source.path)

    def _change_frames(self, source: Source) -> None:
        """Give the file's frames in the index its new camera and start time."""
        before = self._known(source.path)
        if before is None or (before.camera, before.start) == (source.camera, source.start):
            return
        for kind, fields in ((PERSONS, [*PERSON_FIELDS, "feature"]), (FRAMES, FRAME_FIELDS)):
            rows = self.index.query(kind, _of_path(source.path), fields)
            for row in rows:
                row.update(
                    camera=encode_name(source.camera), time=source.start + row["time_offset"]
                )
            self._upsert(kind, rows)

    def add(self, path: str, frame: NewFrame) -> None:
        source = self._sources[path]
        pts = NO_VALUE if frame.pts is None else frame.pts
        row = {
            **{"frame_id": stable_id(path, pts), "path": encode_name(path), "pts": pts},
            "camera": encode_name(source.camera),
            "time": source.start + frame.offset,
            **{"width": frame.width, "height": frame.height, "time_offset": frame.offset},
            "checksum": NO_VALUE if frame.checksum is None else frame.checksum,
        }
        self._frames.append(row)
        for i, (box, score, feature) in enumerate(
            zip(frame.boxes.tolist(), frame.scores.tolist(), frame.features)
        ):
            self._persons.append(
                {
                    **row,
                    "person_id": stable_id(path, pts, i),
                    **dict(zip(BOX, box)),
                    "score": score,
                    "feature": feature.astype(np.float32).tolist(),
                }
            )

    def finish(self, path: str) -> None:
        self._done.add(path)

    def remove(self, paths: Iterable[str]) -> None:
        for path in paths:
            self.commit()
            self._lease.check()
            with self.index.errors():
                for kind in (PERSONS, FRAMES, SOURCES):
                    self.index.client.delete(self.index.name_of(kind), filter=_of_path(path))

    def commit(self) -> None:
        self._upsert(PERSONS, self._persons)
        self._upsert(FRAMES, self._frames)
        rows = [
            {**_source_row(source), "is_done": int(path in self._done)}
            for path, source in self._sources.items()
        ]
        self._upsert(SOURCES, rows)
        self._persons, self._frames = [], []
        self._sources = {p: s for p, s in self._sources.items() if p not in self._done}
        self._done.clear()

    def _upsert(self, kind: str, rows: list[dict]) -> None:
        self._lease.check()
        self.index.upsert(kind, rows)

    def optimize(self) -> None:
        """Nothing to do: Milvus maintains its own index."""


def open_milvus(location: str, create: IndexInfo | None = None) -> MilvusIndex:
    """See :func:`open_index`."""
    address, _, collection = location.removeprefix(PREFIX).rpartition("/")
    if not address or not collection.isidentifier():
        raise UserError(
            f"--index {location}: write milvus://HOST:PORT/COLLECTION, the collection's name of "
            "letters, digits and underscores"
        )
    index = MilvusIndex(
        _connect(location, address), location, collection, create or IndexInfo("", 0, "")
    )
    try:
        _open(index, create)
    except BaseException:
        index.close()
        raise
    return index


def _open(index: MilvusIndex, create: IndexInfo | None) -> None:
    """Make the collections if they are not there, and read and check the index's description."""
    client, location = index.client, index.location
    with index.errors():
        _finish_rewrite(index)
        if not client.has_collection(index.collection):
            if create is None:
                raise NoIndexError(
                    f"--index {location}: there is no index; make one with "
                    f"`person-search index PATHS --index {location}`"
                )
            _create(index)
        for kind in (SOURCES, FRAMES, PERSONS):  # a restarted server has not loaded them
            client.load_collection(index.name_of(kind))
    stored = index.get(SOURCES, [INFO_ID], ["source_id", "recipe"])[INFO_ID]["recipe"]
    info = info_from_json(stored)
    # all shards write to the same collections, so their number is that of this run
    index.info = replace(info, num_shards=create.num_shards if create else 1)
    index.check_version()
    if create is not None:
        index.check_model(create.fingerprint, create.precision)


def _connect(location: str, address: str):
    try:
        from pymilvus import MilvusClient
        from pymilvus.exceptions import MilvusException
    except ImportError as error:
        raise UserError(
            "an index in Milvus needs the package pymilvus: pip install pymilvus"
        ) from error
    uri, fix = f"http://{address}", "check the address, and that the server runs"
    if address.startswith("/"):  # a database of the embedded Milvus Lite
        uri = address
        fix = (
            "check the path, and end other programs that have it open, such as a search page: "
            "Milvus Lite is for one at a time"
        )
        # they log tracebacks of what does no harm (no common timestamp), and of a database that
        # can't be opened, which is reported below
        for name in ("grpc._server", "pymilvus", "milvus_lite"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        return MilvusClient(uri, grpc_options=GRPC_OPTIONS)
    except (MilvusException, ValueError, OSError) as error:
        reason = " ".join(str(getattr(error, "message", error)).split())
        raise UserError(
            f"--index {location}: no Milvus answers at {address} ({reason}); {fix}"
        ) from error


def _finish_rewrite(index: MilvusIndex) -> None:
    """Finish :meth:`MilvusIndex._rewrite` if its process was killed."""
    client, new, old = index.client, index.name_of(REWRITTEN), index.name_of(PERSONS)
    if client.has_collection(new) and not client.has_collection(old):
        client.rename_collection(new, old)


def _create(index: MilvusIndex) -> None:
    for kind in (SOURCES, FRAMES, PERSONS):  # last the one whose existence opening checks
        create_collection(index.client, index.name_of(kind), kind, index.info.dim)
        if kind == SOURCES:
            source = Source("", 0, 0, json.dumps(asdict(index.info)), "", 0.0)
            index.upsert(SOURCES, [{**_source_row(source), "source_id": INFO_ID, "is_done": 1}])


def _condition(filters: Filters) -> str:
    terms = []
    if filters.cameras:
        terms.append(f"camera in [{', '.join(quoted(encode_name(c)) for c in filters.cameras)}]")
    if filters.start is not None:
        terms.append(f"time >= {filters.start!r}")
    if filters.end is not None:
        terms.append(f"time <= {filters.end!r}")
    if filters.min_score > 0:
        terms.append(f"score >= {filters.min_score!r}")
    return " and ".join(terms)


def _source_row(source: Source) -> dict:
    names = {"path": encode_name(source.path), "camera": encode_name(source.camera)}
    return {"source_id": stable_id(source.path), **asdict(source), **names}


def _of_path(path: str) -> str:
    """The condition for the entities of a file."""
    return f"path == {quoted(encode_name(path))}"


def _frame(row: dict) -> Frame:
    row = {key: None if row[key] == NO_VALUE else row[key] for key in FRAME_FIELDS}
    row.update(path=decode_name(row["path"]), camera=decode_name(row["camera"]))
    return Frame(*row.values())


def _person(row: dict) -> Person:
    return Person(row["person_id"], _frame(row), tuple(row[side] for side in BOX), row["score"])
