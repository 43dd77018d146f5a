"""From MOT ground truth to dataset dicts: which rows become persons, and which do not."""

import logging
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

import numpy as np

from ...errors import UserError
from ..checks import image_size, person, with_progress
from ..class_names import Kind
from .classes import ClassChoice
from .frames import (
    Converted,
    Dicts,
    ignore_region,
    place_box,
    require_somebody,
    unlabel_repeated,
)
from .mot_formats import FORMATS, MotFormat, interpret, marks_only, read_labels, recognise
from .mot_frames import Numbering, pair_pictures, pair_video
from .mot_sequence import MotSequence
from .mot_table import CLASS, FLAG, FRAME, HEIGHT, ID, VISIBILITY, WIDTH, MotTable, X, read_table
from .video import count_frames, extract_frames

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class MotRules:
    """Which rows are taken, and how.

    Attributes:
        format: "cvat", "mot15", ...; None: recognised for each sequence.
        stride: every so many frames, from the first on.
        classes: what the user says of classes.
        min_visibility: 0 to 1; persons less visible are kept without an id.
        min_height: pixels, after cutting at the border; lower boxes become ignore regions.
        shared_ids: whether an id is the same person in all sequences.
        zero_based: whether x and y count from 0 whatever the format.
        numbering: of the pictures or the video's frames, where the user says it.
    """

    format: Optional[str] = None
    stride: int = 1
    classes: ClassChoice = field(default_factory=ClassChoice)
    min_visibility: float = 0.25
    min_height: float = 16.0
    shared_ids: bool = False
    zero_based: bool = False
    numbering: Optional[Numbering] = None


@dataclass(frozen=True)
class _Read:
    """A sequence whose ground truth was read: its format, its rows and its classes."""

    sequence: MotSequence
    table: MotTable
    format: MotFormat
    rows: np.ndarray  # (N, 9)
    names: Dict[int, str]
    kinds: Dict[int, Kind]


def convert_mot(sequences: Sequence[MotSequence], rules: MotRules, frame_folder: Path) -> Converted:
    """
    Args:
        frame_folder: where frames of videos are written, a folder a sequence.

    Returns:
        the sequences' frames from the first annotated one to the last. Distinct ids of the k-th
        sequence, from 1, are k followed by the id, as wide as the widest.

    Raises:
        UserError: a file can't be read or understood, or no person is left in any sequence.
    """
    counts: Counter = Counter()
    assumed: Dict[str, List[str]] = {}
    read = [_read(sequence, rules, assumed) for sequence in sequences]
    _check_choice(read, rules.classes)
    highest = max(int(r.rows[:, ID].max()) for r in read)
    step = 0 if rules.shared_ids else 10 ** len(str(max(highest, 0)))
    converted, ids = {}, {}
    for k, r in enumerate(read, 1):
        logger.info("%s: camera %d, %d rows", r.sequence.name, r.sequence.camera, len(r.rows))
        converted[r.sequence.name] = _convert(r, rules, frame_folder, k * step, counts, assumed)
        ids[r.sequence.name] = {int(i) for i in r.rows[:, ID] if i >= 0}
    require_somebody(converted, counts)
    said = [f"{', '.join(names)}: {what}" for what, names in assumed.items()]
    return Converted(converted, counts, said, ids)


def _read(sequence: MotSequence, rules: MotRules, assumed: Dict[str, List[str]]) -> _Read:
    table = read_table(sequence.ground_truth)
    if rules.format is not None:
        fmt, by = FORMATS[rules.format], "as told"
    else:
        fmt, by = recognise(
            table,
            sequence.names,
            sequence.labels is not None,
            sequence.seqinfo is not None,
            sequence.pictures,
        )
    says = fmt.says
    if rules.zero_based:
        says = says.replace("x and y count from 1", "x and y count from 0 (as told)")
    assumed.setdefault(f"read as {fmt.name} ({by}): {says}", []).append(sequence.name)
    rows = interpret(table, fmt)
    names = read_labels(sequence.labels) if sequence.labels else fmt.classes
    if not fmt.has_class:
        names = {1: "person"}
    used = np.unique(rows[:, CLASS]).astype(int).tolist()
    where = str(sequence.labels or sequence.ground_truth)
    return _Read(sequence, table, fmt, rows, names, rules.classes.kinds(names, used, where))


def _check_choice(read: Sequence[_Read], choice: ClassChoice) -> None:
    there = {str(n) for r in read for n in (*r.kinds, *r.names)}
    there |= {name for r in read for name in r.names.values()}
    unused = choice.unused(sorted(there))
    if unused:
        raise UserError(
            f"no sequence has a class '{unused[0]}'; there are {', '.join(sorted(there))}"
        )


