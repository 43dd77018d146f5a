"""Predictions in one NumPy file, so that they can be scored again, or made by other programs.

``predictions.npz`` (no pickle, readable by ``numpy.load``) holds

=================  =============  ===============================================================
version            int            1
image_ids          (I,) text      the image ids of the dataset, in any order
offsets            (I + 1,) int   rows offsets[i]:offsets[i + 1] are the detections in image i
boxes              (D, 4) float   x0, y0, x1, y1 in pixels of the original image
scores             (D,) float     in [0, 1]
features           (D, F) float   L2-normalised; absent when there is only detection
query_offsets      (I + 1,) int   rows of the queries in image i, likewise
query_boxes        (U, 4) float   the query boxes of the data set, as the data set has them
query_features     (U, F) float   L2-normalised, made from those boxes; absent with features
=================  =============  ===============================================================
"""

import os
import zipfile
from typing import Dict, List, Sequence

import numpy as np

from ..errors import UserError
from .predictions import Predictions, Record, collect_predictions

VERSION = 1
_TABLES = (("offsets", ("boxes", "scores")), ("query_offsets", ("query_boxes",)))
_FEATURES = {"features": "offsets", "query_features": "query_offsets"}


def save_predictions(path: str, predictions: Predictions) -> None:
    """Write the file; folders are made as needed."""
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    detections = predictions.detections
    arrays = {
        "version": np.array(VERSION),
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
    # Written aside first, so that a reader never sees half a file.
    with open(path + ".part", "wb") as f:
        np.savez(f, **arrays)
    os.replace(path + ".part", path)


def load_predictions(path: str, image_ids: Sequence[str], dataset_name: str) -> Predictions:
    """Read the file for a dataset with these images.

    Raises:
        UserError: the file is missing, damaged or not as described above, or does not fit the
            dataset; see :func:`collect_predictions`.
    """
    arrays = _read(path)
    count = len(arrays["image_ids"])
    records: List[Record] = [{"image_id": str(image_id)} for image_id in arrays["image_ids"]]
    rows_of = {name: offsets for offsets, names in _TABLES for name in names}
    rows_of.update({name: offsets for name, offsets in _FEATURES.items() if name in arrays})
    for name, offsets_name in rows_of.items():
        offsets, values = arrays[offsets_name], arrays[name]
        if len(offsets) != count + 1 or (np.diff(offsets) < 0).any() or offsets[-1] != len(values):
            raise UserError(
                f"{path}, array '{offsets_name}': it must rise from 0 to the {len(values)} rows of "
                f"'{name}' in {count + 1} steps, one more than images; write the file again"
            )
        for record, part in zip(records, np.split(values, offsets[1:-1])):
            record[name] = part
    return collect_predictions(records, image_ids, dataset_name)


def _read(path: str) -> Dict[str, np.ndarray]:
    if not os.path.isfile(path):
        raise UserError(f"{path}: no such file; it is written with TEST.SEARCH.SAVE_PREDICTIONS")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path}: not a readable .npz file ({reason}); write it again") from error
    wanted = ["version", "image_ids", *(n for o, names in _TABLES for n in (o, *names))]
    missing = [name for name in wanted if name not in arrays]
    if missing:
        raise UserError(f"{path}: no array '{missing[0]}'; the file must hold {', '.join(wanted)}")
    if arrays["version"] != VERSION:
        raise UserError(
            f"{path}: version {arrays['version']} of the layout is unknown, {VERSION} is read; "
            "write the file with this version of the project"
        )
    return arrays
