"""One writer a shard: an exclusive lock that the system frees when its process ends, however."""

import fcntl
import os
from pathlib import Path

from ..errors import UserError


class WriterLock:
    """Held from when it is made until :meth:`release`."""

    def __init__(self, folder: Path):
        """
        Args:
            folder: of the shard; the lock is on a file in it.

        Raises:
            UserError: if another process holds it.
        """
        self._file = open(folder / "lock", "a+")  # not truncated: it may name its holder
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.seek(0)
            holder = self._file.read().strip() or "unknown"
            self._file.close()
            raise UserError(
                f"another process (id {holder}) is writing to {folder}; wait until it has ended, "
                "or stop it, and run the same command again"
            ) from error
        self._file.truncate(0)
        self._file.write(str(os.getpid()))
        self._file.flush()

    def release(self) -> None:
        """Let another process write. The file stays: removing it could split the lock in two."""
        self._file.close()
