"""gt.txt as a table; an error about a field names its line and column."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...errors import UserError

COLUMNS = ("frame", "id", "x", "y", "w", "h", "flag", "class", "visibility")
FRAME, ID, X, Y, WIDTH, HEIGHT, FLAG, CLASS, VISIBILITY = range(len(COLUMNS))
MOST_COLUMNS = 10
MAX_WHOLE = 2**53  # beyond it a number is no longer exact where programs compute with floats


@dataclass(frozen=True)
class MotTable:
    """
    Attributes:
        path: of the file.
        rows: (N, C) float64, C from 6 to 10, all columns of the file.
        lines: (N,) the line of each row, from 1.
        written: the texts of the ninth column, which tell who wrote the file; empty without one.
    """

    path: Path
    rows: np.ndarray
    lines: np.ndarray
    written: frozenset

    def frames(self) -> list[int]:
        """The numbers of the frames with a row, rising."""
        return np.unique(self.rows[:, FRAME]).astype(np.int64).tolist()

    def where(self, row: int, column: int) -> str:
        """The place of a field, for an error."""
        name = (*COLUMNS, "unused")[column]
        return f"{self.path}, line {self.lines[row]}, column {column + 1} ({name})"


def read_table(path: Path) -> MotTable:
    """
    Raises:
        UserError: no file, no rows, rows of different length, or a field that is empty or not the
            number that its column needs; it names line and column.
    """
    lines = read_text(path).splitlines()
    rows: list[list[float]] = []
    numbers, written = [], set()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        fields = _split(line)
        if not 6 <= len(fields) <= MOST_COLUMNS:
            raise UserError(
                f"{path}, line {number}: {len(fields)} columns; there must be 6 to "
                f"{MOST_COLUMNS}, {', '.join(COLUMNS)}"
            )
        if rows and len(fields) != len(rows[0]):
            raise UserError(
                f"{path}, line {number}: {len(fields)} columns, and {len(rows[0])} in line "
                f"{numbers[0]}; a field is missing or one too many, correct it"
            )
        rows.append([_number(text) for text in fields])
        numbers.append(number)
        written.update(fields[VISIBILITY : VISIBILITY + 1])
    if not rows:
        raise UserError(f"{path}: no row; give the sequence's ground truth")
    table = MotTable(path, np.array(rows), np.array(numbers), frozenset(written))
    for i, column, reason in _faults(table.rows):
        text = _split(lines[numbers[i] - 1])[column][:40]
        reason = reason.format(repr(text)) if text else "empty; give a number"
        raise UserError(f"{table.where(i, column)}: {reason}")
    return table


def read_text(path: Path) -> str:
    """A file in UTF-8, or in UTF-16 with its mark; UserError if it is neither."""
    try:
        content = path.read_bytes()
        utf16 = content.startswith((b"\xff\xfe", b"\xfe\xff"))
        return content.decode("utf-16" if utf16 else "utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not readable as text ({error}); correct the file") from error


def _split(line: str) -> Sequence[str]:
    """Fields by ";", else ",", else tabs, else blanks; one separator may end the line."""
    line = line.strip(" \r\n")
    for separator in (";", ",", "\t"):
        if separator in line:
            fields = [field.strip() for field in line.split(separator)]
            return fields[:-1] if not fields[-1] else fields
    return line.split()


def _number(text: str) -> float:
    """NaN for what is no number; Python's own readings of "1_0" and "infinity" are none."""
    try:
        return float(text) if "_" not in text else math.nan
    except ValueError:
        return math.nan


def _faults(rows: np.ndarray) -> Iterator[tuple[int, int, str]]:
    """(row, column, what is wrong with its text), the first of each kind.

    A class is checked where the format is known: the column holds a coordinate in MOT15's files.
    """
    whole = rows[:, [FRAME, ID]]
    for columns, bad, reason in (
        (range(rows.shape[1]), ~np.isfinite(rows), "{} is no number; correct it (a heading: out)"),
        ((FRAME, ID), whole != np.trunc(whole), "{} is no whole number; correct it"),
        ((FRAME, ID), abs(whole) >= MAX_WHOLE, "{} is too large; give less than 2^53"),
        ((ID,), rows[:, [ID]] < -1, "{}; give 0 or more, or -1 (unknown)"),
        ((WIDTH, HEIGHT), rows[:, [WIDTH, HEIGHT]] < 0,
         "{}; a box has no negative size (width and height, not its other corner), correct it"),
    ):  # fmt: skip
        for i, k in np.argwhere(bad)[:1]:
            yield int(i), columns[k], reason
