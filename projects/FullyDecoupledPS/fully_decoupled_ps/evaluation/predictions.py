"""What a model predicted for the frames of a dataset, checked, in flat arrays.

A *record* is one frame's share: ``{"image_id": str, "boxes": (N, 4), "scores": (N,)}``, and for
models with re-id features ``"features": (N, F)``, and in frames with queries
``"query_boxes": (K, 4)`` and ``"query_features": (K, F)``. Boxes are (x0, y0, x1, y1) in original
image coordinates, scores lie in [0, 1], features are L2-normalised.
"""

from dataclasses import dataclass
from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple

import numpy as np

from ..errors import UserError
from .frame_tables import Detections, to_offsets

Record = Dict[str, Any]


@dataclass(frozen=True)
class Predictions:
    """Predictions for I frames, in the order of ``image_ids``."""

    image_ids: Sequence[str]
    detections: Detections
    query_boxes: np.ndarray  # (U, 4)
    query_offsets: np.ndarray  # (I + 1,)
    query_features: Optional[np.ndarray] = None  # (U, F) float32

    @property
    def searchable(self) -> bool:
        """Whether there are features; a detector alone has none."""
        return self.query_features is not None and self.detections.features is not None


def collect_predictions(
    records: Iterable[Record], image_ids: Sequence[str], dataset_name: str
) -> Predictions:
    """Check records and lay them out in the order of ``image_ids``.

    A frame that was predicted more than once (samplers pad the last batch) counts once.

    Raises:
        UserError: for a frame that the dataset does not hold, one that was not predicted, and
            values that would make a figure wrong; it names the frame.
    """
    known = set(image_ids)
    by_image: Dict[str, Record] = {}
    for record in records:
        by_image.setdefault(record["image_id"], record)
    _report_images(
        [i for i in by_image if i not in known],
        f"are predicted but not in dataset '{dataset_name}'; evaluate on the dataset that the "
        "predictions were made from",
    )
    _report_images(
        [i for i in image_ids if i not in by_image],
        f"of dataset '{dataset_name}' have no predictions; run inference on all of its images",
    )
    ordered = [by_image[image_id] for image_id in image_ids]
    for record in ordered:
        _check_boxes(record)
    boxes = _stack([r["boxes"] for r in ordered], np.zeros((0, 4), dtype=np.float32))
    scores = _stack([r["scores"] for r in ordered], np.zeros(0, dtype=np.float32))
    query_boxes = [r.get("query_boxes", np.zeros((0, 4), dtype=np.float32)) for r in ordered]
    features, query_features = _collect_features(ordered, query_boxes)
    return Predictions(
        list(image_ids),
        Detections(boxes, scores, to_offsets([len(r["scores"]) for r in ordered]), features),
        _stack(query_boxes, np.zeros((0, 4), dtype=np.float32)),
        to_offsets([len(b) for b in query_boxes]),
        query_features,
    )


def _collect_features(
    records: List[Record], query_boxes: List[np.ndarray]
) -> Tuple[Optional[np.ndarray], Optional[np.ndarray]]:
    """Features of detections and queries; both None when no record has any."""
    if not any(r.get(key) is not None for r in records for key in ("features", "query_features")):
        return None, None
    rows = []
    for record, queries in zip(records, query_boxes):
        for key, count in (("features", len(record["scores"])), ("query_features", len(queries))):
            values = record.get(key)
            if (0 if values is None else len(values)) != count:
                raise UserError(
                    f"image '{record['image_id']}': {0 if values is None else len(values)} rows of "
                    f"'{key}' for {count} boxes; give one feature a box, in all images or in none"
                )
            if count:
                rows.append((record["image_id"], key, values))
    _check_features(rows)
    empty = np.zeros((0, rows[0][2].shape[1] if rows else 1), dtype=np.float32)
    return tuple(
        _stack([v for _, k, v in rows if k == key], empty) for key in ("features", "query_features")
    )


def _check_features(rows: List[Tuple[str, str, np.ndarray]]) -> None:
    for image_id, key, values in rows:
        if values.ndim != 2 or values.shape[1] != rows[0][2].shape[1]:
            raise UserError(
                f"image '{image_id}': '{key}' has shape {values.shape}, while image "
                f"'{rows[0][0]}' has {rows[0][2].shape}; all features must come from one model"
            )
    # A row's dot product with itself is finite only if all of its values are.
    bad = [i for i, _, v in rows if not np.isfinite(np.einsum("nf,nf->", v, v))]
    _report_images(
        bad, "have NaN or infinite features; the weights have diverged, take an earlier checkpoint"
    )


def _check_boxes(record: Record) -> None:
    image_id, boxes, scores = record["image_id"], record["boxes"], record["scores"]
    if boxes.shape != (len(scores), 4) or scores.ndim != 1:
        raise UserError(
            f"image '{image_id}': boxes of shape {boxes.shape} and scores of shape {scores.shape}; "
            "they must be (N, 4) and (N,)"
        )
    if not np.isfinite(boxes).all():
        raise UserError(f"image '{image_id}': a box is not finite; take the detection out")
    if not ((scores >= 0) & (scores <= 1)).all():
        worst = scores[~((scores >= 0) & (scores <= 1))][0]
        raise UserError(
            f"image '{image_id}': score {worst:g} is outside [0, 1]; give probabilities"
        )


def _report_images(image_ids: List[str], fault: str) -> None:
    if image_ids:
        raise UserError(f"{len(image_ids)} image(s), the first '{image_ids[0]}', {fault}")


def _stack(arrays: List[np.ndarray], empty: np.ndarray) -> np.ndarray:
    return np.concatenate([empty, *arrays]).astype(np.float32, copy=False)
