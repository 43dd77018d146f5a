"""gt.txt as a table: every field read as what it is, or refused by line and column."""

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import List, Sequence, Tuple

import numpy as np

from ...errors import UserError

COLUMNS = ("frame", "id", "x", "y", "w", "h", "flag", "class", "visibility")
FRAME, ID, X, Y, WIDTH, HEIGHT, FLAG, CLASS, VISIBILITY = range(len(COLUMNS))
WHOLE = (FRAME, ID, CLASS)  # columns of whole numbers
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

    def frames(self) -> List[int]:
        """The numbers of the frames with a row, rising."""
        return np.unique(self.rows[:, FRAME]).astype(np.int64).tolist()

    def where(self, row: int, column: int) -> str:
        """The place of a field, for an error."""
        return f"{self.path}, line {self.lines[row]}, column {column + 1} ({COLUMNS[column]})"


def read_table(path: Path) -> MotTable:
    """
    Raises:
        UserError: no file, no rows, rows of different length, or a field that is empty or not the
            number that its column needs; it names line and column.
    """
    rows: List[List[float]] = []
    lines, written = [], set()
    for number, line in enumerate(_text(path).splitlines(), 1):
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
                f"{lines[0]}; a field is missing or one too many, correct it"
            )
        rows.append(_row(fields, f"{path}, line {number}"))
        lines.append(number)
        written.update(fields[VISIBILITY : VISIBILITY + 1])
    if not rows:
        raise UserError(f"{path}: no row; give the sequence's ground truth")
    return MotTable(path, np.array(rows, dtype=np.float64), np.array(lines), frozenset(written))


def _text(path: Path) -> str:
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


def _row(fields: Sequence[str], where: str) -> List[float]:
    values = []
    for column, text in enumerate(fields):
        name = COLUMNS[column] if column < len(COLUMNS) else "unused"
        place = f"{where}, column {column + 1} ({name})"
        # the class column holds a coordinate in MOT15's files, so it is checked by format
        values.append(_number(text, place, whole=column in (FRAME, ID)))
    for column in (WIDTH, HEIGHT):
        if values[column] < 0:
            raise UserError(
                f"{where}, column {column + 1} ({COLUMNS[column]}): {fields[column]}; a box has "
                "no negative size (width and height, not its other corner), correct it"
            )
    if values[ID] < -1:
        raise UserError(f"{where}, column 2 (id): {fields[ID]}; give 0 or more, or -1 (unknown)")
    return values


def _number(text: str, place: str, whole: bool) -> float:
    if not text:
        raise UserError(f"{place}: empty; give a number")
    try:
        value = float(text) if re.fullmatch(r"[-+.\deE]+", text) else math.nan
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UserError(f"{place}: '{text[:40]}' is no number; correct it (a heading: remove it)")
    if whole:
        check_whole(value, text, place)
    return value


def check_whole(value: float, text: str, place: str) -> None:
    """Raises UserError for a number that is no whole one, or too large to be kept exactly."""
    if value != int(value):
        raise UserError(f"{place}: {text} is no whole number; correct it")
    if abs(value) >= MAX_WHOLE:
        raise UserError(f"{place}: {text} is too large; give less than 2^53 ({MAX_WHOLE})")


def box_corners(row: np.ndarray, first_pixel: int) -> Tuple[float, float, float, float]:
    """x0, y0, x1, y1 of a row, where the upper left pixel is (0, 0)."""
    x, y = row[X] - first_pixel, row[Y] - first_pixel
    return x, y, x + row[WIDTH], y + row[HEIGHT]
