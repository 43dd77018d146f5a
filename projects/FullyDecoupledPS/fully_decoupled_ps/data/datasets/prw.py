"""
PRW: Zheng et al., "Person Re-identification in the Wild", CVPR 2017. 11,816 frames of six cameras.

train: 5,704 frames, 18,048 boxes (3,141 unlabelled), 483 ids.
test: 6,112 frames, 25,062 boxes (5,935 unlabelled), 544 ids; 2,057 queries.
"""

import os
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog

from ...errors import UserError
from ...utils.progress import with_progress
from .cache import read_once
from .checks import (
    Oddities,
    check_file,
    check_folder,
    clip_xywh,
    dataset_dict,
    image_size,
    log_summary,
    person,
    read_mat,
    relabel_person_ids,
    repeated_ids,
    unwrap,
)
from .protocols import add_query, multi_view

__all__ = ["load_prw", "load_prw_protocols", "register_prw"]

# The archive has frames under one of three names, from the newest annotation to the oldest.
BOX_FIELDS = ("box_new", "anno_file", "anno_previous")
UNLABELLED = -2
FRAME_NAME = re.compile(r"c(\d+)s\d+_\d+\.jpg")

REPEATED = "frames hold a person id twice (all boxes kept)"
APPENDED = "query frames that the test list lacks, appended as query-only"


def load_prw(root: str, split: str) -> list[dict[str, Any]]:
    """
    Load PRW in Detectron2's format, with a `person_id` for each annotation (-1: unlabelled).

    PRW writes boxes as x, y, w, h with a corner at (x, y). They become x0 = x, y0 = y, x1 = x + w,
    y1 = y + h, clipped to the frame (some begin left of it or above it). They keep their fractions,
    where SeqNet's code truncates corners to whole pixels and moves a box that begins outside.

    Args:
        root: contains "frames", "annotations", "frame_train.mat", "frame_test.mat" and
            "query_info.txt"
        split: "train" or "test". Ids of "train" are made contiguous from 0; those of "test" are
            PRW's own, and its dicts hold the "queries" of their frames.

    Raises:
        UserError: something is missing, unreadable or wrong; one line that names file and field
    """
    return _read(root, split)[0]()


def load_prw_protocols(root: str) -> dict[str, list[dict[str, Any]]]:
    """
    The test queries under PRW's two protocols: "full" (gallery None: every frame but the query's
    own) and "multi_view" (the frames of all other cameras; one list per camera, shared).
    See :func:`fully_decoupled_ps.data.get_protocols` for what a query holds.
    """
    return _read(root, "test")[1]


def register_prw(name: str, root: str, split: str) -> None:
    """Registers PRW, or anything in its layout, under `name`. Reads nothing until it is used."""
    DatasetCatalog.register(name, lambda: load_prw(root, split))
    metadata = MetadataCatalog.get(name)
    metadata.set(thing_classes=["person"], evaluator_type="person_search", root=root, split=split)
    if split == "test":
        metadata.set(protocols_fn=lambda: load_prw_protocols(root))


def _read(root: str, split: str) -> tuple[Callable[[], list[dict]], dict[str, list[dict]]]:
    if split not in ("train", "test"):
        raise UserError(f"PRW: split '{split}' is unknown; give 'train' or 'test'")
    root = os.path.abspath(root)
    check_folder(root, f"{os.path.basename(root)} (PRW's layout)")
    for folder in ("frames", "annotations"):
        check_folder(os.path.join(root, folder), "PRW")
    names = [f"frame_{split}.mat", "frames", "annotations"]
    names += ["query_info.txt"] if split == "test" else []
    paths = [os.path.join(root, name) for name in names]
    return read_once(("prw", root, split), paths, lambda: _load(root, split))


def _load(root: str, split: str) -> tuple[list[dict], dict[str, list[dict]]]:
    oddities = Oddities()
    index_file = os.path.join(root, f"frame_{split}.mat")
    field = f"img_index_{split}"
    frames = _read_index(index_file, field)
    where = f"{index_file}, field '{field}'"
    dicts = [
        _load_frame(root, frame, where, oddities)
        for frame in with_progress(frames, f"PRW {split}: reading annotations")
    ]
    protocols: dict[str, list[dict]] = {}
    if split == "train":
        relabel_person_ids(dicts)
    else:
        queries = _load_queries(root, dicts, oddities)
        protocols = {"full": queries, "multi_view": multi_view(queries, dicts)}
    log_summary(f"PRW {split} ({root})", dicts, oddities)
    return dicts, protocols


