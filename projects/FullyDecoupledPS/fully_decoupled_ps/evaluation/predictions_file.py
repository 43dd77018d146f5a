"""Predictions in one NumPy file, so that they can be scored again, or made by other programs.

``predictions.npz`` (no pickle, readable by ``numpy.load``) holds, for I images, D detections, U
query boxes and F dimensions of a feature:

=================  =============  ===============================================================
version            int            1
dataset            text           the registered name of the data set; may be absent
score_thresh       float          least score of the detections that are searched; absent: 0.5
image_ids          (I,) text      the image ids of the data set, each once, in any order
offsets            (I + 1,) int   rows offsets[i]:offsets[i + 1] are the detections in image i
boxes              (D, 4) float   x0, y0, x1, y1 in pixels of the original image
scores             (D,) float     in [0, 1]
features           (D, F) float   L2-normalised; absent when there is only detection
query_offsets      (I + 1,) int   rows of the queries in image i, likewise
query_boxes        (U, 4) float   the query boxes of the data set, as the data set has them
query_features     (U, F) float   L2-normalised, made from those boxes; absent with features
unreadable         (I,) bool      images without boxes, as they could not be read; may be absent
=================  =============  ===============================================================

Image ids are the names of the files for PRW (``c1s1_000151.jpg``) and CUHK-SYSU (``s123.jpg``),
and ``id`` of "images" as text for own JSON. All images of the data set must be there, also those
without a detection, and those that hold queries only. Query boxes are clipped to their image and
must agree with the data set's to 0.01 pixels: take them from it, by ::

    from detectron2.data import DatasetCatalog
    import fully_decoupled_ps  # registers prw_test, cuhk_sysu_test, ...
    for d in DatasetCatalog.get("prw_test"):
        d["image_id"], d["file_name"], d.get("queries", [])  # boxes x0, y0, x1, y1

All number types are taken, and text as str or as bytes of UTF-8; no Python objects. Features are
compared by their cosine, as the published protocols do: where their lengths differ they are
normalised, with a warning. So don't scale them by the score; CWS is computed here.
"""

import logging
import os
import zipfile
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..errors import UserError
from ..utils.files import atomic_write
from .predictions import FrameRecord, Predictions, collect_predictions

logger = logging.getLogger(__name__)

VERSION = 1
# Largest difference of a feature's length from 1, or of all lengths from each other, that is taken
# for rounding: float16 and bfloat16 features are off by up to 0.5 %.
LENGTH_TOLERANCE = 0.01
# Array -> the offsets of its rows.
_ROWS = {"boxes": "offsets", "scores": "offsets", "query_boxes": "query_offsets"}
_FEATURES = {"features": "offsets", "query_features": "query_offsets"}
_OPTIONAL = ("dataset", "score_thresh", "unreadable", *_FEATURES)
SCORE_THRESH = 0.5


def save_predictions(
    path: str, predictions: Predictions, dataset_name: str, score_thresh: float = SCORE_THRESH
) -> None:
    """Write the file; folders are made as needed."""
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    detections = predictions.detections
    arrays = {
        "version": np.array(VERSION),
        "dataset": np.array(dataset_name),
        "score_thresh": np.array(score_thresh),
        "image_ids": np.array(predictions.image_ids, dtype=str),
        "offsets": detections.offsets,
        "boxes": detections.boxes,
        "scores": detections.scores,
        "query_offsets": predictions.query_offsets,
        "query_boxes": predictions.query_boxes,
    }
    if predictions.searchable:
        arrays["features"] = detections.features
        arrays["query_features"] = predictions.query_features
    if predictions.unreadable.any():
        arrays["unreadable"] = predictions.unreadable
    with atomic_write(path, "wb") as f:
        np.savez(f, **arrays)


def dataset_of_predictions(path: str) -> str | None:
    """The name of the data set that the file says it is for; UserError as load_predictions."""
    name = _read(path, ("version", "image_ids", "dataset")).get("dataset")
    return None if name is None else _text(path, "dataset", name.reshape(-1)[:1])[0]


def score_thresh_of_predictions(path: str) -> float:
    """The threshold that the file's search was scored with; UserError as load_predictions."""
    value = _read(path, ("version", "image_ids", "score_thresh")).get("score_thresh")
    if value is None:
        return SCORE_THRESH
    if value.dtype.kind not in "fiu" or value.size != 1:
        raise UserError(
            f"{path}, array 'score_thresh': {value} is not a number; write a number from 0 to 1"
        )
    return float(value.item())


def load_predictions(path: str, image_ids: Sequence[str], dataset_name: str) -> Predictions:
    """Read the file for a dataset with these images.

    Raises:
        UserError: the file is missing, damaged or not as described above, or does not fit the
            dataset; see :func:`collect_predictions`.
    """
    names = ("version", "image_ids", "unreadable", *_FEATURES, *_ROWS, *_ROWS.values())
    arrays = _read(path, names)
    ids = _text(path, "image_ids", arrays["image_ids"])
    repeated = [image_id for image_id, n in Counter(ids).items() if n > 1]
    if repeated:
        raise UserError(
            f"{path}, array 'image_ids': '{repeated[0]}' occurs more than once, as do "
            f"{len(repeated) - 1} others; put all detections of an image into one run of rows"
        )
    unreadable = arrays.get("unreadable", np.zeros(len(ids), dtype=bool))
    # text is not accepted, since bool("False") is true
    is_bool = unreadable.dtype.kind in "biuf" and np.isin(unreadable, (0, 1)).all()
    if unreadable.shape != (len(ids),) or not is_bool:
        raise UserError(
            f"{path}, array 'unreadable': it is {unreadable.dtype} of shape {unreadable.shape}; "
            f"write {len(ids)} bools, one per image, or omit the array"
        )
    records: list[FrameRecord] = [
        {"image_id": i, "unreadable": bool(u)} for i, u in zip(ids, unreadable)
    ]
    for name, offsets_name in {**_ROWS, **_FEATURES}.items():
        if name in arrays:
            rows = _rows(path, name, arrays[name], offsets_name, arrays[offsets_name], len(ids))
            for record, part in zip(records, rows):
                record[name] = part
    return _normalised(path, collect_predictions(records, image_ids, dataset_name))


