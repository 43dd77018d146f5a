"""The file of per-query results: what was found, at which rank, and what was missed."""

import json
from typing import Any

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
    listed = zip(dataset.query_ids[protocol], dataset.protocols[protocol], result.queries)
    content = {
        "version": VERSION,
        "dataset": dataset.name,
        "protocol": protocol,
        "score_thresh": score_thresh,
        "metrics": {**dict.fromkeys(METRICS), **result.metrics()},
        "queries": [
            {
                "query_id": query_id,
                **_frame_record(dataset, *dataset.frame_numbers([query["image_id"]])),
                "bbox": list(query["bbox"]),
                "person_id": query["person_id"],
                "ap": found.ap,
                "first_hit_rank": found.first_hit_rank,
                "num_gt": found.num_gt,
                "num_tp": found.num_tp,
                "hits": _hit_records(dataset, detections, found),
                "missed": _missed_records(dataset, found),
            }
            for query_id, query, found in listed
        ],
    }
    with atomic_write(path) as f:
        json.dump(content, f)


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
    truth = dict(zip(gt.frame_of[found.gt_rows].tolist(), gt.boxes[found.gt_rows].tolist()))
    return [
        {
            "rank": rank,
            **_frame_record(dataset, detections.frame_of[det]),
            "bbox": detections.boxes[det].tolist(),
            "score": float(detections.scores[det]),
            "similarity": float(similarity),
            "correct": det in found.true_positives,
            "gt_bbox": truth.get(detections.frame_of[det]),
        }
        for rank, (det, similarity) in enumerate(zip(found.hits, found.hit_similarities), 1)
    ]


def _missed_records(dataset: SearchDataset, found: QueryResult) -> list[dict[str, Any]]:
    gt = dataset.ground_truth
    return [
        {
            **_frame_record(dataset, gt.frame_of[gt_row]),
            "bbox": gt.boxes[gt_row].tolist(),
            "reason": "not detected" if det < 0 else f"below the first {NUM_HITS}",
        }
        for gt_row, det in zip(found.gt_rows, found.true_positives)
        if det not in found.hits
    ]
