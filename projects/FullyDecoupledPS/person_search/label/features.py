"""Features of units, comparable between cameras."""

from collections.abc import Iterable

import numpy as np

from .records import Tracklet
from .store import ProjectFile
from .units import Unit

# A camera's mean counts as much as this many tracklets at zero.
SHRINKAGE = 20.0


def normalized(values: np.ndarray) -> np.ndarray:
    """Of length 1 along the last axis; zeros stay."""
    lengths = np.linalg.norm(values, axis=-1, keepdims=True)
    return values / np.maximum(lengths, np.finfo(np.float32).tiny)


class UnitFeatures:
    """One feature per unit: the mean of its views, less what all of its camera have in common."""

    def __init__(self, project: ProjectFile, tracklets: Iterable[Tracklet]):
        ids, _, self._views = project.view_features()
        starts = np.flatnonzero(np.diff(ids, prepend=0))
        self._first_row = dict(zip(ids[starts].tolist(), starts.tolist()))
        tracklets = list(tracklets)
        self._counts = {t.tracklet_id: len(t.view_times) for t in tracklets}
        self.cameras = sorted({t.camera for t in tracklets})
        numbers = {camera: number for number, camera in enumerate(self.cameras)}
        # of each tracklet, the place of its camera among them
        self.camera_of = {t.tracklet_id: numbers[t.camera] for t in tracklets}
        self.dim = self._views.shape[1]
        self._rows = {tracklet: row for row, tracklet in enumerate(self._first_row)}
        means = normalized(np.add.reduceat(self._views, starts)) if len(starts) else self._views
        cameras = [self.camera_of[i] for i in self._rows]
        self._camera_means = self._common(means, np.array(cameras, dtype=np.int64))
        self._whole = normalized(means - self._camera_means[cameras])  # (N, D) of tracklets

    def _common(self, means: np.ndarray, cameras: np.ndarray) -> np.ndarray:
        """(cameras, D)"""
        common = np.zeros((len(self.cameras), self.dim), dtype=np.float32)
        for camera in range(len(common)):
            some = means[cameras == camera]
            common[camera] = some.sum(axis=0) / (len(some) + SHRINKAGE)
        return common

    def of_units(self, units: Iterable[Unit]) -> np.ndarray:
        """(N, D) float32, L2-normalised."""
        units = list(units)
        found = self.of_tracklets(u.tracklet.tracklet_id for u in units)
        ranges = [(u.tracklet.tracklet_id, u.first_view, u.last_view + 1) for u in units]
        parts = [i for i, (t, first, end) in enumerate(ranges) if end - first < self._counts[t]]
        found[parts] = self._of_ranges([ranges[i] for i in parts])
        return found

    def of_tracklets(self, ids: Iterable[int]) -> np.ndarray:
        """(N, D) of whole ones."""
        return self._whole[[self._rows[i] for i in ids]]

    def _of_ranges(self, ranges: list[tuple[int, int, int]]) -> np.ndarray:
        if not ranges:
            return np.zeros((0, self.dim), dtype=np.float32)
        counts = np.array([end - first for _, first, end in ranges])
        firsts = np.array([self._first_row[i] + first for i, first, _ in ranges])
        starts = np.cumsum(counts) - counts
        rows = np.arange(counts.sum()) + np.repeat(firsts - starts, counts)
        sums = np.add.reduceat(self._views[rows], starts)
        cameras = [self.camera_of[i] for i, _, _ in ranges]
        return normalized(normalized(sums) - self._camera_means[cameras])

    def halves(self, tracklets: Iterable[Tracklet]) -> tuple[np.ndarray, np.ndarray]:
        """(N, D) each: the earlier and the later views of those that have two or more."""
        counts = [(t.tracklet_id, len(t.view_times)) for t in tracklets if len(t.view_times) > 1]
        return (
            self._of_ranges([(i, 0, n // 2) for i, n in counts]),
            self._of_ranges([(i, n // 2, n) for i, n in counts]),
        )
