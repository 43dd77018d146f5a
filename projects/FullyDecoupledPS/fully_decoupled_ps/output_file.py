"""Output files that a user names: whole under their name, or not there."""

import os
import tempfile
from pathlib import Path
from typing import Union

from .errors import UserError


def replace_file(path: Union[str, Path], content: bytes) -> None:
    """Write a file beside its place, then move it there; what was there stays until then.

    Raises:
        UserError: it can't be written (disk full, no permission); nothing has changed.
    """
    path = Path(path)
    part = None
    try:
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=f".{path.name}.", delete=False
        ) as f:
            part = f.name
            f.write(content)
            f.flush()
            os.fsync(f.fileno())
        os.chmod(part, 0o666 & ~_umask())  # temporary files are for their owner only
        os.replace(part, path)
    except OSError as error:
        if part is not None:
            Path(part).unlink(missing_ok=True)
        raise UserError(
            f"'{path}' can't be written ({error.strerror}); make room or choose another place"
        ) from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
