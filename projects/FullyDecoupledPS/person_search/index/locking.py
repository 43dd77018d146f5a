"""Exclusive writer lock per shard, released when its process exits for any reason."""

import fcntl
import os
from pathlib import Path

from ..errors import UserError


class WriterLock:
    """Held from its construction until :meth:`release`.

    A POSIX lock, because worker processes, which may outlive a killed writer by some seconds, do
    not inherit it. It does not exclude writers of the same process; :attr:`_held` does.
    """

    _held: set[str] = set()

    def __init__(self, folder: Path):
        """Lock a file in the shard's folder; raises a UserError if another writer holds it."""
        self._path = os.path.realpath(folder / "lock")
        if self._path in self._held:
            raise UserError(_refusal(os.getpid(), folder))
        self._file = open(self._path, "a+")  # keeps the holder's process id
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.seek(0)
            holder = self._file.read().strip() or "unknown"
            self._file.close()
            raise UserError(_refusal(holder, folder)) from error
        self._held.add(self._path)
        self._file.truncate(0)
        self._file.write(str(os.getpid()))
        self._file.flush()

    def release(self) -> None:
        """Let another process write. The file stays: removing it could split the lock in two."""
        self._file.close()
        self._held.discard(self._path)


def _refusal(holder, folder: Path) -> str:
    return (
        f"another process (id {holder}) is writing to {folder}; wait until it has ended, or stop "
        "it, and run the same command again"
    )
