"""Which frames of a project are worth training on: few of many that look alike."""

import heapq
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence
from typing import NamedTuple

# Frames of one camera that follow within so many seconds are near-duplicates.
MIN_SECONDS_APART = 1.0
HOUR = 3600.0


class Candidate(NamedTuple):
    """A frame that may be chosen."""

    camera: Hashable
    time: float  # seconds since the epoch
    persons: frozenset[int]  # whose identity is known


def thin_out(places: Iterable[tuple[Hashable, float]]) -> list[int]:
    """Frames of one sequence that are at least ``MIN_SECONDS_APART`` from each other.

    Args:
        places: the sequence (a camera, where its clock is known) and the time of each frame.

    Returns:
        indices into ``places``, by time: of each sequence the first frame, then always the first
        that is far enough from the last one taken.
    """
    last: dict[Hashable, float] = {}
    kept = []
    for time, index, sequence in sorted(
        ((time, i, sequence) for i, (sequence, time) in enumerate(places)), key=lambda row: row[:2]
    ):
        if sequence not in last or time - last[sequence] >= MIN_SECONDS_APART:
            last[sequence] = time
            kept.append(index)
    return kept


def choose_frames(candidates: Sequence[Candidate], count: int) -> list[int]:
    """The frames that cover persons, cameras and hours best.

    One after the other the frame of the largest gain is taken. Its gain is the sum of

    - 1 / (1 + n) for each person in it, of whom n frames are chosen already;
    - 1 / (1 + n) once more for a person whom several cameras see, of whom n frames of the frame's
      camera are chosen already;
    - 1 / (1 + n), if n frames of its camera in its hour are chosen already.

    So a gain only falls as frames are chosen, and it suffices to reckon anew the one that was the
    largest ("lazy greedy", Minoux 1978). Of equal gains the one is taken that lies farthest from
    others in time: the first frame, the middle one, the quarters and so on.

    Args:
        candidates: by time, near-duplicates left out.
        count: how many to choose, at most.

    Returns:
        indices into ``candidates``, in the order in which they were chosen.
    """
    gains = _Gains(candidates)
    order = {index: rank for rank, index in enumerate(spread_order(len(candidates)))}
    heap = [(-gains.of(c), order[i], i) for i, c in enumerate(candidates)]
    heapq.heapify(heap)
    chosen: list[int] = []
    while heap and len(chosen) < count:
        _, rank, index = heap[0]
        now = (-gains.of(candidates[index]), rank, index)
        if len(heap) > 1 and now > min(heap[1:3]):
            heapq.heapreplace(heap, now)
            continue
        heapq.heappop(heap)
        gains.take(candidates[index])
        chosen.append(index)
    return chosen


def spread_order(count: int) -> list[int]:
    """0 ... ``count`` - 1 so that any beginning of the list is spread over all of them.

    By the reversed bits of the number (van der Corput's sequence).

    >>> spread_order(5)
    [0, 4, 2, 1, 3]
    """
    bits = max(count - 1, 0).bit_length()
    reverse = (int(f"{n:0{bits or 1}b}"[::-1], 2) for n in range(1 << bits))
    return [n for n in reverse if n < count]


class _Gains:
    """What is chosen so far, counted."""

    def __init__(self, candidates: Sequence[Candidate]):
        cameras = defaultdict(set)
        for candidate in candidates:
            for person in candidate.persons:
                cameras[person].add(candidate.camera)
        self._in_several = {person for person, seen in cameras.items() if len(seen) > 1}
        self._chosen: Counter = Counter()

    def of(self, candidate: Candidate) -> float:
        return sum(1 / (1 + self._chosen[key]) for key in self._keys(candidate))

    def take(self, candidate: Candidate) -> None:
        self._chosen.update(self._keys(candidate))

    def _keys(self, candidate: Candidate) -> list[tuple]:
        keys: list[tuple] = [("hour", candidate.camera, candidate.time // HOUR)]
        for person in sorted(candidate.persons):  # sums keep their order
            keys.append((person,))
            if person in self._in_several:
                keys.append((person, candidate.camera))
        return keys
