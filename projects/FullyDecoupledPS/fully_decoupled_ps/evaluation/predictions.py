"""What a model predicted for the frames of a dataset, checked, in flat arrays.

A *record* is one frame's share: ``{"image_id": str, "boxes": (N, 4), "scores": (N,)}``, and for
models with re-id features ``"features": (N, F)``, and in frames with queries
``"query_boxes": (K, 4)`` and ``"query_features": (K, F)``. Boxes are (x0, y0, x1, y1) in original
image coordinates, scores lie in [0, 1], features are L2-normalised. A frame whose image could not
be read has ``"unreadable": True`` and no boxes.
"""

import difflib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import UserError
from .frame_tables import Detections, frame_of_rows, to_offsets

FrameRecord = dict[str, Any]

# Key of a record -> the key of the boxes that it has a feature for.
FEATURES = {"features": "boxes", "query_features": "query_boxes"}


@dataclass(frozen=True)
class Predictions:
    """Predictions for I frames, in the order of ``image_ids``."""

    image_ids: Sequence[str]
    detections: Detections
    query_boxes: np.ndarray  # (U, 4)
    query_offsets: np.ndarray  # (I + 1,)
    unreadable: np.ndarray  # (I,) bool, frames that nothing is predicted for
    query_features: np.ndarray | None = None  # (U, F) float32

    @property
    def searchable(self) -> bool:
        """Whether there are features; a detector alone has none."""
        return self.query_features is not None and self.detections.features is not None


def collect_predictions(
    records: Iterable[FrameRecord], image_ids: Sequence[str], dataset_name: str
) -> Predictions:
    """Check records and lay them out in the order of ``image_ids``.

    If a frame was predicted more than once (samplers pad the last batch), the first one counts.

    Raises:
        UserError: for a frame that the dataset does not hold, one that was not predicted, and
            values that would make a figure wrong; it names the frame.
    """
    known = set(image_ids)
    by_image: dict[str, FrameRecord] = {}
    for record in records:
        by_image.setdefault(record["image_id"], record)
    unknown = [i for i in by_image if i not in known]
    near = _similar_ids(unknown[0], image_ids)[:1] if unknown else []
    _report_images(
        unknown,
        f"are predicted but not in dataset '{dataset_name}'"
        + "".join(f", which has '{i}'" for i in near)
        + "; evaluate on the dataset that the predictions were made from, with its image ids",
    )
    _report_images(
        [i for i in image_ids if i not in by_image],
        f"of dataset '{dataset_name}' have no predictions; run inference on all of its images",
    )
    ordered = [by_image[image_id] for image_id in image_ids]
    for r in ordered:
        boxes, scores = r["boxes"].shape, r["scores"].shape
        if len(scores) != 1 or boxes != (*scores, 4):
            raise UserError(
                f"image '{r['image_id']}': boxes of shape {boxes} and scores of shape {scores}; "
                "they must be (N, 4) and (N,)"
            )
    dim = _feature_dim(ordered)

    def stack(key: str, *columns: int) -> np.ndarray:
        arrays = [r[key] for r in ordered if len(r.get(key, ()))]
        empty = np.zeros((0, *columns), dtype=np.float32)
        return np.concatenate(arrays or [empty], dtype=np.float32, casting="same_kind")

    features = {key: None if dim is None else stack(key, dim) for key in FEATURES}
    offsets = [to_offsets([len(r.get(key, ())) for r in ordered]) for key in FEATURES.values()]
    predictions = Predictions(
        list(image_ids),
        Detections(stack("boxes", 4), stack("scores"), offsets[0], features["features"]),
        stack("query_boxes", 4),
        offsets[1],
        np.array([bool(r.get("unreadable")) for r in ordered], dtype=bool),
        features["query_features"],
    )
    _check_values(predictions)
    return predictions


def _similar_ids(unknown: str, image_ids: Sequence[str]) -> list[str]:
    """The same name in another folder or with another ending, or else the most similar one."""
    stem = os.path.splitext(os.path.basename(unknown))[0]
    same = [i for i in image_ids if os.path.splitext(os.path.basename(i))[0] == stem]
    return same or difflib.get_close_matches(unknown, image_ids, 1)


