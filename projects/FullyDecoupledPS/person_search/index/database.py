"""A SQLite file that survives a kill, and in which what is deleted is overwritten."""

import json
import sqlite3
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path

from .disk import explain_disk_errors

STATE = "CREATE TABLE IF NOT EXISTS state (key TEXT PRIMARY KEY, value TEXT NOT NULL);"
# Any number of ids as one value, :func:`ids_value`; SQLite limits the number of values of a
# statement.
AMONG = "IN (SELECT value FROM json_each(?))"
# Seconds to wait for a reader or a commit to end.
BUSY_TIMEOUT = 30.0


def ids_value(ids: Sequence[int]) -> tuple[str]:
    """The value of ``AMONG``."""
    return (json.dumps([int(i) for i in ids]),)


class Database:
    """A connection to a file whose tables ``schema`` makes; what is committed lasts."""

    schema: str

    def __init__(self, path: Path):
        """
        Args:
            path: of the SQLite file; made if there is none.

        Raises:
            UserError: if it is no such file, or damaged.
        """
        self.path = path
        with self._errors():
            self._db = sqlite3.connect(
                path, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False
            )
            self._db.execute("PRAGMA foreign_keys = ON")
            # what is deleted is overwritten
            self._db.execute("PRAGMA secure_delete = ON")
            self._db.execute("PRAGMA synchronous = FULL")
            if not self._db.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone():
                # "if not exists": another process may be about to do the same
                self._db.executescript(f"BEGIN IMMEDIATE; {STATE} {self.schema} COMMIT;")

    def close(self) -> None:
        self._db.close()

    def _errors(self):
        return explain_disk_errors(self.path)

    def _all(self, sql: str, values: Sequence = ()) -> list[tuple]:
        with self._errors():
            return self._db.execute(sql, values).fetchall()

    def _run(self, sql: str, values: Sequence = ()) -> int:
        """Returns the id of the row that was inserted last."""
        with self._errors():
            return self._db.execute(sql, values).lastrowid

    def _run_many(self, sql: str, rows: Sequence[Sequence]) -> None:
        with self._errors():
            self._db.executemany(sql, rows)

    # transactions

    @contextmanager
    def snapshot(self):
        """A context in which everything that is read belongs to the same commit."""
        self._run("BEGIN")
        try:
            yield
        finally:
            self._run("COMMIT")

    def begin(self) -> None:
        """Start a transaction, if none is under way."""
        if not self._db.in_transaction:
            self._run("BEGIN IMMEDIATE")

    def commit(self) -> None:
        if self._db.in_transaction:
            self._run("COMMIT")

    def rollback(self) -> None:
        if self._db.in_transaction:
            self._run("ROLLBACK")

    @contextmanager
    def transaction(self):
        """All of it or, after an exception or a kill, nothing; one in another is a part of it."""
        if self._db.in_transaction:
            yield
            return
        self.begin()
        try:
            yield
        except BaseException:
            self.rollback()
            raise
        self.commit()

    def vacuum(self) -> None:
        """Rewrite the file without its unused pages."""
        self._run("VACUUM")

    # state: named values

    def get(self, key: str, default=None):
        found = self._all("SELECT value FROM state WHERE key = ?", (key,))
        return json.loads(found[0][0]) if found else default

    def set(self, key: str, value) -> None:
        self._run("INSERT OR REPLACE INTO state VALUES (?, ?)", (key, json.dumps(value)))
