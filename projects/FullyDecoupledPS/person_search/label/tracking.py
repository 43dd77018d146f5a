"""From the detections of a recording to tracklets: one passage of one person before the camera.

ByteTrack, of the library ``trackers``, links detections by where they are. What it links is then
cut where the appearance changes (:mod:`.cutting`): a tracklet of two persons can't be told by logic
from one of one person, while a passage in two pieces costs a single decision.
"""

import numpy as np

from ..errors import UserError
from .cutting import cut_and_join
from .detections import Detections
from .overlap import by_frame, pairwise_iou

# Seconds for which somebody may be out of sight within a tracklet.
MAX_GAP = 1.0
# Frames further apart are not linked by place: each detection is a tracklet of its own.
MAX_PERIOD = 2.0
# With frames this far apart, a single detection of a high score is a tracklet too: who walks by
# quickly is seen once.
SINGLES_PERIOD = 0.5
# With frames less far apart, a tracklet has detections of a high score for this many seconds, and
# so many of them: shorter ones are false alarms, or somebody at the border.
MIN_SECONDS, MIN_SURE = 0.4, 3
# Of a track's place as it is expected and of a detection.
MIN_IOU = 0.1
# Scores are on another scale for each detector. A tracklet is sure if its mean score is at least
# this share of what most of the recording reach; the others are things, or parts of a person.
SURE, MOST = 0.7, 75  # of a percentile
# A detection of one frame that shares so much with a better one is the same person again.
DUPLICATE_IOU = 0.7


def check_library() -> None:
    """Raise a UserError if the tracker is not installed."""
    try:
        import trackers  # noqa: F401
    except ImportError as error:
        raise UserError(
            f'tracking persons needs the package trackers ({error}): pip install "trackers>=2.6"'
        ) from error


def track(found: Detections, times: np.ndarray, score_thresh: float) -> list[np.ndarray]:
    """Tracklets of a recording.

    Args:
        found: detections of all scores.
        times: (F,) seconds of its frames, strictly ascending.
        score_thresh: from this score on a detection can begin a tracklet; lower ones continue one.

    Returns:
        list: of each tracklet its rows of ``found``, one a frame, ascending; by the first of them.

    Raises:
        UserError: if the library ``trackers`` is not installed.
    """
    rows = np.flatnonzero(~duplicates(found))
    kept = found.take(rows)
    period = float(np.median(np.diff(times))) if len(times) > 1 else np.inf
    linked = _link(kept, times, period, score_thresh) if period <= MAX_PERIOD else []
    tracklets = cut_and_join(linked, kept, times, score_thresh)
    if period > SINGLES_PERIOD:
        free = np.ones(len(rows), dtype=bool)
        free[np.concatenate([np.zeros(0, int), *linked])] = False
        singles = np.flatnonzero(free & (kept.scores >= score_thresh))
        tracklets += list(singles[:, None])
    else:
        least = max(MIN_SURE, round(MIN_SECONDS / period))
        tracklets = [t for t in tracklets if (kept.scores[t] >= score_thresh).sum() >= least]
    sure = sure_tracklets(tracklets, kept.scores)
    return sorted((rows[tracklet] for tracklet in sure), key=lambda t: tuple(t[:1]))


def sure_tracklets(tracklets: list[np.ndarray], scores: np.ndarray) -> list[np.ndarray]:
    """Those that are of a person as clearly as most are; detections of the others stay untracked.

    Args:
        tracklets: rows of ``scores``.
    """
    means = np.array([scores[rows].mean() for rows in tracklets])
    if not len(means):
        return []
    is_sure = means >= SURE * np.percentile(means, MOST)
    return [rows for rows, sure in zip(tracklets, is_sure) if sure]


def duplicates(found: Detections) -> np.ndarray:
    """(N,) bool: whether a detection is a worse one of a person who has another in the frame."""
    result = np.zeros(len(found.scores), dtype=bool)
    for rows in by_frame(found.frames):
        iou = pairwise_iou(found.boxes[rows], found.boxes[rows])
        order = np.argsort(-found.scores[rows], kind="stable")
        for place, row in enumerate(order):
            better = [i for i in order[:place] if not result[rows[i]]]
            result[rows[row]] = bool((iou[row, better] > DUPLICATE_IOU).any())
    return result


def _link(
    found: Detections, times: np.ndarray, period: float, score_thresh: float
) -> list[np.ndarray]:
    """What ByteTrack links, each with the detection that it began at."""
    tracker, iou, detections_of = _make_tracker(period, score_thresh)
    members: dict[int, list[int]] = {}
    ids = np.full(len(found.frames), -1)
    rows_of = {found.frames[rows[0]]: rows for rows in by_frame(found.frames)}
    before = np.zeros(0, dtype=int)
    for frame, seconds in enumerate(times - times[0]):
        rows = rows_of.get(frame, np.zeros(0, dtype=int))
        result = tracker.update(detections_of(found, rows), timestamp=float(seconds))
        ids[result.data.get("row", rows[:0]).astype(int)] = result.tracker_id
        for row in rows[ids[rows] >= 0]:
            track = members.setdefault(int(ids[row]), [])
            if not track:
                free = before[(ids[before] < 0) & (found.scores[before] >= score_thresh)]
                track += _first(row, free, found, iou)
                ids[track] = ids[row]
            track.append(int(row))
        before = rows
    return [np.array(track) for track in members.values()]


def _make_tracker(period: float, score_thresh: float):
    """ByteTrack for frames ``period`` seconds apart, its measure, and what makes its input."""
    check_library()
    import supervision
    from trackers import ByteTrackTracker
    from trackers.utils.iou import BIoU

    # until its speed is known, a walker is looked for around where they were: within a third of a
    # second they leave their box
    iou = BIoU(min(max(2 * (period - 0.2), 0.0), 1.5))
    tracker = ByteTrackTracker(
        lost_track_buffer=round(30 * max(MAX_GAP, 1.5 * period)),  # in frames at 30 a second
        frame_rate=1 / period,
        track_activation_threshold=score_thresh,
        high_conf_det_threshold=score_thresh,
        minimum_iou_threshold=MIN_IOU,
        iou=iou,
    )

    def detections_of(found: Detections, rows: np.ndarray):
        return supervision.Detections(
            found.boxes[rows].reshape(-1, 4), confidence=found.scores[rows], data={"row": rows}
        )

    return tracker, iou, detections_of


def _first(row: int, free: np.ndarray, found: Detections, iou) -> list[int]:
    """The detection that a track began at, among those of the frame before: it got no id there."""
    if not len(free):
        return []
    values = iou.compute(found.boxes[[row]], found.boxes[free])[0]
    return [int(free[values.argmax()])] if values.max() >= MIN_IOU else []
