"""Writing to a disk that may be full, and so that a kill leaves the old or the new, never half."""

import errno
import os
import sqlite3
from contextlib import contextmanager
from pathlib import Path

from ..errors import UserError


@contextmanager
def explain_disk_errors(path):
    """Turn a full or failing disk, while writing at ``path``, into a :class:`UserError`."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
            mend = "another program reads it for too long; end that, and run the command again"
        elif "full" in str(error) or "disk I/O" in str(error):
            mend = "free some space and run the same command again; what was committed is kept"
        else:
            mend = "restore the file from a backup, or delete the index and make it again"
        raise UserError(f"{path}: {error}; {mend}") from error
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise UserError(
                f"{path} can't be written ({error.strerror}); check the disk"
            ) from error
        raise UserError(
            f"the disk is full ({path}); free some space and run the same command again; "
            "what was committed is kept"
        ) from error


def write_atomically(path: Path, content: bytes) -> None:
    """Write a small file beside its place, flush it, and move it there."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with explain_disk_errors(path):
            with open(temporary, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
            sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make names that were added to or removed from a folder last."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
