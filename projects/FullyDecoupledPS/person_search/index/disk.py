"""Writing to a disk that may be full."""

import errno
import sqlite3
from contextlib import contextmanager
from pathlib import Path

from ..errors import UserError


@contextmanager
def explain_disk_errors(path):
    """Turn errors of a disk or a database, while writing at ``path``, into a :class:`UserError`."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        reason = str(error)
        if "full" in reason or "disk I/O" in reason:
            raise UserError(_full(path, reason)) from error
        if "locked" in reason:
            fix = "another program keeps it busy; end that, and run the same command again"
        elif "readonly" in reason:
            fix = "it can't be written to; check its permissions"
        else:
            fix = "restore the file from a backup, or delete the index and make it again"
        raise UserError(f"{path}: {reason}; {fix}") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise UserError(_full(path, error.strerror)) from error
        raise UserError(f"{path} can't be written ({error.strerror}); check the disk") from error


def _full(path, reason: str) -> str:
    return (
        f"the disk is full or fails ({path}: {reason}); free some space and run the same command "
        "again; what was committed is kept"
    )


def is_there(path: Path) -> bool:
    """Whether there is a file or folder; raises a UserError if its folder can't be read."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise UserError(
            f"{path} can't be reached ({error.strerror}); check its permissions, and that its disk "
            "is mounted"
        ) from error
    return True
