"""Exact search: every feature is compared, with FAISS, in float32 from the stored float16."""

import faiss
import numpy as np

# Up to this number of features a shard is searched exactly, with all of them in memory.
EXACT_LIMIT = 200_000
# Of more, this many are read at a time.
BLOCK = 50_000


class ExactSearcher:
    """Compares with each of (N, D) float16 features.

    FAISS's fp16 scalar quantizer is no approximation here: its codes are the stored float16 values
    themselves. Against float32 it halves the bytes to go through, which is what takes the time.
    """

    def __init__(self, features: np.ndarray):
        """
        Args:
            features: (N, D) float16, which may be a memory map; copied to memory if N is at most
                ``EXACT_LIMIT``.
        """
        self.features = features
        self._index = _flat_index(features) if len(features) <= EXACT_LIMIT else None

    def search(
        self, feature: np.ndarray, top: int, allowed: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """
        Args:
            feature: (D,) float32.
            top: K.
            allowed: the rows that take part, int64; None: all.

        Returns:
            tuple: rows (K,) int64 and similarities (K,) float32, descending; fewer if no more take
            part.
        """
        if self._index is not None:
            return _search_flat(self._index, feature, top, allowed)
        return search_rows(self.features, feature, top, allowed)


def search_rows(
    features: np.ndarray, feature: np.ndarray, top: int, rows: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """As :meth:`ExactSearcher.search`, without any preparation, in bounded memory."""
    count = len(features) if rows is None else len(rows)
    best_rows, best = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32)
    for start in range(0, count, BLOCK):
        numbers = np.arange(start, min(start + BLOCK, count))
        if rows is not None:
            numbers = rows[numbers]
        block = features[start : start + BLOCK] if rows is None else features[numbers]
        found, similarities = _search_flat(_flat_index(block), feature, top, None)
        best_rows = np.concatenate([best_rows, numbers[found]])
        best = np.concatenate([best, similarities])
        order = np.argsort(-best, kind="stable")[:top]
        best_rows, best = best_rows[order], best[order]
    return best_rows, best


def _flat_index(features: np.ndarray) -> faiss.Index:
    index = faiss.IndexScalarQuantizer(
        features.shape[1], faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
    )
    codes = np.ascontiguousarray(features).view(np.uint8).reshape(-1)
    faiss.copy_array_to_vector(codes, index.codes)
    index.ntotal = len(features)
    index.is_trained = True
    return index


def _search_flat(index, feature, top: int, allowed) -> tuple[np.ndarray, np.ndarray]:
    top = min(top, index.ntotal)
    if top == 0:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32)
    params = None
    if allowed is not None:
        mask = np.zeros(index.ntotal, dtype=bool)
        mask[allowed] = True
        selector = row_selector(mask)
        params = faiss.SearchParameters(sel=selector)
    query = np.ascontiguousarray(feature, dtype=np.float32)[None]
    similarities, rows = index.search(query, top, params=params)
    found = rows[0] >= 0
    return rows[0][found], similarities[0][found]


def row_selector(mask: np.ndarray) -> faiss.IDSelectorBitmap:
    """Lets the rows pass at which ``mask`` is True."""
    return faiss.IDSelectorBitmap(np.packbits(mask, bitorder="little"))
