"""From MOT-challenge ground truth to dataset dicts: which rows become persons, and which do not."""

import logging
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np

from ...errors import UserError
from ..checks import image_size, person, with_progress
from .mot_sequence import (
    CLASS,
    FLAG,
    FRAME,
    HEIGHT,
    ID,
    VISIBILITY,
    MotSequence,
    X,
    read_ground_truth,
)
from .video import extract_frames

logger = logging.getLogger(__name__)

Dicts = List[Dict[str, Any]]


@dataclass(frozen=True)
class MotRules:
    """Which rows are taken, and how.

    Attributes:
        stride: every so many frames, from frame 1 on.
        classes: the classes that are persons; 1 is a pedestrian.
        unlabelled_classes: persons too, whatever their flag, but unlabelled.
        min_visibility: 0 to 1; persons less visible are left out.
        min_height: pixels, after cutting at the border; lower boxes are left out.
        shared_ids: whether an id is the same person in all sequences.
        first_pixel: x and y of the upper left corner; MOT counts from 1.
    """

    stride: int = 1
    classes: Sequence[int] = (1,)
    unlabelled_classes: Sequence[int] = ()
    min_visibility: float = 0.25
    min_height: float = 16.0
    shared_ids: bool = False
    first_pixel: int = 1


def convert_mot(
    sequences: Sequence[MotSequence], rules: MotRules, frame_folder: Path
) -> Tuple[Dict[str, Dicts], Counter]:
    """
    Args:
        frame_folder: where frames of videos are written, a folder a sequence.

    Returns:
        dataset dicts by sequence, and what was left out or changed, counted a reason. Distinct ids
        of the k-th sequence, from 1, are k followed by the id, as wide as the widest.

    Raises:
        UserError: a file can't be read, or no person is left in any sequence.
    """
    counts: Counter = Counter()
    tables = [read_ground_truth(sequence.ground_truth) for sequence in sequences]
    step = 0 if rules.shared_ids else 10 ** len(str(int(max(t[:, ID].max() for t in tables))))
    converted = {}
    for k, (sequence, rows) in enumerate(zip(sequences, tables), 1):
        logger.info("%s: camera %d, %d rows", sequence.name, sequence.camera, len(rows))
        converted[sequence.name] = _convert(sequence, rows, rules, frame_folder, k * step, counts)
    if not any(a["person_id"] >= 0 for dicts in converted.values() for d in dicts
               for a in d["annotations"]):  # fmt: skip
        reasons = "; ".join(f"{n} {reason}" for reason, n in counts.items()) or "no row"
        raise UserError(f"no labelled person is left ({reasons}); loosen the rules")
    return converted, counts


def _convert(
    sequence: MotSequence,
    rows: np.ndarray,
    rules: MotRules,
    frame_folder: Path,
    first_id: int,
    counts: Counter,
) -> Dicts:
    frames = _choose_frames(sequence, rows, rules, frame_folder, counts)
    numbers = rows[:, FRAME].astype(int)
    counts["boxes in frames that are not taken (stride), or not there"] += int(
        (~np.isin(numbers, list(frames))).sum()
    )
    dicts = []
    for number in with_progress(sorted(frames), f"{sequence.name}: reading frames"):
        where = f"{sequence.ground_truth}, frame {number}"
        width, height = image_size(str(frames[number]), where)
        annotations = [
            annotation
            for row in rows[numbers == number]
            if (annotation := _annotation(row, width, height, rules, first_id, counts))
        ]
        _unlabel_repeated(annotations, counts)
        dicts.append(
            {
                "file_name": str(frames[number]),
                "image_id": f"{sequence.name}/{number:06d}",
                "height": height,
                "width": width,
                "camera_id": sequence.camera,
                "annotations": annotations,
            }
        )
    return dicts


def _choose_frames(
    sequence: MotSequence, rows: np.ndarray, rules: MotRules, folder: Path, counts: Counter
) -> Dict[int, Path]:
    """The frames to take, from the first annotated one to the last: others may show anybody."""
    first, last = int(rows[:, FRAME].min()), int(rows[:, FRAME].max())
    if first < 1:
        raise UserError(f"{sequence.ground_truth}: frame {first}; frames are counted from 1")
    wanted = [n for n in range(first, last + 1) if (n - 1) % rules.stride == 0]
    if not wanted:
        raise UserError(
            f"{sequence.name}: --stride {rules.stride} takes none of the frames {first} to {last}; "
            "take a smaller one"
        )
    if sequence.video is not None:
        frames = extract_frames(sequence.video, wanted, folder / sequence.name)
    else:
        frames = {n: sequence.frames[n] for n in wanted if n in sequence.frames}
        outside = sum(not first <= n <= last for n in sequence.frames)
        counts["frames before the first or after the last annotated one"] += outside
    if not frames:
        raise UserError(
            f"{sequence.name}: none of the annotated frames ({first} to {last}) is in its folder; "
            "add the pictures"
        )
    counts["frames that are annotated but not there"] += len(wanted) - len(frames)
    return frames


def _annotation(
    row: np.ndarray, width: int, height: int, rules: MotRules, first_id: int, counts: Counter
) -> Any:
    """The person of a row, or None, with the reason counted."""
    kind = int(row[CLASS])
    unlabelled = kind in rules.unlabelled_classes
    if not unlabelled and kind not in rules.classes:
        counts[f"boxes of class {kind}"] += 1
    elif not unlabelled and row[FLAG] == 0:
        counts["boxes flagged to be ignored (0)"] += 1
    elif row[VISIBILITY] < rules.min_visibility:
        counts[f"boxes less visible than {rules.min_visibility:g}"] += 1
    else:
        corner = row[X : X + 2] - rules.first_pixel
        box = np.concatenate([corner, corner + row[X + 2 : HEIGHT + 1]])
        clipped = box.clip(0, [width, height, width, height])
        if (clipped[2:] <= clipped[:2]).any():
            counts["boxes outside their picture, or of no size"] += 1
        elif clipped[3] - clipped[1] < rules.min_height:
            counts[f"boxes lower than {rules.min_height:g} pixels"] += 1
        else:
            counts["boxes cut at the border (kept)"] += int((clipped != box).any())
            labelled = not unlabelled and row[ID] >= 0
            person_id = int(row[ID]) + first_id if labelled else -1
            return person(clipped.tolist(), person_id)
    return None


def _unlabel_repeated(annotations: Dicts, counts: Counter) -> None:
    seen = set()
    for a in annotations:
        if a["person_id"] in seen:
            a["person_id"] = -1
            counts["boxes of an id that its frame has already (kept, unlabelled)"] += 1
        elif a["person_id"] >= 0:
            seen.add(a["person_id"])
