"""The records of a shard, in SQLite: files, their frames, and the persons in them.

SQLite's commit is the shard's commit: it says which rows of the feature file count. Paths and
cameras are stored as :func:`encode_name` writes them.
"""

from collections.abc import Sequence

import numpy as np

from fully_decoupled_ps.utils.names import decode_name, encode_name

from .database import AMONG, Database, ids_value
from .records import Counts, Filters, Frame, NewFrame, Person, Source, SourceState

SCHEMA = """
CREATE TABLE IF NOT EXISTS sources (
    source_id INTEGER PRIMARY KEY AUTOINCREMENT,
    path TEXT NOT NULL UNIQUE,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    recipe TEXT NOT NULL,
    camera TEXT NOT NULL,
    start REAL NOT NULL,
    is_done INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS frames (
    frame_id INTEGER PRIMARY KEY AUTOINCREMENT,
    source_id INTEGER NOT NULL REFERENCES sources ON DELETE CASCADE,
    pts INTEGER,
    time_offset REAL NOT NULL,
    checksum INTEGER,
    width INTEGER NOT NULL,
    height INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS frames_of_source ON frames (source_id, pts);
CREATE TABLE IF NOT EXISTS persons (
    person_id INTEGER PRIMARY KEY AUTOINCREMENT,
    frame_id INTEGER NOT NULL REFERENCES frames ON DELETE CASCADE,
    feature_row INTEGER NOT NULL UNIQUE,
    x0 REAL NOT NULL, y0 REAL NOT NULL, x1 REAL NOT NULL, y1 REAL NOT NULL,
    score REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS persons_of_frame ON persons (frame_id);
-- Rows of the feature file without a person; is_erased: whether they are zeros on the disk yet.
CREATE TABLE IF NOT EXISTS free_rows (feature_row INTEGER PRIMARY KEY, is_erased INTEGER NOT NULL);
-- However a person goes, also by a cascade, its row is remembered.
CREATE TRIGGER IF NOT EXISTS person_removed AFTER DELETE ON persons BEGIN
    INSERT INTO free_rows VALUES (old.feature_row, 0);
END;
"""

FRAME_COLUMNS = (
    "frame_id, path, pts, camera, start + time_offset AS time, width, height, time_offset, checksum"
)
FRAMES = "frames JOIN sources USING (source_id)"
PERSONS = f"persons JOIN {FRAMES.replace('frames', 'frames USING (frame_id)', 1)}"


