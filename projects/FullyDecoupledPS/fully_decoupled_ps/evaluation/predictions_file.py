"""Predictions in one NumPy file, so that they can be scored again, or made by other programs.

``predictions.npz`` (no pickle, readable by ``numpy.load``) holds

=================  =============  ===============================================================
version            int            1
dataset            text           the registered name of the data set; may be absent
image_ids          (I,) text      the image ids of the dataset, in any order
offsets            (I + 1,) int   rows offsets[i]:offsets[i + 1] are the detections in image i
boxes              (D, 4) float   x0, y0, x1, y1 in pixels of the original image
scores             (D,) float     in [0, 1]
features           (D, F) float   L2-normalised; absent when there is only detection
query_offsets      (I + 1,) int   rows of the queries in image i, likewise
query_boxes        (U, 4) float   the query boxes of the data set, as the data set has them
query_features     (U, F) float   L2-normalised, made from those boxes; absent with features
unreadable         (I,) bool      images that could not be read; absent when there is none
=================  =============  ===============================================================
"""

import os
import zipfile
from typing import Dict, List, Optional, Sequence

import numpy as np

from ..errors import UserError
from ..files import atomic_write
from .predictions import Predictions, Record, collect_predictions

VERSION = 1
# Array -> the offsets of its rows.
_ROWS = {"boxes": "offsets", "scores": "offsets", "query_boxes": "query_offsets"}
_FEATURES = {"features": "offsets", "query_features": "query_offsets"}
_OPTIONAL = ("dataset", "unreadable", *_FEATURES)


def save_predictions(path: str, predictions: Predictions, dataset_name: str) -> None:
    """Write the file; folders are made as needed."""
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    detections = predictions.detections
    arrays = {
        "version": np.array(VERSION),
        "dataset": np.array(dataset_name),
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


def dataset_of_predictions(path: str) -> Optional[str]:
    """The name of the data set that the file says it is for; UserError as load_predictions."""
    name = _read(path, ("version", "image_ids", "dataset")).get("dataset")
    return None if name is None else str(name)


def load_predictions(path: str, image_ids: Sequence[str], dataset_name: str) -> Predictions:
    """Read the file for a dataset with these images.

    Raises:
        UserError: the file is missing, damaged or not as described above, or does not fit the
            dataset; see :func:`collect_predictions`.
    """
    names = ("version", "image_ids", "unreadable", *_FEATURES, *_ROWS, *_ROWS.values())
    arrays = _read(path, names)
    count = len(arrays["image_ids"])
    records: List[Record] = [{"image_id": str(image_id)} for image_id in arrays["image_ids"]]
    unreadable = arrays.get("unreadable", np.zeros(count, dtype=bool))
    if unreadable.shape != (count,):
        raise UserError(
            f"{path}, array 'unreadable': it has shape {unreadable.shape} for {count} images; "
            "write the file again"
        )
    for record, is_unreadable in zip(records, unreadable.tolist()):
        record["unreadable"] = is_unreadable
    for name, offsets_name in {**_ROWS, **_FEATURES}.items():
        if name not in arrays:
            continue
        offsets, values = arrays[offsets_name], arrays[name]
        rises = offsets.ndim == 1 and len(offsets) == count + 1 and (np.diff(offsets) >= 0).all()
        if not rises or offsets[0] != 0 or offsets[-1] != len(values):
            raise UserError(
                f"{path}, array '{offsets_name}': it must rise from 0 to the {len(values)} rows of "
                f"'{name}' in {count + 1} values, one more than images; write the file again"
            )
        for record, part in zip(records, np.split(values, offsets[1:-1])):
            record[name] = part
    return collect_predictions(records, image_ids, dataset_name)


def _read(path: str, names: Sequence[str]) -> Dict[str, np.ndarray]:
    """Those of the named arrays that the file holds; it must hold all but the optional ones."""
    if not os.path.isfile(path):
        raise UserError(f"{path}: no such file; TEST.SEARCH.SAVE_PREDICTIONS True writes one")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in names if name in file.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        reason = str(error).splitlines()[0]
        if "pickle" in reason:  # NumPy advises to load it unsafely
            reason = "it holds more than plain arrays"
        raise UserError(f"{path}: not a readable .npz file ({reason}); write it again") from error
    for name in names:
        if name not in arrays and name not in _OPTIONAL:
            raise UserError(
                f"{path}: no array '{name}'; predictions_file.py says what there must be"
            )
    if arrays["version"] != VERSION:
        raise UserError(
            f"{path}: version {arrays['version']} of the layout is unknown, {VERSION} is read; "
            "write the file with this version of the project"
        )
    return arrays