def _convert(
    read: _Read,
    rules: MotRules,
    frame_folder: Path,
    first_id: int,
    counts: Counter,
    assumed: Dict[str, List[str]],
) -> Dicts:
    sequence, rows = read.sequence, read.rows
    frames = _choose_frames(read, rules, frame_folder, counts, assumed)
    numbers = rows[:, FRAME].astype(np.int64)
    counts["boxes in frames that are not taken (stride), or not there"] += int(
        (~np.isin(numbers, list(frames))).sum()
    )
    make = _RowReader(read, rules, first_id, counts)
    dicts = []
    for number in with_progress(sorted(frames), f"{sequence.name}: reading frames"):
        where = f"{sequence.ground_truth}, frame {number}"
        width, height = image_size(str(frames[number]), where)
        made = [make(row, width, height) for row in rows[numbers == number]]
        dicts.append(
            {
                "file_name": str(frames[number]),
                "image_id": f"{sequence.name}/{number:06d}",
                "height": height,
                "width": width,
                "camera_id": sequence.camera,
                "annotations": unlabel_repeated([a for a in made if a], counts),
            }
        )
    return dicts


def _choose_frames(
    read: _Read, rules: MotRules, folder: Path, counts: Counter, assumed: Dict[str, List[str]]
) -> Dict[int, Path]:
    """The frames to take, from the first annotated one to the last: others may show anybody."""
    sequence, annotated = read.sequence, read.table.frames()
    first, last = annotated[0], annotated[-1]
    options = {"numbering": rules.numbering, "length": sequence.length}
    if sequence.video is None:
        in_order = read.format.name == "cvat"
        paired = pair_pictures(
            sequence.pictures, annotated, sequence.name, in_order=in_order, **options
        )
        how, there = f"pictures are paired with frames {paired.how}", list(paired.pictures)
        counts["pictures that are no frame of gt.txt, as told"] += len(sequence.pictures) - len(
            there
        )
    else:
        count = count_frames(sequence.video)
        numbering = pair_video(annotated, count, sequence.name, **options)
        how = f"frame n is frame {numbering.first} + {numbering.step} (n - 1) of the video, from 0"
        there = list(range(min(first, 1), last + 1))
    assumed.setdefault(how, []).append(sequence.name)
    wanted = [n for n in there[:: rules.stride] if first <= n <= last]
    if not wanted:
        raise UserError(
            f"{sequence.name}: --stride {rules.stride} takes none of the frames {first} to {last}; "
            "take a smaller one"
        )
    counts["frames before the first or after the last annotated one"] += sum(
        not first <= n <= last for n in there
    )
    counts["frames that are annotated but not there"] += len(set(annotated) - set(there))
    if sequence.video is None:
        return {n: paired.pictures[n] for n in wanted}
    # the first frame of a video is 1 there
    numbers = {numbering.number(n) + 1: n for n in wanted}
    written = extract_frames(sequence.video, numbers, folder / sequence.name)
    if len(written) < len(numbers):
        raise UserError(
            f"{sequence.video}: frame {min(set(numbers) - set(written)) - 1} (from 0) could not "
            "be read; give a whole video"
        )
    return {numbers[number]: path for number, path in written.items()}


class _RowReader:
    """The annotation of a row, or None; what is not a labelled person is counted by reason."""

    def __init__(self, read: _Read, rules: MotRules, first_id: int, counts: Counter) -> None:
        self.kinds, self.names = read.kinds, read.names
        self.first_pixel = 0 if rules.zero_based else read.format.first_pixel
        self.rules, self.first_id, self.counts = rules, first_id, counts
        # a tick at "occluded" says nothing of how much of a person is seen
        self.ticks = read.format.name == "cvat" and marks_only(read.rows)

    def __call__(self, row: np.ndarray, width: int, height: int) -> Optional[Dict[str, Any]]:
        kind = self.kinds[int(row[CLASS])]
        if kind is Kind.OTHER:
            self.counts[f"boxes of class {self._name(row)} (no person)"] += 1
            return None
        corner = row[X : X + 2] - self.first_pixel
        box = [*corner.tolist(), *(corner + row[WIDTH : HEIGHT + 1]).tolist()]
        placed = place_box(box, width, height, self.counts)
        if placed is None:
            return None
        reason = self._why_ignored(row, kind, placed)
        if reason:
            self.counts[f"{reason} (kept as ignore regions)"] += 1
            return ignore_region(placed)
        reason = self._why_unlabelled(row, kind)
        if reason:
            self.counts[f"{reason} (kept, unlabelled)"] += 1
        labelled = not reason and row[ID] >= 0
        return person(placed, int(row[ID]) + self.first_id if labelled else -1)

    def _why_ignored(self, row: np.ndarray, kind: Kind, box: List[float]) -> Optional[str]:
        if kind is Kind.IGNORED:
            return f"boxes of class {self._name(row)}"
        if kind is Kind.PERSON and row[FLAG] == 0:
            return "boxes flagged to be ignored (0)"
        if row[VISIBILITY] == 0 and not self.ticks and self.rules.min_visibility > 0:
            return "persons wholly hidden (visibility 0)"
        if box[3] - box[1] < self.rules.min_height:
            return f"boxes lower than {self.rules.min_height:g} pixels"
        return None

    def _why_unlabelled(self, row: np.ndarray, kind: Kind) -> Optional[str]:
        if kind is Kind.UNLABELLED:
            return f"boxes of class {self._name(row)}"
        if row[VISIBILITY] < self.rules.min_visibility and not self.ticks:
            return f"persons less visible than {self.rules.min_visibility:g}"
        return None

    def _name(self, row: np.ndarray) -> str:
        number = int(row[CLASS])
        return f"{number} ({self.names[number]})" if number in self.names else str(number)
