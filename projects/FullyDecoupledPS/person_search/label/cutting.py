"""Cutting tracks where the appearance changes.

At each place within a track the mean feature of the second before is compared with that of the
second behind. What counts as a change depends on the network, so it is learnt from the recording
itself: the similarities within tracks, nearly all of which are of one person, against those of
tracks that are seen at the same time, which are of two.
"""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..index import merge_features
from .boxes import by_frame, hidden

if TYPE_CHECKING:
    from .tracking import Detections

# Seconds before and behind a place that are compared.
WINDOW = 1.0
# A box of which another, nearer one covers so much shows the other person as well.
HIDDEN = 0.35
# Of similarities within tracks: the share below which a change is surprising in itself.
SURPRISING = 0.01
# With fewer pairs of tracks seen at the same time, nothing is learnt of two persons from them.
MIN_PAIRS = 10


class Limits(NamedTuple):
    """Similarities below which a track is cut."""

    quiet: float  # where nothing else speaks for a change of person
    suspicious: float  # behind a gap, or where somebody passed in front


def cut_tracklets(
    tracks: list[np.ndarray], found: "Detections", times: np.ndarray, score_thresh: float
) -> list[np.ndarray]:
    """
    Args:
        tracks: rows of ``found``, ascending.
        found: of the recording.
        times: (F,) seconds of its frames.
        score_thresh: features of detections below it are not trusted.

    Returns:
        list: the parts of the tracks. Hidden or doubtful detections at a cut belong to neither
        part.
    """
    clear = find_clear(found, score_thresh)
    places = [_Places(rows, rows[clear[rows]], found, times) for rows in tracks]
    limits = learn_limits(places, found)
    return [part for place in places for part in place.cut(limits)]


def find_clear(found: "Detections", score_thresh: float) -> np.ndarray:
    """(N,) bool: whose features are of one person, by score and place."""
    clear = found.scores >= score_thresh
    for rows in by_frame(found.frames):
        sure = rows[found.scores[rows] >= score_thresh]
        clear[sure] &= hidden(found.boxes[sure]) < HIDDEN
    return clear


class _Places:
    """Where a track could be cut: between two consecutive clear detections."""

    def __init__(self, rows: np.ndarray, clear: np.ndarray, found: "Detections", times: np.ndarray):
        self.rows, self.clear = rows, clear
        seconds = times[found.frames[clear]]
        sums = np.concatenate(
            [np.zeros((1, found.features.shape[1])), found.features[clear].cumsum(axis=0)]
        )
        middle = np.arange(1, len(clear))
        first = np.searchsorted(seconds, seconds[:-1] - WINDOW, side="left")
        last = np.searchsorted(seconds, seconds[1:] + WINDOW, side="right")
        before, behind = sums[middle] - sums[first], sums[last] - sums[middle]
        norms = np.linalg.norm(before, axis=1) * np.linalg.norm(behind, axis=1)
        self.similarities = (before * behind).sum(axis=1) / np.maximum(norms, 1e-9)
        # whether there was anything in between: unclear detections, or frames without one
        steps = np.diff(found.frames[clear])
        self.suspicious = steps > 1
        self.feature = merge_features(found.features[clear if len(clear) else rows])
        self.frames = set(found.frames[rows].tolist())

    def cut(self, limits: Limits) -> list[np.ndarray]:
        limit = np.where(self.suspicious, limits.suspicious, limits.quiet)
        padded = np.concatenate([[np.inf], self.similarities, [np.inf]])
        lowest = (self.similarities <= padded[:-2]) & (self.similarities < padded[2:])
        parts, rest = [], self.rows
        for place in np.flatnonzero(lowest & (self.similarities < limit)):
            parts.append(rest[rest <= self.clear[place]])
            rest = rest[rest >= self.clear[place + 1]]
        return [*parts, rest]


def learn_limits(places: list[_Places], found: "Detections") -> Limits:
    """From the similarities within the tracks of a recording and between simultaneous ones."""
    within = np.concatenate([np.zeros(0), *(p.similarities[~p.suspicious] for p in places)])
    if not len(within):
        return Limits(-1.0, -1.0)
    quiet = float(np.quantile(within, SURPRISING))
    between = np.array(
        [
            a.feature @ b.feature
            for i, a in enumerate(places)
            for b in places[i + 1 :]
            if a.frames & b.frames
        ]
    )
    if len(between) < MIN_PAIRS:
        return Limits(quiet, quiet)
    # the similarity that separates the two best
    candidates = np.unique(np.concatenate([within, between]))
    right = [np.mean(within >= c) + np.mean(between < c) for c in candidates]
    best = float(candidates[int(np.argmax(right))])
    return Limits(min(quiet, best), best)
