"""Similarities of queries and gallery detections, a bounded block at a time.

They are float32, as in the published code, so that the last bit of a similarity depends on the
order in which its terms are summed. Two detections that are closer to each other than that may
change places, which moves the AP of a query by up to about 1e-6 at 2048 dimensions; the published
code differs from itself in float64 by as much. Where nothing is rounded, the two agree to 1e-15.
With CWS the published code rounds once more: it scales every feature by the score, and not the
similarity.
"""

from collections.abc import Iterator

import numpy as np
import torch

from .frame_tables import to_offsets

# Similarities computed at once: enough to keep the matrix product efficient.
BLOCK_BYTES = 64 * 2**20
# Where a smaller share than this is needed, it is computed frame by frame; above that the whole
# product is faster.
SPARSE_SHARE = 0.06


def similarity_blocks(
    queries: np.ndarray,
    gallery: np.ndarray,
    frame_offsets: np.ndarray,
    needed: list[np.ndarray] | None = None,
    device: str = "cpu",
) -> Iterator[tuple[int, np.ndarray]]:
    """Dot products of (U, F) query and (D, F) gallery features, in rows of queries.

    Args:
        frame_offsets: (I + 1,) where each frame's detections begin in the gallery.
        needed: the frames, without repetition, that each of the U rows is needed for; elsewhere
            a row may hold any finite values. Default all.
        device: where the product is computed. Of the gallery's features and the similarities no
            more than BLOCK_BYTES each lie there at a time.

    Yields:
        (first row, (n, D) float32 array), which is overwritten by the next one.
    """
    sparse = False
    if needed is not None and device == "cpu":
        share = sum(map(len, needed)) / max(len(queries) * (len(frame_offsets) - 1), 1)
        sparse = share < SPARSE_SHARE
    if sparse:
        yield from _sparse_blocks(queries, gallery, frame_offsets, needed)
    else:
        yield from _dense_blocks(torch.as_tensor(queries), torch.as_tensor(gallery), device)


def _dense_blocks(queries, gallery, device) -> Iterator[tuple[int, np.ndarray]]:
    rows = max(1, BLOCK_BYTES // (4 * max(len(gallery), 1)))
    columns = len(gallery)
    if device != "cpu":
        columns = max(1, BLOCK_BYTES // (4 * max(gallery.shape[1], 1)))
    buffer = torch.empty((min(rows, len(queries)), len(gallery)))
    for first in range(0, len(queries), rows):
        chunk = queries[first : first + rows].to(device)
        block = buffer[: len(chunk)]
        if device == "cpu":
            torch.mm(chunk, gallery.T, out=block)
        else:
            for start in range(0, len(gallery), columns):
                part = gallery[start : start + columns].to(device)
                block[:, start : start + columns] = chunk @ part.T
        yield first, block.numpy()


def _sparse_blocks(queries, gallery, frame_offsets, needed) -> Iterator[tuple[int, np.ndarray]]:
    """A small product for every frame, with the queries that need it."""
    rows = max(1, 2 * BLOCK_BYTES // (4 * max(len(gallery), 1)))
    buffer = np.zeros((min(rows, len(queries)), len(gallery)), dtype=np.float32)
    for first in range(0, len(queries), rows):
        wanted = needed[first : first + rows]
        frames = np.concatenate([np.zeros(0, dtype=np.int64), *wanted])
        row_of = np.repeat(np.arange(len(wanted)), [len(w) for w in wanted])
        row_of = row_of[np.argsort(frames, kind="stable")]
        offsets = to_offsets(np.bincount(frames, minlength=len(frame_offsets) - 1))
        for frame in np.flatnonzero(np.diff(offsets) * np.diff(frame_offsets)):
            start, end = frame_offsets[frame : frame + 2]
            some = row_of[offsets[frame] : offsets[frame + 1]]
            buffer[some, start:end] = queries[first + some] @ gallery[start:end].T
        yield first, buffer[: len(wanted)]
