"""The file of per-query results: what was found, at which rank, and what was missed."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..utils.files import atomic_write
from .frame_tables import Detections
from .search_dataset import SearchDataset
from .search_metrics import METRICS, QueryResult, SearchResult

VERSION = 1
NUM_HITS = 10
NOT_DETECTED = "not detected"
# What a reader may rely on.
FRAME_FIELDS = ("image_id", "file_name", "camera_id", "bbox")
FILE_FIELDS = ("dataset", "protocol", "score_thresh", "queries")
QUERY_FIELDS = (
    *("query_id", *FRAME_FIELDS, "person_id", "ap", "first_hit_rank", "num_gt", "num_tp"),
    *("hits", "missed"),
)
HIT_FIELDS = ("rank", *FRAME_FIELDS, "similarity")
MISSED_FIELDS = (*FRAME_FIELDS, "reason")

PathLike = str | Path
Record = dict[str, Any]


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


def _frame_record(dataset: SearchDataset, frame: int) -> Record:
    frame_dict = dataset.dicts[frame]
    return {
        "image_id": frame_dict["image_id"],
        "file_name": frame_dict["file_name"],
        "camera_id": frame_dict.get("camera_id"),
    }


def _hit_records(
    dataset: SearchDataset, detections: Detections, found: QueryResult
) -> list[Record]:
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


def _missed_records(dataset: SearchDataset, found: QueryResult) -> list[Record]:
    gt = dataset.ground_truth
    return [
        {
            **_frame_record(dataset, gt.frame_of[gt_row]),
            "bbox": gt.boxes[gt_row].tolist(),
            "reason": NOT_DETECTED if det < 0 else f"below the first {NUM_HITS}",
        }
        for gt_row, det in zip(found.gt_rows, found.true_positives)
        if det not in found.hits
    ]


def read_json(path: PathLike, what: str) -> Record:
    """The JSON object in a file; else a UserError that names it and ``what`` it should be."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(
            f"{what} {str(path)!r} cannot be read ({error.strerror}): run the evaluation first"
        ) from error
    except ValueError as error:
        raise UserError(
            f"{what} {str(path)!r} is not valid JSON ({error}): evaluate again"
        ) from error
    if not isinstance(content, dict):
        raise UserError(f"{what} {str(path)!r} is not a JSON object: evaluate again")
    return content


def load_queries(path: PathLike) -> Record:
    """What :func:`write_query_results` wrote, its version and fields checked.

    Raises UserError naming the file and the first field that is missing.
    """
    content = read_json(path, "query results")
    if content.get("version") != VERSION:
        raise UserError(
            f"query results {str(path)!r}: version is {content.get('version')!r}, and {VERSION} is "
            "what this code reads: evaluate again with it"
        )
    for where, record, fields in _records(content):
        for field in fields:
            if field not in record:
                raise UserError(
                    f"query results {str(path)!r}: {where} has no field {field!r}: evaluate again"
                )
    return content


def _records(content: Record) -> Iterator[tuple[str, Record, Sequence[str]]]:
    """Every record of the file: what it is, itself, and the fields that it must have."""
    yield "the file", content, FILE_FIELDS
    for i, query in enumerate(content["queries"]):
        yield f"queries[{i}]", query, QUERY_FIELDS
        for kind, fields in (("hits", HIT_FIELDS), ("missed", MISSED_FIELDS)):
            for j, record in enumerate(query[kind]):
                yield f"queries[{i}].{kind}[{j}]", record, fields
