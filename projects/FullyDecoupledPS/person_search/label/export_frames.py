"""The frames of a project that could be exported, with their annotations."""

import logging
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ..index import Frame
from .export_boxes import annotate
from .export_pictures import picture_name
from .frame_choice import spread_order, thin_out
from .labelling import Labelling
from .store import ProjectFile

logger = logging.getLogger(__name__)

# Frames to choose from: of more, that many are drawn evenly.
MAX_CANDIDATES = 100_000
# Frames whose boxes are read at once.
BLOCK = 1000

Dicts = list[dict[str, Any]]


def camera_ids(project: ProjectFile) -> dict[str, int]:
    """A number from 1 on for each camera, by its name."""
    return {name: i for i, name in enumerate(sorted({r.camera for r in project.recordings()}), 1)}


def timed_frames(project: ProjectFile) -> tuple[list[Frame], dict[Frame, bool]]:
    """Frames that could be exported, near-duplicates left out.

    Returns:
        tuple: the frames by time, and of each whether its time can be compared with other cameras'.
    """
    recordings = {r.recording_id: r for r in project.recordings()}
    recording_ids = project.recording_ids()
    frames = _without_repetitions(project.frames())
    recording = [recordings[recording_ids[f.frame_id]] for f in frames]
    # times that were guessed may be the same for two recordings of a camera
    sequences = [r.camera if r.is_timed else r.recording_id for r in recording]
    kept = thin_out(zip(sequences, (f.time for f in frames)))
    if len(kept) > MAX_CANDIDATES:
        kept = [kept[i] for i in sorted(spread_order(len(kept))[:MAX_CANDIDATES])]
    return [frames[i] for i in kept], {frames[i]: recording[i].is_timed for i in kept}


def _without_repetitions(frames: Sequence[Frame]) -> list[Frame]:
    """Of frames of one video with the same pixels the first: a camera that stood still."""
    seen: set[tuple] = set()
    kept = []
    for frame in frames:
        key = (frame.path, frame.checksum)
        if frame.checksum is None or key not in seen:
            kept.append(frame)
        seen.add(key)
    return kept


def without_missing(frames: Sequence[Frame]) -> list[Frame]:
    """Those whose file is there; the others are told."""
    there = {path: os.path.exists(path) for path in {f.path for f in frames}}
    missing = sorted(path for path, is_there in there.items() if not is_there)
    if missing:
        logger.warning(
            "%d file(s) of the project can't be reached, and their frames are left out; bring them "
            "back to export them too. The first: %s",
            *(len(missing), missing[0]),
        )
    return [f for f in frames if there[f.path]]


def labelled_dicts(
    labelling: Labelling,
    frames: Sequence[Frame],
    ids: Mapping[int, int],
    cameras: Mapping[str, int],
) -> Dicts:
    """Dataset dicts of the frames that show somebody.

    Beside the usual keys each has ``frame``, its :class:`Frame`, and ``counts`` of what
    :func:`annotate` left out or changed.

    Args:
        ids: the id to write, by person.
        cameras: by name.
    """
    dicts = []
    by_id = {frame.frame_id: [] for frame in frames}
    for start in range(0, len(frames), BLOCK):
        block = [frame.frame_id for frame in frames[start : start + BLOCK]]
        for box in labelling.boxes(block):
            by_id[box.box.frame_id].append(box)
    for frame in frames:
        counts: Counter = Counter()
        size = (frame.width, frame.height)
        annotations = annotate(by_id[frame.frame_id], size, ids, counts)
        if any(not a.get("iscrowd") for a in annotations):
            dicts.append(_dict(frame, cameras[frame.camera], annotations, counts))
    return dicts


def _dict(frame: Frame, camera_id: int, annotations: Dicts, counts: Counter) -> dict[str, Any]:
    name = picture_name(frame, camera_id)
    return {
        "frame": frame,
        "file_name": name,
        "image_id": os.path.splitext(name)[0],
        "width": frame.width,
        "height": frame.height,
        "camera_id": camera_id,
        "annotations": annotations,
        "counts": counts,
    }