def _feature_dim(records: list[FrameRecord]) -> int | None:
    """How many dimensions all features have; None when no record has features of either kind."""
    if not any(key in r for r in records for key in FEATURES):
        return None
    first = None
    for r in records:
        for key, boxes in FEATURES.items():
            features, count = r.get(key, ()), len(r.get(boxes, ()))
            if len(features) != count:
                raise UserError(
                    f"image '{r['image_id']}': {len(features)} rows of '{key}' for {count} of "
                    f"'{boxes}'; give one feature per box, in all images or in none"
                )
            if count == 0:
                continue
            first = first or (r["image_id"], features.shape)
            if features.ndim != 2 or features.shape[1] != first[1][-1]:
                raise UserError(
                    f"image '{r['image_id']}': '{key}' has shape {features.shape}, while image "
                    f"'{first[0]}' has {first[1]}; all features must come from one model"
                )
    return first[1][-1] if first else 0


def _check_values(predictions: Predictions) -> None:
    """Boxes are valid and not in unreadable images, scores in [0, 1] and all values finite."""
    detections, image_ids = predictions.detections, predictions.image_ids
    counts = np.diff(detections.offsets) + np.diff(predictions.query_offsets)
    _report_images(
        [image_ids[i] for i in np.flatnonzero(predictions.unreadable & (counts > 0))],
        "are marked unreadable but have boxes; mark only images without boxes",
    )
    _check_boxes(detections.boxes, detections.offsets, image_ids, "detection")
    _check_boxes(predictions.query_boxes, predictions.query_offsets, image_ids, "query box")
    in_range = (detections.scores >= 0) & (detections.scores <= 1)
    if not in_range.all():
        worst = int(np.argmin(in_range))
        raise UserError(
            f"{_place(worst, detections.offsets, image_ids, 'detection')}: score "
            f"{detections.scores[worst]:g} is outside [0, 1]; give probabilities"
        )
    if predictions.searchable:
        frames = np.concatenate([detections.frame_of, frame_of_rows(predictions.query_offsets)])
        features = (detections.features, predictions.query_features)
        # A row's product with itself is finite only if all of its values are.
        norms = np.concatenate([np.einsum("nf,nf->n", f, f) for f in features])
        bad = np.unique(frames[~np.isfinite(norms)])
        _report_images(
            [image_ids[i] for i in bad],
            "have NaN or infinite features; the weights have diverged, take an earlier checkpoint",
        )


def _check_boxes(
    boxes: np.ndarray, offsets: np.ndarray, image_ids: Sequence[str], what: str
) -> None:
    finite = np.isfinite(boxes).all(axis=1)
    if not finite.all():
        place = _place(int(np.argmin(finite)), offsets, image_ids, what)
        raise UserError(f"{place}: the box is not finite; take it out")
    in_order = (boxes[:, 2:] >= boxes[:, :2]).all(axis=1)
    if not in_order.all():
        worst = int(np.argmin(in_order))
        raise UserError(
            f"{_place(worst, offsets, image_ids, what)}: the box ({numbers(boxes[worst])}) has "
            f"x1 < x0 or y1 < y0, like {(~in_order).sum()} of {len(boxes)}; boxes are corners x0, "
            "y0, x1, y1: make x, y, x + width, y + height of x, y, width, height"
        )


def _place(row: int, offsets: np.ndarray, image_ids: Sequence[str], what: str) -> str:
    """Frame and row of a box, the row counted from 0 in its frame."""
    frame = int(np.searchsorted(offsets, row, side="right")) - 1
    return f"image '{image_ids[frame]}', {what} {row - offsets[frame]}"


def numbers(box: np.ndarray) -> str:
    """A box for a message."""
    return ", ".join(f"{v:g}" for v in box)


def _report_images(image_ids: list[str], fault: str) -> None:
    if image_ids:
        raise UserError(f"{len(image_ids)} image(s), the first '{image_ids[0]}', {fault}")