class Records(Database):
    """A connection to a shard's records. Ids are the shard's own."""

    schema = SCHEMA

    def _rows(self, sql: str, values: Sequence = ()) -> np.ndarray:
        """Numbers of rows of the feature file, int64."""
        return np.array(self._all(sql, values), dtype=np.int64).reshape(-1)

    # reading

    def counts(self) -> Counts:
        tables = ("sources", "frames", "persons")
        return Counts(*(self._all(f"SELECT COUNT(*) FROM {table}")[0][0] for table in tables))

    def cameras(self) -> list[str]:
        return [decode_name(row[0]) for row in self._all("SELECT DISTINCT camera FROM sources")]

    def time_range(self) -> tuple[float, float] | None:
        sql = f"SELECT MIN(start + time_offset), MAX(start + time_offset) FROM {FRAMES}"
        first, last = self._all(sql)[0]
        return None if first is None else (first, last)

    def frames(self, filters: Filters, offset: int, limit: int) -> list[Frame]:
        where, values = _where(filters, with_scores=False)
        sql = (
            f"SELECT {FRAME_COLUMNS} FROM {FRAMES} {where} "
            "ORDER BY time, path, pts LIMIT ? OFFSET ?"
        )
        return [_frame(row) for row in self._all(sql, (*values, limit, offset))]

    def count_frames(self, filters: Filters) -> int:
        where, values = _where(filters, with_scores=False)
        return self._all(f"SELECT COUNT(*) FROM {FRAMES} {where}", values)[0][0]

    def find_frames(self, path: str, pts: int | None) -> list[Frame]:
        where, values = "WHERE path = ?", [encode_name(path)]
        if pts is not None:
            where, values = f"{where} AND pts = ?", [*values, pts]
        rows = self._all(f"SELECT {FRAME_COLUMNS} FROM {FRAMES} {where} ORDER BY pts", values)
        return [_frame(row) for row in rows]

    def get_persons(self, person_ids: Sequence[int]) -> dict[int, Person]:
        """Persons by id; those that are not there are left out."""
        rows = self._all(
            f"SELECT person_id, x0, y0, x1, y1, score, {FRAME_COLUMNS} FROM {PERSONS} "
            f"WHERE person_id {AMONG}",
            ids_value(person_ids),
        )
        return {row[0]: Person(row[0], _frame(row[6:]), row[1:5], row[5]) for row in rows}

    def persons_of(self, frame_id: int) -> list[int]:
        sql = "SELECT person_id FROM persons WHERE frame_id = ? ORDER BY score DESC, person_id"
        return [row[0] for row in self._all(sql, (frame_id,))]

    def feature_rows(self, person_ids: Sequence[int]) -> dict[int, int]:
        """Row of the feature file by person; those that are not there are left out."""
        sql = f"SELECT person_id, feature_row FROM persons WHERE person_id {AMONG}"
        return dict(self._all(sql, ids_value(person_ids)))

    def at_rows(self, rows: Sequence[int]) -> dict[int, tuple[int, float]]:
        """Person and score by row of the feature file."""
        sql = f"SELECT feature_row, person_id, score FROM persons WHERE feature_row {AMONG}"
        return {
            row: (person_id, score) for row, person_id, score in self._all(sql, ids_value(rows))
        }

    def rows_passing(self, filters: Filters) -> np.ndarray:
        """Rows of the feature file of the persons that pass; not sorted."""
        where, values = _where(filters, with_scores=True)
        return self._rows(f"SELECT feature_row FROM {PERSONS} {where}", values)

    def all_rows(self) -> np.ndarray:
        """Rows of the feature file that belong to a person, ascending."""
        return self._rows("SELECT feature_row FROM persons ORDER BY feature_row")

    def free_rows(self, only_to_erase: bool = False) -> np.ndarray:
        """Rows of the feature file without a person, ascending."""
        where = "WHERE NOT is_erased" if only_to_erase else ""
        return self._rows(f"SELECT feature_row FROM free_rows {where} ORDER BY feature_row")

    def states(self) -> dict[str, SourceState]:
        """What is known of every file, by path."""
        rows = self._all("SELECT path, size, mtime_ns, recipe, camera, start, is_done FROM sources")
        states = [_state(row) for row in rows]
        return {state.source.path: state for state in states}

    def checksums(self, path: str) -> dict[int, int | None]:
        """Of the frames of a video, by pts."""
        sql = f"SELECT pts, checksum FROM {FRAMES} WHERE path = ? AND pts IS NOT NULL"
        return dict(self._all(sql, (encode_name(path),)))

    # writing, within a transaction

    def put_source(self, source: Source, is_done: bool = False) -> None:
        """Add a file, or change what is known of it; its frames stay."""
        self._run(
            """INSERT INTO sources (path, size, mtime_ns, recipe, camera, start, is_done)
            VALUES (?, ?, ?, ?, ?, ?, ?)
            ON CONFLICT (path) DO UPDATE SET size = excluded.size, mtime_ns = excluded.mtime_ns,
            recipe = excluded.recipe, camera = excluded.camera, start = excluded.start,
            is_done = excluded.is_done""",
            (
                *(encode_name(source.path), source.size, source.mtime_ns, source.recipe),
                *(encode_name(source.camera), source.start, int(is_done)),
            ),
        )

    def set_done(self, path: str) -> None:
        self._run("UPDATE sources SET is_done = 1 WHERE path = ?", (encode_name(path),))

    def remove_source(self, path: str) -> None:
        self._run("DELETE FROM sources WHERE path = ?", (encode_name(path),))

    def remove_persons(self, person_ids: Sequence[int]) -> None:
        self._run(f"DELETE FROM persons WHERE person_id {AMONG}", ids_value(person_ids))

    def add_frame(self, path: str, frame: NewFrame, rows: Sequence[int]) -> None:
        """Add a frame of a known file, its persons at ``rows`` of the feature file."""
        with self._errors():
            cursor = self._db.execute(
                """INSERT INTO frames (source_id, pts, time_offset, width, height, checksum)
                SELECT source_id, ?, ?, ?, ?, ? FROM sources WHERE path = ?""",
                (
                    *(frame.pts, frame.offset, frame.width, frame.height, frame.checksum),
                    encode_name(path),
                ),
            )
            boxes, scores = np.asarray(frame.boxes).tolist(), np.asarray(frame.scores).tolist()
            self._db.executemany(
                """INSERT INTO persons (frame_id, feature_row, x0, y0, x1, y1, score)
                VALUES (?, ?, ?, ?, ?, ?, ?)""",
                [(cursor.lastrowid, row, *box, s) for row, box, s in zip(rows, boxes, scores)],
            )

    def set_erased(self) -> None:
        self._run("UPDATE free_rows SET is_erased = 1 WHERE NOT is_erased")

    def renumber_rows(self) -> None:
        """Number the rows of the persons anew, from 0, in their order; none is free then."""
        self._run("CREATE TEMP TABLE moved (old INTEGER PRIMARY KEY, new INTEGER)")
        self._run(
            """INSERT INTO moved SELECT feature_row, ROW_NUMBER() OVER (ORDER BY feature_row) - 1
            FROM persons"""
        )
        # ascending, a row moves to a place that is free or has moved; negative numbers keep the
        # numbers unique in any order
        self._run("UPDATE persons SET feature_row = -1 - feature_row")
        self._run(
            "UPDATE persons SET feature_row = (SELECT new FROM moved WHERE old = -1 - feature_row)"
        )
        self._run("DROP TABLE moved")
        self._run("DELETE FROM free_rows")


def _frame(row: tuple) -> Frame:
    frame_id, path, pts, camera, *others = row
    return Frame(frame_id, decode_name(path), pts, decode_name(camera), *others)


def _state(row: tuple) -> SourceState:
    path, size, mtime_ns, recipe, camera, start, is_done = row
    source = Source(decode_name(path), size, mtime_ns, recipe, decode_name(camera), start)
    return SourceState(source, bool(is_done))


def _where(filters: Filters, with_scores: bool) -> tuple[str, list]:
    """The WHERE clause, or nothing, and its values."""
    terms, values = [], []
    if filters.cameras:
        terms.append(f"camera IN ({', '.join('?' * len(filters.cameras))})")
        values.extend(map(encode_name, filters.cameras))
    if filters.start is not None:
        terms.append("start + time_offset >= ?")
        values.append(filters.start)
    if filters.end is not None:
        terms.append("start + time_offset <= ?")
        values.append(filters.end)
    if with_scores and filters.min_score > 0:
        terms.append("score >= ?")
        values.append(filters.min_score)
    return (f"WHERE {' AND '.join(terms)}" if terms else ""), values
