"""The features of a shard: one file of float16 rows, appended to, and read through a memory map."""

import os
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ..errors import UserError
from .disk import explain_disk_errors

# Rows handled at once where a file is gone through from end to end.
BLOCK_ROWS = 8192


class FeatureStore:
    """(N, D) float16, row by row, with no header.

    The shard's records hold N, the number of valid rows. They are committed after the rows were
    flushed, so a kill can only leave surplus rows at the end, which the next writer cuts off. A row
    never moves while its file lives; the row of a removed person is overwritten with zeros.
    """

    def __init__(self, path: Path, dim: int, rows: int):
        """
        Args:
            path: of the file; it need not exist while there is no row.
            dim: D.
            rows: N, how many rows are valid.

        Raises:
            UserError: if the file is shorter than its valid rows.
        """
        self.path = Path(path)
        self.dim = dim
        self.rows = rows
        size = self.path.stat().st_size if self.path.exists() else 0
        if size < rows * self.row_bytes:
            raise UserError(
                f"{path} holds {size} bytes, but the index counts {rows} features of "
                f"{self.row_bytes} bytes; restore it from a backup, or delete the index and make "
                "it again"
            )

    @property
    def row_bytes(self) -> int:
        return 2 * self.dim

    def read(self) -> np.ndarray:
        """All valid rows, (N, D) float16: a read-only view of the file."""
        if self.rows == 0:
            return np.zeros((0, self.dim), dtype=np.float16)
        return np.memmap(self.path, dtype=np.float16, mode="r", shape=(self.rows, self.dim))

    def append(self, features: np.ndarray) -> range:
        """Write (R, D) features behind the last row; returns their rows."""
        data = np.ascontiguousarray(features, dtype=np.float16).reshape(-1, self.dim)
        with explain_disk_errors(self.path):
            with open(self.path, "r+b" if self.path.exists() else "w+b") as file:
                file.seek(self.rows * self.row_bytes)
                file.write(data.tobytes())
        first = self.rows
        self.rows += len(data)
        return range(first, self.rows)

    @contextmanager
    def _change(self):
        """The open file; what is done to it is on the disk at the context's end."""
        with explain_disk_errors(self.path), open(self.path, "r+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())

    def flush(self) -> None:
        """Return when all that was written is on the disk."""
        if self.path.exists():
            with self._change():
                pass

    def cut(self) -> None:
        """Remove rows behind the valid ones, which a killed writer left and never committed."""
        if self.path.exists() and self.path.stat().st_size > self.rows * self.row_bytes:
            with self._change() as file:
                file.truncate(self.rows * self.row_bytes)

    def erase(self, rows) -> None:
        """Overwrite rows with zeros, on the disk."""
        with self._change() as file:
            for row in sorted(rows):
                file.seek(row * self.row_bytes)
                file.write(bytes(self.row_bytes))

    def copy_rows(self, rows: np.ndarray, path: Path) -> "FeatureStore":
        """Write some rows, in the order given, to a new file at ``path``, flushed."""
        path.unlink(missing_ok=True)
        copy = FeatureStore(path, self.dim, 0)
        features = self.read()
        for start in range(0, len(rows), BLOCK_ROWS):
            copy.append(features[rows[start : start + BLOCK_ROWS]])
        copy.flush()
        return copy
