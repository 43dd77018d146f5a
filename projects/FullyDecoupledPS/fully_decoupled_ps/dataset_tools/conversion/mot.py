"""MOT ground truth to dataset dicts: which frames are taken, and what becomes of each row."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ...data.datasets.checks import dataset_dict, image_size
from ...data.datasets.class_names import Kind
from ...data.videos import read_frames
from ...errors import UserError
from ...utils.progress import with_progress
from .classes import ClassChoice
from .frames import Box, Converted, Dicts, annotation, require_somebody, unlabel_repeated
from .mot_formats import FORMATS, MotFormat, interpret, read_labels, recognise
from .mot_frames import Numbering, pair_pictures, pair_video
from .mot_sequence import MotSequence
from .mot_table import CLASS, FLAG, FRAME, HEIGHT, ID, VISIBILITY, MotTable, X, Y, read_table
from .video import extract_frames

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

    format: str | None = None
    stride: int = 1
    classes: ClassChoice = field(default_factory=ClassChoice)
    min_visibility: float = 0.25
    min_height: float = 16.0
    shared_ids: bool = False
    zero_based: bool = False
    numbering: Numbering | None = None


@dataclass(frozen=True)
class _Read:
    """A sequence whose ground truth was read: its format, its rows and its classes."""

    sequence: MotSequence
    table: MotTable
    format: MotFormat
    rows: np.ndarray  # (N, 9); x and y from 0
    names: dict[int, str]
    kinds: dict[int, Kind]


def convert_mot(sequences: Sequence[MotSequence], rules: MotRules, frame_folder: Path) -> Converted:
    """
    Args:
        frame_folder: where frames of videos are written, in a folder for each sequence.

    Returns:
        the sequences' frames from the first annotated one to the last. Distinct ids of the k-th
        sequence, from 1, are k followed by the id, as wide as the widest.

    Raises:
        UserError: a file can't be read or understood, or no person is left in any sequence.
    """
    counts: Counter = Counter()
    assumed: dict[str, list[str]] = {}
    read = [_read(sequence, rules, assumed) for sequence in sequences]
    names = {str(n) for r in read for n in (*r.kinds, *r.names, *r.names.values())}
    rules.classes.refuse_unused(names, (), "sequence")
    highest = max(int(r.rows[:, ID].max()) for r in read)
    step = 0 if rules.shared_ids else 10 ** len(str(max(highest, 0)))
    converted = {}
    for k, r in enumerate(read, 1):
        logger.info("%s: camera %d, %d rows", r.sequence.name, r.sequence.camera, len(r.rows))
        converted[r.sequence.name] = _convert(r, rules, frame_folder, k * step, counts, assumed)
    require_somebody(converted, counts)
    said = [f"{', '.join(names)}: {what}" for what, names in assumed.items()]
    shared = read if rules.shared_ids else []
    ids = {r.sequence.name: {int(i) for i in r.rows[:, ID] if i >= 0} for r in shared}
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
    first_pixel = 0 if rules.zero_based else fmt.first_pixel
    says = f"x and y count from {first_pixel}"
    if first_pixel != fmt.first_pixel:
        says += " (as told)"
    if fmt.first_pixel == 1:
        says += ", frames from 1"
    says += f"; {fmt.says}"
    if sequence.labels:
        says += "; classes are the lines of gt/labels.txt"
    assumed.setdefault(f"read as {fmt.name} ({by}): {says}", []).append(sequence.name)
    rows = interpret(table, fmt)
    rows[:, [X, Y]] -= first_pixel
    if fmt.name == "cvat" and np.isin(rows[:, VISIBILITY], (0, 1)).all():
        rows[:, VISIBILITY] = 1  # a tick at "occluded" says nothing of how much is seen
    names = read_labels(sequence.labels) if sequence.labels else fmt.classes
    if not fmt.has_class:
        names = {1: "person"}
    used = np.unique(rows[:, CLASS]).astype(int).tolist()
    where = str(sequence.labels or sequence.ground_truth)
    return _Read(sequence, table, fmt, rows, names, rules.classes.kinds(names, used, where))


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
    dicts = []
    for number in with_progress(sorted(frames), f"{sequence.name}: reading frames"):
        where = f"{sequence.ground_truth}, frame {number}"
        path, image_id = str(frames[number]), f"{sequence.name}/{number:06d}"
        size = image_size(path, where)
        if sequence.frame_size not in (None, size):
            raise UserError(
                f"{where}: '{path}' has {size[0]} x {size[1]} pixels, and seqinfo.ini says "
                f"{sequence.frame_size[0]} x {sequence.frame_size[1]}; boxes would be misplaced, "
                "give the pictures that were annotated"
            )
        d = dataset_dict(path, image_id, size, camera_id=sequence.camera)
        boxes = [_box(row, read, rules, first_id) for row in rows[numbers == number]]
        made = [annotation(box, d, rules.min_height, counts) for box in boxes]
        d["annotations"] = unlabel_repeated([a for a in made if a], counts)
        dicts.append(d)
    return dicts


def _box(row: np.ndarray, read: _Read, rules: MotRules, first_id: int) -> Box:
    number, person_id = int(row[CLASS]), int(row[ID])
    kind, visibility = read.kinds[number], row[VISIBILITY]
    name = f"{number} ({read.names[number]})" if number in read.names else str(number)
    ignored = unlabelled = ""
    if kind is Kind.PERSON and row[FLAG] == 0:
        ignored = "boxes flagged to be ignored (0)"
    elif kind is not Kind.IGNORED and visibility == 0 and rules.min_visibility > 0:
        ignored = "persons wholly hidden (visibility 0)"
    if visibility < rules.min_visibility:
        unlabelled = f"persons less visible than {rules.min_visibility:g}"
    x, y, width, height = row[X : HEIGHT + 1].tolist()
    corners = [x, y, x + width, y + height]
    person_id = person_id + first_id if person_id >= 0 else -1
    return Box(corners, person_id, kind, name, ignored, unlabelled)


def _choose_frames(
    read: _Read, rules: MotRules, folder: Path, counts: Counter, assumed: dict[str, list[str]]
) -> dict[int, Path]:
    """The frames to take, from the first annotated one to the last; others may show people, too."""
    sequence, annotated = read.sequence, read.table.frames()
    first, last = annotated[0], annotated[-1]
    options = {"numbering": rules.numbering, "length": sequence.length}
    if sequence.video is None:
        in_order = read.format.name == "cvat"
        paired, how = pair_pictures(
            sequence.pictures, annotated, sequence.name, in_order=in_order, **options
        )
        there = list(paired)
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
        return {n: paired[n] for n in wanted}
    # the first frame of a video is 1 there
    numbers = {numbering.number(n) + 1: n for n in wanted}
    written = extract_frames(sequence.video, numbers, folder / sequence.name)
    return {numbers[number]: path for number, path in written.items()}