def _read_index(path: str, field: str) -> list[str]:
    """Frame names with ".jpg" from a cell array of names without it."""
    frames = []
    for cell in read_mat(path, [field], "PRW").ravel():
        frames.append(_frame_name(str(unwrap(cell)), f"{path}, field '{field}'"))
    for name, n in Counter(frames).items():
        if n > 1:
            raise UserError(f"{path}, field '{field}': '{name}' is listed {n} times; keep one")
    return frames


def _frame_name(name: str, where: str) -> str:
    frame = name if name.endswith(".jpg") else name + ".jpg"
    if not FRAME_NAME.fullmatch(frame):
        raise UserError(
            f"{where}: '{name}' is no frame name; it must read c<camera>s<sequence>_<frame>"
        )
    return frame


def _load_frame(root: str, frame: str, where: str, oddities: Oddities) -> dict[str, Any]:
    image_file = os.path.join(root, "frames", frame)
    size, camera = image_size(image_file, where), int(FRAME_NAME.fullmatch(frame)[1])
    d = dataset_dict(image_file, frame, size, camera_id=camera)
    anno_file = os.path.join(root, "annotations", frame + ".mat")
    rows = read_mat(anno_file, BOX_FIELDS, "PRW")
    if rows.size % 5 or (rows.size and rows.shape[-1] != 5):
        raise UserError(
            f"{anno_file}, field of boxes: shape {rows.shape}; it needs 5 columns, id, x, y, w, h"
        )
    for i, row in enumerate(rows.reshape(-1, 5).astype(np.float64)):
        row_name = f"{anno_file}, row {i}"
        box = clip_xywh(row[1:], d, row_name, oddities)
        d["annotations"].append(person(box, _person_id(row[0], row_name)))
    if repeated_ids(d["annotations"]):
        oddities.add(REPEATED, anno_file)
    return d


def _person_id(value: float, where: str) -> int:
    if value == UNLABELLED:
        return -1
    if not (value >= 0 and value == int(value)):
        raise UserError(
            f"{where}: id {value:g} is neither a whole number >= 0 nor {UNLABELLED} (unlabelled)"
        )
    return int(value)


def _load_queries(root: str, dicts: list[dict], oddities: Oddities) -> list[dict[str, Any]]:
    """Reads query_info.txt; writes "queries" into the dicts, and appends frames that they lack."""
    path = os.path.join(root, "query_info.txt")
    check_file(path, "PRW")
    by_frame = {d["image_id"]: d for d in dicts}
    queries = []
    with open(path, encoding="utf-8", errors="replace") as f:
        lines = [line.split() for line in f]  # takes CRLF as well
    for number, fields in enumerate(lines, 1):
        if not fields:
            continue
        where = f"{path}, line {number}"
        person_id, xywh, frame = _parse_query(fields, where)
        if frame not in by_frame:
            by_frame[frame] = _load_frame(root, frame, where, oddities)
            by_frame[frame]["query_only"] = True
            dicts.append(by_frame[frame])
            oddities.add(APPENDED, where)
        record = by_frame[frame]
        box = clip_xywh(xywh, record, where, oddities)
        queries.append(add_query(record, box, person_id, None))
    return queries


def _parse_query(fields: list[str], where: str) -> tuple[int, list[float], str]:
    try:
        person_id, *xywh = (float(v) for v in fields[:5])
        (name,) = fields[5:]
    except ValueError:
        raise UserError(
            f"{where}: '{' '.join(fields)}' does not read 'person_id x y w h frame'; correct it"
        ) from None
    person_id = _person_id(person_id, where)
    if person_id < 0:
        raise UserError(f"{where}: a query needs a person id; -2 (unlabelled) cannot be searched")
    return person_id, xywh, _frame_name(name, where)
