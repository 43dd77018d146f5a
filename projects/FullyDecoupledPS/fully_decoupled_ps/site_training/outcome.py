"""What a training has brought: the table of before and after, its verdict, and the report."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tabulate import tabulate

from ..errors import UserError
from ..evaluation.detection_metrics import match_detections
from ..evaluation.predictions_file import load_predictions
from ..evaluation.query_results import Record, load_queries, read_json
from ..evaluation.search_dataset import SKIP_WITHOUT_GROUND_TRUTH, SearchDataset
from .comparison import Comparison, compare_figures, compare_means
from .data import TEST

logger = logging.getLogger(__name__)

IOU = 0.5
TITLES = {"full": "full gallery", "multi_view": "other cameras alone"}


def compare(before: Path, after: Path) -> list[Comparison]:
    """
    Args:
        before, after: folders that the evaluator has written.

    Raises:
        UserError: they are of different queries.
    """
    dataset = SearchDataset(TEST)
    rows = _compare_detection(dataset, before, after)
    for protocol in dataset.protocols:
        files = [load_queries(folder / f"queries_{protocol}.json") for folder in (before, after)]
        rows += compare_search(protocol, *(file["queries"] for file in files))
    return rows


def _compare_detection(dataset: SearchDataset, before: Path, after: Path) -> list[Comparison]:
    folders = (before, after)
    metrics = [read_json(folder / "metrics.json", "metrics")["detection"] for folder in folders]
    truth = dataset.ground_truth.keep(dataset.gallery_frames[dataset.ground_truth.frame_of])
    found = [_found(dataset, truth, folder) for folder in folders]
    over = f"{len(truth)} persons in {len(np.unique(truth.frame_of))} frames"
    return [
        compare_figures("detection AP", over, *(values["AP"] for values in metrics)),
        compare_means("detection recall", over, truth.frame_of, *found),
    ]


def _found(dataset: SearchDataset, truth, folder: Path) -> np.ndarray:
    """(n,) 100 for a person that is detected, else 0; the mean is the evaluator's recall."""
    path = str(folder / "predictions.npz")
    detections = load_predictions(path, dataset.image_ids, dataset.name).detections
    detections = detections.keep(dataset.gallery_frames[detections.frame_of])
    found = np.zeros(len(truth))
    found[match_detections(detections, truth, IOU)[1]] = 100.0
    return found


def compare_search(
    protocol: str, before: Sequence[Record], after: Sequence[Record]
) -> list[Comparison]:
    """
    Args:
        before, after: queries, as the evaluator writes them.

    Returns:
        mAP and top-1; nothing if no query counts.

    Raises:
        UserError: they are different queries.
    """
    if list(map(_key, before)) != list(map(_key, after)):
        raise UserError(
            f"the queries of protocol {protocol} were others before the training than after it; "
            "have the pictures changed? Train again, in another --output"
        )
    counted = [
        pair
        for pair in zip(before, after, strict=True)
        if pair[0]["num_gt"] or protocol not in SKIP_WITHOUT_GROUND_TRUTH
    ]
    if not counted:
        return []
    title, both = TITLES.get(protocol, protocol), list(zip(*counted, strict=True))
    persons = np.array([query["person_id"] for query in both[0]])
    over = f"{len(counted)} queries of {len(np.unique(persons))} persons"
    aps = [np.array([100 * q["ap"] for q in queries]) for queries in both]
    firsts = [np.array([100.0 * (q["first_hit_rank"] == 1) for q in queries]) for queries in both]
    return [
        compare_means(f"search mAP, {title}", over, persons, *aps),
        compare_means(f"search top-1, {title}", over, persons, *firsts),
    ]


def _key(query: Record) -> tuple:
    return query["query_id"], query["image_id"], query["person_id"], query["num_gt"]


def table(rows: Sequence[Comparison]) -> str:
    """In percent, with 95 % intervals."""
    cells = [
        [row.figure, str(row.before), str(row.after), f"{row.difference}", row.over] for row in rows
    ]
    heads = ["", "before", "after", "after - before", "over"]
    return tabulate(cells, heads, disable_numparse=True)


def verdict(rows: Sequence[Comparison]) -> tuple[bool, str]:
    """Whether the network is worse than its start, and what is to be said of it in any case.

    mAP and recall decide: a top-1 is one of their parts, and a figure without an interval can't
    be told from chance.
    """
    decisive = [row for row in rows if "mAP" in row.figure or "recall" in row.figure]
    worse = [row for row in decisive if row.is_worse]
    if worse:
        names = "; ".join(f"{row.figure} {row.difference} points" for row in worse)
        return True, f"THE TRAINED NETWORK IS WORSE THAN THE ONE IT STARTED FROM: {names}"
    parts = []
    better = [row.figure for row in decisive if (row.difference.low or 0) > 0]
    lower = [row.figure for row in decisive if row.difference.value < 0]
    if better:
        parts.append(f"better beyond chance: {', '.join(better)}")
    if lower:
        parts.append(f"LOWER THAN BEFORE, by no more than chance explains: {', '.join(lower)}")
    return False, "; ".join(parts) or (
        "no figure has changed by more than chance explains: the test set is too small to tell, "
        "or the training has brought nothing"
    )