def _text(path: str, name: str, array: np.ndarray) -> list[str]:
    """Text, UTF-8 bytes or whole numbers in one row -> str."""
    if array.ndim != 1 or array.dtype.kind not in "USiu":
        raise UserError(
            f"{path}, array '{name}': {array.dtype} of shape {array.shape} is not 1-D text; "
            "write numpy.array(values, dtype=str)"
        )
    try:
        return [v.decode() if isinstance(v, bytes) else str(v) for v in array.tolist()]
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path}, array '{name}': {error.object!r} is not UTF-8; write text or UTF-8"
        ) from None


def _rows(
    path: str, name: str, values: np.ndarray, offsets_name: str, offsets: np.ndarray, images: int
) -> list[np.ndarray]:
    """An array cut into the rows of each image."""
    if values.ndim == 0 or values.dtype.kind not in "fiu":
        raise UserError(
            f"{path}, array '{name}': {values.dtype} of shape {values.shape} is not a numeric "
            "array; write all rows as one float array"
        )
    whole = offsets.dtype.kind in "fiu" and (offsets == np.floor(offsets)).all()
    cuts = offsets.astype(np.int64) if whole else np.zeros(0)
    rises = cuts.ndim == 1 and len(cuts) == images + 1 and (np.diff(cuts) >= 0).all()
    if not rises or cuts[0] != 0 or cuts[-1] != len(values):
        raise UserError(
            f"{path}, array '{offsets_name}': it must rise from 0 to the {len(values)} rows of "
            f"'{name}' in {images + 1} whole numbers, one more than images; write the file again"
        )
    return np.split(values, cuts[1:-1])


def _normalised(path: str, predictions: Predictions) -> Predictions:
    """The features with length 1, unless all have one length already (whose value is free)."""
    if not predictions.searchable:
        return predictions
    detections = predictions.detections
    of_gallery, of_queries = detections.features, predictions.query_features
    lengths = [np.linalg.norm(f, axis=1, keepdims=True) for f in (of_gallery, of_queries)]
    both = np.concatenate(lengths)
    if len(both) and both.min() == 0:
        raise UserError(
            f"{path}: {(lengths[0] == 0).sum()} of 'features' and {(lengths[1] == 0).sum()} of "
            "'query_features' are all zeros, which have no cosine similarity; give one nonzero "
            "feature per box"
        )
    if not len(both) or both.max() - both.min() <= LENGTH_TOLERANCE * both.max():
        return predictions
    off = np.abs(lengths[0][:, 0] - detections.scores)
    by_score = len(off) > 0 and off.max() <= LENGTH_TOLERANCE
    logger.warning(
        "%s: features are not normalised (lengths %.3g to %.3g); each is divided by its length, as "
        "the published protocols compare cosines%s",
        path, both.min(), both.max(),
        ". Those of the gallery were multiplied by the scores: search_cws does that"
        if by_score else "",
    )  # fmt: skip
    return replace(
        predictions,
        detections=replace(detections, features=of_gallery / lengths[0]),
        query_features=of_queries / lengths[1],
    )


def _read(path: str, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Those of the named arrays that the file holds; it must hold all but the optional ones."""
    if not os.path.isfile(path):
        raise UserError(f"{path}: no such file; TEST.SEARCH.SAVE_PREDICTIONS True writes one")
    arrays, reading = {}, None
    try:
        with open(path, "rb") as f:
            file = np.load(f, allow_pickle=False)
            if isinstance(file, np.ndarray):
                raise ValueError("it is a single array")
            for reading in (name for name in names if name in file.files):
                arrays[reading] = file[reading]
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        reason = str(error).splitlines()[0]
        if reading and "Object arrays" in reason:
            text = reading in ("image_ids", "dataset")
            rows = "all images' rows as one array of numbers, numpy.concatenate(rows)"
            raise UserError(
                f"{path}, array '{reading}': it holds Python objects, which can't be read safely; "
                f"write {'numpy.array(values, dtype=str)' if text else rows}"
            ) from error
        if "pickle" in reason:  # NumPy advises to load it unsafely
            reason = "it holds more than plain arrays"
        raise UserError(f"{path}: not a readable .npz file ({reason}); write it again") from error
    for name in names:
        if name not in arrays and name not in _OPTIONAL:
            raise UserError(
                f"{path}: no array '{name}'; predictions_file.py says what there must be"
            )
    if arrays["version"].reshape(-1).tolist() != [VERSION]:
        raise UserError(
            f"{path}: version {arrays['version'].tolist()!r} of the layout is unknown; write "
            f"{VERSION}, a number, or the file with this version of the project"
        )
    return arrays
