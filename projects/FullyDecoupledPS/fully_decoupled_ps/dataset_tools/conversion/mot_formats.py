"""The kinds of files that are called MOT: what their columns mean, how each is recognised."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ...errors import UserError
from .mot_table import CLASS, COLUMNS, FLAG, VISIBILITY, MotTable, read_text

MOT_CLASSES = (
    "pedestrian", "person on vehicle", "car", "bicycle", "motorbike", "non motorized vehicle",
    "static person", "distractor", "occluder", "occluder on the ground", "occluder full",
    "reflection", "crowd",
)  # fmt: skip


@dataclass(frozen=True)
class MotFormat:
    """
    Attributes:
        name: as the user gives it.
        columns: how many a row may have.
        first_pixel: x and y of the upper left pixel.
        has_class: whether there are a class and a visibility; else all are wholly visible persons.
        classes: name by number, where the file has no gt/labels.txt.
        says: what else that assumes, for the user.
    """

    name: str
    columns: tuple[int, ...]
    says: str
    first_pixel: int = 1
    has_class: bool = True
    classes: dict[int, str] = field(default_factory=dict)


_MOT = dict(enumerate(MOT_CLASSES, 1))
FORMATS = {
    f.name: f
    for f in (
        MotFormat(
            "cvat", (6, 7, 8, 9, 10),
            "frame n is the picture of that number where names are numbers, else the n-th "
            "picture; if all visibilities are 0 or 1, they are the tick at 'occluded', and such "
            "persons are kept",
            first_pixel=0, classes={1: "person"},
        ),
        MotFormat("mot15", (6, 7, 10), "no classes, all are persons", has_class=False),
        MotFormat("mot17", (6, 7, 8, 9), "classes as in MOT16 and MOT17", classes=_MOT),
        MotFormat("mot20", (6, 7, 8, 9), "classes as in MOT20", classes=_MOT),
        MotFormat(
            "dancetrack", (6, 7, 8, 9), "class 1 is a person", classes={1: "person"}
        ),
    )
}  # fmt: skip

SEQUENCE_NAMES = (
    (re.compile(r"MOT1[67]-\d", re.IGNORECASE), "mot17"),
    (re.compile(r"MOT20-\d", re.IGNORECASE), "mot20"),
    (re.compile(r"dancetrack\d", re.IGNORECASE), "dancetrack"),
)
CVAT_FRAME = re.compile(r"frame_\d{6,}")


def recognise(
    table: MotTable,
    names: Sequence[str],
    has_labels: bool,
    has_seqinfo: bool,
    pictures: Sequence[Path],
) -> tuple[MotFormat, str]:
    """
    Args:
        names: of the sequence: its folder's, and the one in seqinfo.ini.
        has_labels: whether gt/labels.txt is there.

    Returns:
        the format, and what it was recognised by.

    Raises:
        UserError: nothing tells it.
    """
    columns = table.rows.shape[1]
    for name in names:
        for pattern, kind in SEQUENCE_NAMES:
            if pattern.match(name) and has_labels:
                raise UserError(
                    f"{table.path}: the name '{name}' is the MOT challenge's, and gt/labels.txt is "
                    f"CVAT's; say --format {kind} (x and y from 1) or cvat (from 0)"
                )
            if pattern.match(name):
                return FORMATS[kind], f"it is called '{name}'"
    if has_labels:
        return FORMATS["cvat"], "gt/labels.txt is there"
    if pictures and all(CVAT_FRAME.fullmatch(path.stem) for path in pictures):
        return FORMATS["cvat"], "pictures are called frame_000000 and so on"
    if columns == 9 and not has_seqinfo and table.written <= {"0.0", "1.0"}:
        return FORMATS["cvat"], "visibilities are written 1.0 and 0.0, and there is no seqinfo.ini"
    if columns == 10:
        return FORMATS["mot15"], "rows have 10 columns"
    raise UserError(
        f"{table.path}: nothing tells whether x and y count from 0 or from 1, and what its classes "
        "are; say --format cvat (from 0), mot15, mot17, mot20 or dancetrack (from 1)"
    )


def interpret(table: MotTable, fmt: MotFormat) -> np.ndarray:
    """
    Returns:
        (N, 9) float64, as mot_table.COLUMNS. What a file does not have is 1: taken into account,
        of class 1, wholly visible.

    Raises:
        UserError: a row is not of this format; it names line and column.
    """
    rows = table.rows
    if rows.shape[1] not in fmt.columns:
        raise UserError(
            f"{table.path}, line {table.lines[0]}: {rows.shape[1]} columns; {fmt.name} has "
            f"{fmt.columns[-1]}, say another --format"
        )
    whole = np.ones((len(rows), len(COLUMNS)))
    last = len(COLUMNS) if fmt.has_class else FLAG + 1
    given = rows[:, :last]
    whole[:, : given.shape[1]] = given
    for i in np.flatnonzero(whole[:, CLASS] % 1)[:1]:
        raise UserError(
            f"{table.where(i, CLASS)}: {whole[i, CLASS]:g} is no whole number; correct it, or say "
            "another --format"
        )
    shares = whole[:, VISIBILITY]
    for i in np.flatnonzero((shares < 0) | (shares > 1))[:1]:
        raise UserError(
            f"{table.where(i, VISIBILITY)}: {shares[i]:g} is not from 0 to 1; correct it, or say "
            "another --format"
        )
    return whole


def read_labels(path: Path) -> dict[int, str]:
    """Names of the classes, from 1: line n of gt/labels.txt is class n, as CVAT writes it."""
    lines = read_text(path).splitlines()
    return {n: line.strip() for n, line in enumerate(lines, 1) if line.strip()}
