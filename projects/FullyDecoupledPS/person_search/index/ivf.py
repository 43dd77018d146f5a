"""Approximate search of large shards: an inverted file of short codes, re-ranked exactly.

FAISS's IVF index over 4-bit product-quantizer codes (a quarter of a byte for each float16 of the
feature) finds a shortlist; its features are then read from the feature file and compared exactly.
So the index adds an eighth to the size on the disk, and similarities are exact; only the shortlist
is approximate. The number of lists to search and the length of the shortlist are calibrated when
the index is built: the cheapest setting whose recall on the shard's own features reaches the
target.
"""

import errno
import logging
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import faiss
import numpy as np
from tqdm import tqdm

from fully_decoupled_ps.utils.files import sync_folder

from .disk import explain_disk_errors
from .exact import row_selector, search_rows
from .feature_store import FeatureStore

logger = logging.getLogger(__name__)

# Wanted share of the exact 10 most similar among the 10 found; above the promised 0.98, because
# it is measured on a sample.
TARGET_RECALL = 0.99
RECALL_AT = 10
# Features that recall is measured with, each as a query for the others.
NUM_PROBES = 200
# Persons per list, on average.
PERSONS_PER_LIST = 1000
# Features per list to train the lists' centres on.
TRAINING_PER_LIST = 40
# Least number of features to train on, for the codes.
MIN_TRAINING = 4096
SHORTLISTS = (200, 500, 1000, 2000, 5000)
# If the filters let no more rows pass, they are searched exactly.
FEW_ROWS = 20_000
# An index is rebuilt once its shard has grown beyond so many times the rows it was trained on.
MAX_GROWTH = 2.0
BLOCK = 20_000


@dataclass(frozen=True)
class IVFState:
    """What the records keep of an IVF index. It holds the features of rows 0 to ``rows``."""

    file: str
    rows: int
    trained_rows: int
    num_lists: int
    nprobe: int  # lists to look through
    shortlist: int
    recall: float  # measured with these settings


