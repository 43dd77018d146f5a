"""Writing files so that a kill or a full disk leaves the old one whole, and telling of it."""

import glob
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

from ..errors import UserError

PARTIAL = ".part"
_FIX = "free space or correct the permissions, or choose another place"
_FIX_TRAINING = (
    "free space or correct the permissions, or set OUTPUT_DIR to another disk, and go on with "
    "--resume"
)


@contextmanager
def atomic_write(
    path: str | os.PathLike, mode: str = "w", *, sync: bool = True, **kwargs
) -> Iterator:
    """Open a file that appears under its name once it is whole and on the disk, or not at all.

    It is written aside, as ``path`` + ".part" in the same folder.

    Args:
        mode, kwargs: as for :func:`open`; a mode that writes.
        sync: whether to wait until the disk has it. Of many files that can be made again it need
            not: a kill leaves each whole or away all the same.
    """
    path = os.fspath(path)
    partial = path + PARTIAL
    try:
        with open(partial, mode, **kwargs) as f:
            yield f
            if sync:
                f.flush()
                os.fsync(f.fileno())
        os.replace(partial, path)
    except BaseException:
        if os.path.exists(partial):
            os.remove(partial)
        raise
    if sync:
        sync_folder(os.path.dirname(path) or ".")


def replace_file(path: str | os.PathLike, content: bytes) -> None:
    """Write a file that the user names, by :func:`atomic_write`; what was there stays until then.

    Raises:
        UserError: if it can't be written (disk full, no permission); nothing has changed.
    """
    with tell_unwritable(path, _FIX), atomic_write(path, "wb") as f:
        f.write(content)


def write_json(path: str | os.PathLike, content: Any) -> None:
    """:func:`replace_file` with JSON; its folder is made if there is none."""
    with tell_unwritable(path, _FIX):
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    replace_file(path, (json.dumps(content, indent=2) + "\n").encode())


def sync_folder(folder: str | os.PathLike) -> None:
    """Write the names in a folder to the disk, where the file system can be asked to."""
    descriptor = os.open(folder, os.O_RDONLY)
    with suppress(OSError):
        os.fsync(descriptor)
    os.close(descriptor)


def remove_partial_files(folder: str, pattern: str) -> list[str]:
    """Remove what a killed process left of :func:`atomic_write`; returns the files removed."""
    left = glob.glob(os.path.join(glob.escape(folder), pattern + PARTIAL))
    for path in left:
        os.remove(path)
    return left


def drop_torn_line(path: str) -> bool:
    """Cut off the last line of a file of lines if its end is missing; returns whether it was."""
    if not os.path.isfile(path):
        return False
    with open(path, "rb+") as f:
        content = f.read()
        if not content or content.endswith(b"\n"):
            return False
        f.truncate(content.rfind(b"\n") + 1)
    return True


def os_error_in(error: BaseException | None) -> OSError | None:
    """The OSError that an exception is, or was raised because of."""
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__ or error.__context__
    return error


def unwritable(
    path: str | os.PathLike, error: BaseException, fix: str = _FIX_TRAINING
) -> UserError:
    """
    Args:
        path: of a file or folder.
        error: what writing it raised, or what was raised because of that.
        fix: what the user can do.
    """
    cause = os_error_in(error)
    reason = cause.strerror if cause and cause.strerror else " ".join(str(error).split())
    return UserError(f"{os.fspath(path)} can't be written: {reason}; {fix}")


def give_up_writing(path: str, close: Callable[[], object], error: OSError) -> NoReturn:
    """End a file of lines that can't be written further: with its last whole line, and in one line.

    Args:
        close: of the open file, or of what has it.
        error: what writing it raised.

    Raises:
        UserError: always.
    """
    with suppress(OSError):  # of what is still in its buffer
        close()
    drop_torn_line(path)
    raise unwritable(path, error) from error


@contextmanager
def tell_unwritable(path: str | os.PathLike, fix: str = _FIX_TRAINING) -> Iterator[None]:
    """Turn the OSError of a write into the one line of :func:`unwritable`."""
    try:
        yield
    except OSError as error:
        raise unwritable(path, error, fix) from error
