"""The file of per-query results: what was found, at which rank, and what was missed."""

import json
from typing import Any

import numpy as np

from ..utils.files import atomic_write
from .frame_tables import Detections
from .search_dataset import SearchDataset
from .search_metrics import METRICS, QueryResult, SearchResult

VERSION = 1
NUM_HITS = 10


def write_query_results(
    path: str,
    dataset: SearchDataset,
    detections: Detections,
    protocol: str,
    result: SearchResult,
    score_thresh: float,
) -> None:
    """Write one protocol's results as JSON.

    Args:
        detections: those that the rows in ``result`` are of.
        result: with NUM_HITS hits per query.
    """
    queries = dataset.protocols[protocol]
    content = {
        "version": VERSION,
        "dataset": dataset.name,
        "protocol": protocol,
        "score_thresh": score_thresh,
        "metrics": {**dict.fromkeys(METRICS), **result.metrics()},
        "queries": [
            {"query_id": i, **_query_record(dataset, detections, query, found)}
            for i, query, found in zip(dataset.query_ids[protocol], queries, result.queries)
        ],
    }
    with atomic_write(path) as f:
        json.dump(content, f)


def _query_record(
    dataset: SearchDataset, detections: Detections, query: dict[str, Any], found: QueryResult
) -> dict[str, Any]:
    (frame,) = dataset.frame_numbers([query["image_id"]])
    return {
        **_frame_record(dataset, frame),
        "bbox": list(query["bbox"]),
        "person_id": query["person_id"],
        "ap": found.ap,
        "first_hit_rank": found.first_hit_rank,
        "num_gt": found.num_gt,
        "num_tp": found.num_tp,
        "hits": _hit_records(dataset, detections, found),
        "missed": _missed_records(dataset, found),
    }


def _frame_record(dataset: SearchDataset, frame: int) -> dict[str, Any]:
    frame_dict = dataset.dicts[frame]
    return {
        "image_id": frame_dict["image_id"],
        "file_name": frame_dict["file_name"],
        "camera_id": frame_dict.get("camera_id"),
    }


def _hit_records(
    dataset: SearchDataset, detections: Detections, found: QueryResult
) -> list[dict[str, Any]]:
    gt = dataset.ground_truth
    gt_of_frame = dict(zip(gt.frame_of[found.gt_rows].tolist(), found.gt_rows))
    records = []
    for rank, (det, similarity) in enumerate(zip(found.hits, found.hit_similarities), 1):
        frame = int(detections.frame_of[det])
        gt_row = gt_of_frame.get(frame)
        records.append(
            {
                "rank": rank,
                **_frame_record(dataset, frame),
                "bbox": detections.boxes[det].tolist(),
                "score": float(detections.scores[det]),
                "similarity": float(similarity),
                "correct": bool(np.isin(det, found.true_positives)),
                "gt_bbox": None if gt_row is None else gt.boxes[gt_row].tolist(),
            }
        )
    return records


def _missed_records(dataset: SearchDataset, found: QueryResult) -> list[dict[str, Any]]:
    gt = dataset.ground_truth
    records = []
    for gt_row, det in zip(found.gt_rows, found.true_positives):
        if det in found.hits:
            continue
        records.append(
            {
                **_frame_record(dataset, int(gt.frame_of[gt_row])),
                "bbox": gt.boxes[gt_row].tolist(),
                "reason": "not detected" if det < 0 else f"below the first {NUM_HITS}",
            }
        )
    return records
