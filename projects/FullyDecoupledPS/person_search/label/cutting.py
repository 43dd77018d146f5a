"""Cutting tracks where the appearance changes, and joining parts that one person's are.

At each place within a track the mean feature of the second before is compared with that of the
second behind. What counts as a change depends on the network, so it is learnt from the recording
itself: the similarities within tracks, nearly all of which are of one person, against those of
tracks that are seen at the same time, which are of two.
"""

from typing import NamedTuple

import numpy as np

from ..index import merge_features
from .detections import Detections
from .overlap import by_frame, hidden

# Seconds before and behind a place that are compared.
WINDOW = 1.0
# Seconds that a track may go on without a clear view of the person.
MAX_UNCLEAR = 1.0
# Between frames further apart somebody else can come to be where the person was.
QUIET_SECONDS = 0.3
# A box of which another, nearer one covers so much shows the other person as well.
HIDDEN = 0.35
# Of similarities within tracks: the share below which a change is surprising in itself.
SURPRISING = 0.02
# Of similarities of two persons: the share above which parts are not joined.
UNSURE = 0.95
# With fewer pairs of tracks seen at the same time, nothing is learnt of two persons from them; with
# more, no more is.
MIN_PAIRS, MAX_PAIRS = 10, 5000
# Parts are joined across so many seconds, if the person walks no faster than so many of their
# heights a second, from a place that is known to so many of them; and if they differ in size by no
# more than this factor.
JOIN_GAP = 2.0
HEIGHTS_PER_SECOND = 1.2
PLACE_HEIGHTS = 0.3
SIZE_FACTOR = 1.5


class Limits(NamedTuple):
    """Similarities that decide."""

    quiet: float  # tracks are cut below it where nothing else speaks for a change of person,
    suspicious: float  # and below this behind a gap, or where somebody passed in front
    join: float  # parts are joined from here on


class Track:
    """A track, or a part of one, with what is known at its places and ends."""

    def __init__(self, rows: np.ndarray, clear: np.ndarray, found: Detections, times: np.ndarray):
        """
        Args:
            rows: of ``found``, ascending.
            clear: those of them whose features are of one person.
            found: detections of the recording.
            times: (F,) seconds of its frames.
        """
        if len(clear):
            seconds = times[found.frames[rows]]
            first, last = times[found.frames[clear[[0, -1]]]]
            rows = rows[(seconds >= first - MAX_UNCLEAR) & (seconds <= last + MAX_UNCLEAR)]
        self.rows, self.clear = rows, clear
        self.first, self.last = found.frames[rows[0]], found.frames[rows[-1]]
        self.num_features = len(clear)
        features = found.features[clear].astype(np.float64)
        seconds = times[found.frames[clear]]
        sums = np.concatenate([np.zeros((1, features.shape[1])), features.cumsum(axis=0)])
        middle = np.arange(1, len(clear))
        first = np.searchsorted(seconds, seconds[:-1] - WINDOW, side="left")
        last = np.searchsorted(seconds, seconds[1:] + WINDOW, side="right")
        before, behind = sums[middle] - sums[first], sums[last] - sums[middle]
        norms = np.linalg.norm(before, axis=1) * np.linalg.norm(behind, axis=1)
        # at each place between two consecutive clear detections
        self.similarities = (before * behind).sum(axis=1) / np.maximum(norms, 1e-9)
        # whether there is nothing in between: no unclear detections, or frames without one
        self.is_next = np.diff(found.frames[clear]) == 1
        self.is_suspicious = ~self.is_next | (np.diff(seconds) > QUIET_SECONDS)
        self.is_long = np.diff(seconds) > MAX_UNCLEAR
        if len(clear):
            self.feature = merge_features(features)
            self.start = merge_features(features[seconds <= seconds[0] + WINDOW])
            self.end = merge_features(features[seconds >= seconds[-1] - WINDOW])

    def cut(self, limits: Limits) -> list[np.ndarray]:
        """Rows of its parts; what is not clear at a cut belongs to neither."""
        limit = np.where(self.is_suspicious, limits.suspicious, limits.quiet)
        limit[self.is_long] = limits.join
        padded = np.concatenate([[np.inf], self.similarities, [np.inf]])
        lowest = (self.similarities <= padded[:-2]) & (self.similarities < padded[2:])
        lowest |= self.is_long
        parts, rest = [], self.rows
        for place in np.flatnonzero(lowest & (self.similarities < limit)):
            parts.append(rest[rest <= self.clear[place]])
            rest = rest[rest >= self.clear[place + 1]]
        return [*parts, rest]


