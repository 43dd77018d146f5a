"""One writer a shard: an exclusive lock that the system frees when its process ends, however."""

import fcntl
import os
from pathlib import Path

from ..errors import UserError


class WriterLock:
    """Held from when it is made until :meth:`release`.

    A POSIX lock, because worker processes do not inherit it: they may outlive a killed writer by
    some seconds. It does not keep a process from itself, so that is done by :attr:`_held`.
    """

    _held: set[str] = set()

    def __init__(self, folder: Path):
        """
        Args:
            folder: of the shard; the lock is on a file in it.

        Raises:
            UserError: if it is held already.
        """
        self._path = os.path.realpath(folder / "lock")
        if self._path in self._held:
            raise UserError(_refusal(os.getpid(), folder))
        self._file = open(self._path, "a+")  # not truncated: it may name its holder
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
