"""One recording of an index: its detections, tracked, with crops, ready for a project."""

import itertools
from collections.abc import Callable

import numpy as np

from ..index import Frame, PersonIndex
from .detections import Detections, find_at_border
from .overlap import covered
from .recordings import FoundRecording
from .records import NewRecording, NewTracklet
from .tracking import MAX_GAP, track
from .views import choose_views, cut_crop, read_wanted, view_worths

# Times that a recording's frames are gone through: their detections, and their pictures.
PASSES = 2
# Features that are read at once.
CHUNK = 10_000
# Two boxes of a frame are of two persons for certain if this share of the smaller is in the other,
# and may be of one, such as a person's upper body, from the second share on.
APART, TOGETHER = 0.3, 0.7


def make_recording(
    recording: FoundRecording,
    index: PersonIndex,
    score_thresh: float,
    tell: Callable[[int], object] = int,
) -> NewRecording | None:
    """Track a recording; None if the index has no frame of it.

    Args:
        recording: all of whose files were indexed.
        index: of detections of all scores.
        score_thresh: from this score on a detection can begin a tracklet.
        tell: called with numbers of frames, which add up to :data:`PASSES` times their number.

    Raises:
        UserError: if its pictures can't be read, or are not those that were indexed.
    """
    frames, times = read_index_frames(recording, index)
    if not frames:
        return None
    found = read_detections(frames, index, tell)
    tracks = track(found, np.array(times), score_thresh)
    worths = view_worths(found)
    views = [choose_views(np.array(times)[found.frames[rows]], worths[rows]) for rows in tracks]
    chosen = [rows[numbers] for rows, numbers in zip(tracks, views)]
    crops = _cut_crops(chosen, found, frames, tell)
    tracklets = [
        new_tracklet(rows, numbers, found, times, tuple(crops[row] for row in rows[numbers]))
        for rows, numbers in zip(tracks, views)
    ]
    others = np.ones(len(found.frames), dtype=bool)
    others[np.concatenate([np.zeros(0, int), *tracks])] = False
    return NewRecording(
        *(recording.path, recording.camera, recording.content, recording.is_timed),
        frames=[
            (f.path, f.pts, f.checksum, seconds, f.offset, f.width, f.height)
            for f, seconds in zip(frames, times)
        ],
        tracklets=tracklets,
        others=[
            (int(found.frames[i]), tuple(found.boxes[i].tolist()), float(found.scores[i]))
            for i in np.flatnonzero(others)
        ],
        simultaneous=find_simultaneous(tracks, found, times, score_thresh),
    )


def read_index_frames(
    recording: FoundRecording, index: PersonIndex
) -> tuple[list[Frame], list[float]]:
    """The frames that the index has of a recording, and when each was, in the order of time."""
    frames, times = [], []
    for file, start in zip(recording.files, recording.times):
        for frame in sorted(index.find_frames(file.path), key=lambda frame: frame.offset):
            frames.append(frame)
            times.append(start + frame.offset)
    return frames, times


def read_detections(
    frames: list[Frame], index: PersonIndex, tell: Callable[[int], object] = int
) -> Detections:
    """All detections in some frames; features are of half precision, as the index has them."""
    persons = []
    for i, frame in enumerate(frames):
        persons += [(i, person) for person in index.persons(frame.frame_id)]
        tell(1)
    ids = [person.person_id for _, person in persons]
    features = [np.zeros((0, index.info.dim), np.float16)]
    for start in range(0, len(ids), CHUNK):
        features.append(index.features(ids[start : start + CHUNK]).astype(np.float16))
    boxes = np.array([p.box for _, p in persons], dtype=float).reshape(-1, 4)
    sizes = np.array([(p.frame.width, p.frame.height) for _, p in persons]).reshape(-1, 2)
    return Detections(
        frames=np.array([i for i, _ in persons], dtype=int),
        boxes=boxes,
        scores=np.array([p.score for _, p in persons], dtype=float),
        features=np.concatenate(features),
        at_border=find_at_border(boxes, sizes),
    )


def _cut_crops(
    views: list[np.ndarray],
    found: Detections,
    frames: list[Frame],
    tell: Callable[[int], object],
) -> dict[int, bytes]:
    """JPEG files of some detections, by row, in one pass over the recording."""
    rows_of: dict[int, list[int]] = {}
    for row in np.concatenate([np.zeros(0, int), *views]).tolist():
        rows_of.setdefault(int(found.frames[row]), []).append(row)
    crops, done = {}, 0
    for i, image in read_wanted({i: frames[i] for i in sorted(rows_of)}):
        crops.update({row: cut_crop(image, found.boxes[row]) for row in rows_of[i]})
        tell(i - done)
        done = i
    tell(len(frames) - done)
    return crops


def new_tracklet(
    rows: np.ndarray, views: list[int], found: Detections, times: list[float], crops: tuple
) -> NewTracklet:
    """
    Args:
        rows: of the tracklet's detections, one a frame, ascending.
        views: numbers within ``rows``.
        times: of the recording's frames; gaps up to :data:`.tracking.MAX_GAP` are filled.
        crops: of the views.
    """
    seen = found.frames[rows]
    frames = [int(seen[0])]
    for before, behind in itertools.pairwise(seen.tolist()):
        if times[behind] - times[before] <= MAX_GAP:
            frames += range(before + 1, behind)
        frames.append(behind)
    seconds = np.array(times)[frames]
    boxes = [np.interp(seconds, np.array(times)[seen], side) for side in found.boxes[rows].T]
    is_interpolated = ~np.isin(frames, seen)
    scores = np.zeros(len(frames))
    scores[~is_interpolated] = found.scores[rows]
    return NewTracklet(
        *(np.array(frames), np.stack(boxes, axis=1), scores, is_interpolated),
        view_rows=tuple(np.flatnonzero(~is_interpolated)[views].tolist()),
        view_features=found.features[rows[views]].astype(np.float32),
        crops=crops,
    )


def find_simultaneous(
    tracks: list[np.ndarray], found: Detections, times: list[float], score_thresh: float
) -> list[tuple[int, int, float, float]]:
    """Pairs of tracks that two persons are for certain, since they are in one frame and apart.

    Two boxes that cover each other in more frames than they are apart may be of one person.

    Returns:
        list: places in ``tracks`` (the smaller first), times of the first and last common frame.
    """
    in_frame: dict[int, list[tuple[int, int]]] = {}
    for place, rows in enumerate(tracks):
        for row in rows[found.scores[rows] >= score_thresh].tolist():
            in_frame.setdefault(int(found.frames[row]), []).append((place, row))
    common: dict[tuple[int, int], list] = {}  # frames apart, frames together, first, last
    for frame in sorted(in_frame):
        places, rows = zip(*in_frame[frame])
        shares = covered(found.boxes[list(rows)], found.boxes[list(rows)])
        for i, j in itertools.combinations(range(len(rows)), 2):
            counts = common.setdefault((places[i], places[j]), [0, 0, times[frame], 0.0])
            counts[0] += shares[i, j] < APART
            counts[1] += shares[i, j] > TOGETHER
            counts[3] = times[frame]
    return [
        (*pair, first, last)
        for pair, (apart, together, first, last) in sorted(common.items())
        if apart > together
    ]
