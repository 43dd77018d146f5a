"""What is known of pairs of tracklets of different recordings: seen at one time, or similar."""

from collections.abc import Iterator

import numpy as np

from ..index import merge_features
from .links import CLOCK_TOLERANCE
from .records import Simultaneous, Tracklet
from .store import ProjectFile

# Most similar tracklets that are kept of each.
NUM_NEIGHBORS = 50
# Tracklets that are compared with all at once.
BLOCK = 1024


def update_relations(project: ProjectFile) -> None:
    """Compare all tracklets, if any or the cameras' overlaps have changed since."""
    tracklets = project.tracklets()
    state = [[t.tracklet_id for t in tracklets], sorted(map(sorted, project.overlaps()))]
    if project.get("related") == state:
        return
    timed = {r.recording_id for r in project.recordings() if r.is_timed}
    pairs = between_cameras([t for t in tracklets if t.recording_id in timed], project.overlaps())
    found = find_neighbors(*mean_features(project))
    with project.transaction():
        project.set_between_cameras(pairs)
        project.set_neighbors(found)
        project.set("related", state)


def between_cameras(
    tracklets: list[Tracklet], overlaps: set[frozenset[str]]
) -> Iterator[Simultaneous]:
    """Pairs that were before two cameras at the same time, whose views don't overlap."""
    active: list[Tracklet] = []
    for new in sorted(tracklets, key=lambda t: t.start):
        active = [t for t in active if t.end - new.start > CLOCK_TOLERANCE]
        for old in active:
            last = min(old.end, new.end)
            cameras = frozenset((old.camera, new.camera))
            if last - new.start > CLOCK_TOLERANCE and len(cameras) == 2 and cameras not in overlaps:
                a, b = sorted((old.tracklet_id, new.tracklet_id))
                yield Simultaneous(a, b, new.start, last, False)
        active.append(new)


def mean_features(project: ProjectFile) -> tuple[np.ndarray, np.ndarray]:
    """(T,) int64 ids of the tracklets, ascending, and their (T, D) mean features, L2-normalised."""
    ids, _, features = project.view_features()
    if not len(ids):
        return ids, features
    kept, starts = np.unique(ids, return_index=True)
    return kept, np.stack([merge_features(part) for part in np.split(features, starts[1:])])


def find_neighbors(
    ids: np.ndarray, features: np.ndarray
) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """The most similar other tracklets of each: ids and similarities, descending."""
    found = {}
    count = min(NUM_NEIGHBORS, len(ids) - 1)
    for start in range(0, len(ids), BLOCK):
        similarities = features[start : start + BLOCK] @ features.T
        own = np.arange(len(similarities))
        similarities[own, start + own] = -np.inf
        best = np.argpartition(-similarities, max(count - 1, 0), axis=1)[:, :count]
        values = np.take_along_axis(similarities, best, axis=1)
        order = np.argsort(-values, axis=1, kind="stable")
        best = np.take_along_axis(best, order, axis=1)
        values = np.take_along_axis(values, order, axis=1)
        for i, row in enumerate(ids[start : start + BLOCK].tolist()):
            found[row] = (ids[best[i]], values[i])
    return found