def cut_and_join(
    tracks: list[np.ndarray], found: Detections, times: np.ndarray, score_thresh: float
) -> list[np.ndarray]:
    """
    Args:
        tracks: rows of ``found``, ascending, one a frame.
        found: of the recording.
        times: (F,) seconds of its frames.
        score_thresh: features of detections below it are not trusted.

    Returns:
        list: rows of the parts, joined across short gaps where they are of one person.
    """
    is_clear = find_clear(found, score_thresh)

    def describe(rows):
        return Track(rows, rows[is_clear[rows]], found, times)

    whole = [describe(rows) for rows in tracks]
    limits = learn_limits(whole)
    parts = [describe(rows) for track in whole for rows in track.cut(limits)]
    return join([part for part in parts if part.num_features], found, times, limits.join) + [
        part.rows for part in parts if not part.num_features
    ]


def find_clear(found: Detections, score_thresh: float) -> np.ndarray:
    """(N,) bool: whose features are of a whole person, and of no other, by score and place.

    Feet may be missing, as of everybody who is near.
    """
    clear = (found.scores >= score_thresh) & ~found.at_border[:, [0, 2]].any(axis=1)
    for rows in by_frame(found.frames):
        sure = rows[found.scores[rows] >= score_thresh]
        clear[sure] &= hidden(found.boxes[sure]) < HIDDEN
    return clear


def learn_limits(tracks: list[Track]) -> Limits:
    """From the similarities within the tracks of a recording and between simultaneous ones."""
    tracks = [track for track in tracks if track.num_features]
    within = np.concatenate([np.zeros(0), *(t.similarities[t.is_next] for t in tracks)])
    if not len(within):
        return Limits(-1.0, -1.0, np.inf)
    quiet = float(np.quantile(within, SURPRISING))
    between = np.array(_between(tracks))
    if len(between) < MIN_PAIRS:
        return Limits(quiet, quiet, np.inf)
    # the similarity that separates the two best
    candidates = np.unique(np.concatenate([within, between]))
    below = np.searchsorted(np.sort(between), candidates) / len(between)
    above = 1 - np.searchsorted(np.sort(within), candidates) / len(within)
    best = float(candidates[np.argmax(below + above)])
    return Limits(min(quiet, best), best, max(best, float(np.quantile(between, UNSURE))))


def _between(tracks: list[Track]) -> list[float]:
    """Similarities of tracks that are seen at the same time."""
    similarities, active = [], []
    for new in sorted(tracks, key=lambda track: track.first):
        active = [old for old in active if old.last >= new.first]
        similarities += [float(old.feature @ new.feature) for old in active]
        active.append(new)
        if len(similarities) > MAX_PAIRS:
            break
    return similarities


def join(
    parts: list[Track], found: Detections, times: np.ndarray, limit: float
) -> list[np.ndarray]:
    """Rows of the parts, those joined that follow one another, look alike and are near.

    The most similar are joined first; each part has one before it and one behind it at most.
    """
    parts = sorted(parts, key=lambda part: part.first)
    starts = times[[part.first for part in parts]]
    pairs = []
    for i, a in enumerate(parts):
        end = times[a.last]
        near = range(*np.searchsorted(starts, [end, end + JOIN_GAP], side="right"))
        pairs += [(float(a.end @ parts[j].start), i, j) for j in near]
    after: dict[int, int] = {}
    before: dict[int, int] = {}
    for similarity, i, j in sorted(pairs, reverse=True):
        if similarity < limit:
            break
        ends = found.boxes[parts[i].rows[-1]], found.boxes[parts[j].rows[0]]
        is_free = i not in after and j not in before
        if is_free and _is_near(*ends, starts[j] - times[parts[i].last]):
            after[i], before[j] = j, i
    result = []
    for i in sorted(set(range(len(parts))) - before.keys()):
        chain = [parts[i].rows]
        while i in after:
            i = after[i]
            chain.append(parts[i].rows)
        result.append(np.concatenate(chain))
    return result


def _is_near(a: np.ndarray, b: np.ndarray, gap: float) -> bool:
    """Whether somebody can walk from one box to the other in ``gap`` seconds."""
    heights = a[3] - a[1], b[3] - b[1]
    moved = np.hypot(*((a[:2] + a[2:] - b[:2] - b[2:]) / 2))
    reach = max(heights) * (PLACE_HEIGHTS + HEIGHTS_PER_SECOND * gap)
    return bool(moved <= reach and max(heights) <= SIZE_FACTOR * min(heights))
