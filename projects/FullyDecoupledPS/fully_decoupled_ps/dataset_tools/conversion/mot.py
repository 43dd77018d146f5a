"""From MOT ground truth to dataset dicts: which rows become persons, and which do not."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...data.datasets.checks import image_size
from ...data.datasets.class_names import Kind
from ...data.videos import read_frames
from ...errors import UserError
from ...utils.progress import with_progress
from .classes import ClassChoice
from .frames import (
    Converted,
    Dicts,
    require_somebody,
    unlabel_repeated,
)
from .mot_formats import FORMATS, MotFormat, interpret, read_labels, recognise
from .mot_frames import pair_pictures, pair_video
from .mot_rows import MotRules, RowReader
from .mot_sequence import MotSequence
from .mot_table import CLASS, FRAME, ID, MotTable, read_table
from .video import extract_frames

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Read:
    """A sequence whose ground truth was read: its format, its rows and its classes."""

    sequence: MotSequence
    table: MotTable
    format: MotFormat
    rows: np.ndarray  # (N, 9)
    names: dict[int, str]
    kinds: dict[int, Kind]


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
    assumed: dict[str, list[str]] = {}
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


def _read(sequence: MotSequence, rules: MotRules, assumed: dict[str, list[str]]) -> _Read:
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
    if sequence.labels:
        says += "; classes are the lines of gt/labels.txt"
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
    assumed: dict[str, list[str]],
) -> Dicts:
    sequence, rows = read.sequence, read.rows
    frames = _choose_frames(read, rules, frame_folder, counts, assumed)
    numbers = rows[:, FRAME].astype(np.int64)
    counts["boxes in frames that are not taken (stride), or not there"] += int(
        (~np.isin(numbers, list(frames))).sum()
    )
    make = RowReader(read.format, rows, read.names, read.kinds, rules, first_id, counts)
    dicts = []
    for number in with_progress(sorted(frames), f"{sequence.name}: reading frames"):
        where = f"{sequence.ground_truth}, frame {number}"
        width, height = image_size(str(frames[number]), where)
        if sequence.frame_size not in (None, (width, height)):
            raise UserError(
                f"{where}: '{frames[number]}' has {width} x {height} pixels, and seqinfo.ini says "
                f"{sequence.frame_size[0]} x {sequence.frame_size[1]}; boxes would be misplaced, "
                "give the pictures that were annotated"
            )
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
    read: _Read, rules: MotRules, folder: Path, counts: Counter, assumed: dict[str, list[str]]
) -> dict[int, Path]:
    """The frames to take, from the first annotated one to the last: others may show anybody."""
    sequence, annotated = read.sequence, read.table.frames()
    first, last = annotated[0], annotated[-1]
    options = {"numbering": rules.numbering, "length": sequence.length}
    if sequence.video is None:
        in_order = read.format.name == "cvat"
        paired = pair_pictures(
            sequence.pictures, annotated, sequence.name, in_order=in_order, **options
        )
        how, there = paired.how, list(paired.pictures)
        counts["pictures that are no frame of gt.txt, as told"] += len(sequence.pictures) - len(
            there
        )
    else:
        count = sum(1 for _ in read_frames(str(sequence.video), strict=True))
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