class IVFSearcher:
    """Searches rows 0 to ``state.rows`` through the index, and the few behind them exactly."""

    def __init__(self, folder: Path, state: dict, features: np.ndarray):
        """
        Args:
            folder: of the shard.
            state: ``ivf`` of its records.
            features: (N, D) float16, a memory map of all rows.
        """
        self.index = faiss.read_index(str(folder / state["file"]))
        self.state = IVFState(**state)
        self.features = features

    def search(
        self, feature: np.ndarray, top: int, allowed: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """As :meth:`ExactSearcher.search`."""
        if allowed is not None and len(allowed) <= FEW_ROWS:
            return search_rows(self.features, feature, top, np.sort(allowed))
        mask = None
        tail = np.arange(self.state.rows, len(self.features))
        if allowed is not None:
            mask = np.zeros(len(self.features), dtype=bool)
            mask[allowed] = True
            tail = tail[mask[tail]]
        rows = np.sort(np.concatenate([self._shortlist(feature, top, mask), tail]))
        return search_rows(self.features, feature, top, rows)

    def _shortlist(self, feature: np.ndarray, top: int, mask: np.ndarray | None) -> np.ndarray:
        state, nprobe, selector = self.state, self.state.nprobe, None
        if mask is not None:
            # where fewer pass the filters, the most similar ones are spread over more lists
            nprobe = min(int(np.ceil(nprobe / mask.mean())), state.num_lists)
            selector = row_selector(mask)
        length = min(max(state.shortlist, state.shortlist * top // RECALL_AT), state.rows)
        params = faiss.SearchParametersIVF(nprobe=nprobe, sel=selector)
        _, rows = self.index.search(feature[None].astype(np.float32), length, params=params)
        return rows[0][rows[0] >= 0]


def build_or_extend(
    folder: Path, state: dict | None, store: FeatureStore, live_rows: np.ndarray
) -> dict:
    """An index of all rows, written to a new file beside the old one.

    Args:
        folder: of the shard.
        state: of the index that is there and holds the first rows, or None.
        store: the features.
        live_rows: rows that belong to persons, ascending.

    Returns:
        dict: the state of the new index, or of the old one if it holds all rows.

    Raises:
        UserError: if the disk is full.
    """
    old = None if state is None else IVFState(**state)
    features = store.read()
    if old is not None and old.rows == store.rows:
        return state
    if old is None or store.rows > MAX_GROWTH * old.trained_rows:
        index, first, trained_rows = _train(features, live_rows), 0, store.rows
    else:
        index, first = faiss.read_index(str(folder / old.file)), old.rows
        trained_rows = old.trained_rows
    _add(index, features, live_rows[live_rows >= first])
    nprobe, shortlist, recall = calibrate(index, features, live_rows)
    new = IVFState(
        file=f"ivf-{store.path.stem}-{store.rows}.faiss",
        rows=store.rows,
        trained_rows=trained_rows,
        num_lists=index.nlist,
        nprobe=nprobe,
        shortlist=shortlist,
        recall=recall,
    )
    _write(index, folder / new.file)
    logger.info(
        "%s: %d of %d lists are looked through, with a shortlist of %d: recall at %d is %.3f",
        *(folder, nprobe, index.nlist, shortlist, RECALL_AT, recall),
    )
    return asdict(new)


def _write(index: faiss.Index, path: Path) -> None:
    temporary = path.with_suffix(".tmp")
    with explain_disk_errors(path):
        try:
            faiss.write_index(index, str(temporary))
        except RuntimeError as error:  # what FAISS raises for a failed write
            temporary.unlink(missing_ok=True)
            raise OSError(errno.ENOSPC, str(error)) from error
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_folder(path.parent)


def _train(features: np.ndarray, rows: np.ndarray) -> faiss.IndexIVF:
    """An empty index, trained on a sample of the rows."""
    dim = features.shape[1]
    num_lists = max(len(rows) // PERSONS_PER_LIST, 1)
    generator = np.random.default_rng(0)
    count = min(len(rows), max(TRAINING_PER_LIST * num_lists, MIN_TRAINING))
    sample = np.sort(generator.choice(rows, count, replace=False))
    logger.info("Training an index of %d lists on %d persons", num_lists, count)
    quantizer = faiss.IndexFlatIP(dim)
    # 4 bits for each two values, or for each value of a feature of odd length
    parts = dim // 2 if dim % 2 == 0 else dim
    index = faiss.IndexIVFPQFastScan(
        quantizer, dim, num_lists, parts, 4, faiss.METRIC_INNER_PRODUCT
    )
    index.own_fields = True
    quantizer.this.disown()
    # codes of the features themselves, so that one look-up table per query serves all lists
    index.by_residual = False
    index.cp.niter = 6
    index.cp.max_points_per_centroid = TRAINING_PER_LIST
    index.pq.cp.niter = 6
    index.train(features[sample].astype(np.float32))
    return index


def _add(index: faiss.IndexIVF, features: np.ndarray, rows: np.ndarray) -> None:
    blocks = range(0, len(rows), BLOCK)
    for start in tqdm(blocks, desc="Building the index", unit="block", disable=len(blocks) < 3):
        some = rows[start : start + BLOCK]
        index.add_with_ids(features[some].astype(np.float32), some)


def calibrate(
    index: faiss.IndexIVF, features: np.ndarray, rows: np.ndarray
) -> tuple[int, int, float]:
    """Find the cheapest setting that reaches ``TARGET_RECALL``.

    Queries are features of the shard, each with a person of its own left out of what is to be
    found. If no setting reaches it, the one with the highest recall is taken.

    Returns:
        tuple: nprobe, length of the shortlist, recall at 10.
    """
    probes = np.random.default_rng(1).choice(rows, min(NUM_PROBES, len(rows)), replace=False)
    queries = features[np.sort(probes)].astype(np.float32)
    truth = exact_neighbours(features, rows, queries, np.sort(probes))
    nprobes = [2**i for i in range(index.nlist.bit_length()) if 2**i < index.nlist] + [index.nlist]
    settings = []
    for nprobe in nprobes:
        params = faiss.SearchParametersIVF(nprobe=nprobe)
        length = min(SHORTLISTS[-1], len(rows))
        _, found = index.search(queries, length, params=params)
        for shortlist in SHORTLISTS:
            shares = [np.isin(t, f[:shortlist]).mean() for t, f in zip(truth, found)]
            settings.append((nprobe, shortlist, float(np.mean(shares))))
            if settings[-1][2] >= TARGET_RECALL:
                return settings[-1]
    return max(settings, key=lambda setting: setting[2])


def exact_neighbours(
    features: np.ndarray, rows: np.ndarray, queries: np.ndarray, own_rows: np.ndarray
) -> np.ndarray:
    """(Q, RECALL_AT) rows most similar to each query, its own row left out."""
    wanted = min(RECALL_AT + 1, len(rows))
    best = faiss.ResultHeap(len(queries), wanted, keep_max=True)
    for start in range(0, len(rows), BLOCK):
        some = rows[start : start + BLOCK]
        block = features[some].astype(np.float32)
        count = min(wanted, len(some))
        similarities, numbers = faiss.knn(queries, block, count, faiss.METRIC_INNER_PRODUCT)
        best.add_result(similarities, some[numbers])
    best.finalize()
    return np.stack([row[row != own][:RECALL_AT] for row, own in zip(best.I, own_rows)])
