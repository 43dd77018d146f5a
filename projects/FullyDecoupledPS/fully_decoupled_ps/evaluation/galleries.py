"""The detections that each query is compared with."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .frame_tables import rows_of_frames

# Row numbers of detections, ascending, or a slice of them.
Rows = np.ndarray | slice


class Gallery(NamedTuple):
    """Either the detections of a gallery, or the detections that it excludes.

    The second is for large galleries that many queries search: all similarities of a query are then
    sorted once for all its galleries, and the few excluded ones are counted separately.
    """

    dets: np.ndarray | None  # (N,) ascending
    left_out: tuple[Rows, ...] = ()  # disjoint, where dets is None


class _ListedFrames(NamedTuple):
    times_listed: np.ndarray  # (I,) how often each frame is listed
    gallery: Gallery


class Galleries:
    """Makes the :class:`Gallery` of a query; those that queries share are made once."""

    def __init__(
        self, offsets: np.ndarray, all_frames: np.ndarray, listed: Sequence[np.ndarray | None]
    ):
        """
        Args:
            offsets: (I + 1,) where each frame's detections begin.
            all_frames: (I,) bool, the frames of a gallery ``None``.
            listed: the galleries of all queries, as in SearchProtocol.galleries.
        """
        self._offsets = offsets
        self._all = self._complement(all_frames.astype(np.int64))
        lists = {id(frames): frames for frames in listed if frames is not None}
        uses = Counter(id(frames) for frames in listed)
        self._shared: dict[int, _ListedFrames] = {
            key: self._of_list(frames, True) for key, frames in lists.items() if uses[key] > 1
        }

    def of(
        self, frames: np.ndarray | None, own_frame: int, without_own: bool, seen: np.ndarray
    ) -> tuple[np.ndarray, Gallery]:
        """The gallery of a query in frame ``own_frame``.

        Args:
            frames: as listed, or None for all gallery frames but the query's own.
            without_own: leave the query's own frame out of a list, too.
            seen: (n,) the frames that hold the query's person, each once.

        Returns:
            (n,) how often each of these frames is listed, and the gallery.
        """
        if frames is None:
            made = self._all
        else:
            made = self._shared.get(id(frames)) or self._of_list(frames, False)
        times, gallery = made.times_listed[seen], made.gallery
        if (frames is None or without_own) and made.times_listed[own_frame]:
            times = np.where(seen == own_frame, 0, times)
            gallery = self._without(gallery, own_frame)
        return times, gallery

    def _without(self, gallery: Gallery, frame: int) -> Gallery:
        start, end = self._offsets[frame : frame + 2]
        if gallery.dets is None:
            return Gallery(None, (*gallery.left_out, slice(start, end)))
        return Gallery(gallery.dets[(gallery.dets < start) | (gallery.dets >= end)])

    def _of_list(self, frames: np.ndarray, shared: bool) -> _ListedFrames:
        times_listed = np.bincount(frames, minlength=len(self._offsets) - 1)
        dets = rows_of_frames(np.flatnonzero(times_listed), self._offsets)
        if shared and 2 * len(dets) > self._offsets[-1]:
            return self._complement(times_listed)
        return _ListedFrames(times_listed, Gallery(dets))

    def _complement(self, times_listed: np.ndarray) -> _ListedFrames:
        left_out: Rows = rows_of_frames(np.flatnonzero(times_listed == 0), self._offsets)
        if not len(left_out):
            return _ListedFrames(times_listed, Gallery(None))
        if left_out[-1] - left_out[0] + 1 == len(left_out):  # a slice is faster to index with
            left_out = slice(left_out[0], left_out[-1] + 1)
        return _ListedFrames(times_listed, Gallery(None, (left_out,)))


def needed_frames(
    listed: Sequence[np.ndarray | None], rows: np.ndarray, num_rows: int
) -> list[np.ndarray] | None:
    """The frames that each query row is compared with; None if some row needs all of them.

    Args:
        listed, rows: the galleries and rows of all queries.
    """
    if any(frames is None for frames in listed):
        return None
    by_row = [[np.zeros(0, dtype=np.int64)] for _ in range(num_rows)]
    for row, frames in zip(rows.tolist(), listed):
        by_row[row].append(frames)
    return [np.unique(np.concatenate(arrays)) for arrays in by_row]
