"""
Own data: one JSON file a set, in the manner of COCO. datasets/README.md has the format with a
worked example.
"""

import json
import os
from typing import Any, Callable, Dict, List, NamedTuple, Tuple

from detectron2.data import DatasetCatalog, MetadataCatalog

from ..errors import UserError
from .cache import read_once
from .checks import (
    Faults,
    Oddities,
    clip_box,
    image_size,
    log_summary,
    person,
    relabel_person_ids,
    repeated_ids,
    with_progress,
)
from .protocols import add_query, choose_queries, multi_view

__all__ = [
    "load_person_search_json",
    "load_person_search_json_protocols",
    "read_faulty_json",
    "register_person_search_json",
]

# Drawing tools round; a box that leaves its image by more than this is a mistake.
PIXELS_OVER_THE_BORDER = 1.0
REPEATED = "frames hold a person id twice (all boxes kept)"
CLIPPED = f"boxes at most {PIXELS_OVER_THE_BORDER:g} pixel over the border clipped to their image"


class UnknownImage(UserError):
    """An annotation, query or gallery names an image that is not among the images."""

    def __init__(self, message: str, image_id: str):
        super().__init__(message)
        self.image_id = image_id


def load_person_search_json(
    json_file: str, image_root: str, split: str = "test"
) -> List[Dict[str, Any]]:
    """
    Load an own dataset in Detectron2's format, with a `person_id` an annotation (-1: unlabelled).

    Args:
        json_file: "images", "annotations" and perhaps "queries"
        image_root: the folder that the images' "file_name" start from, and cannot leave but by a
            symbolic link that lies in it
        split: "train" makes the ids contiguous from 0; "test" keeps them, and gives frames their
            "queries"

    Raises:
        UserError: something is missing, unreadable or wrong; one line that names file and field
    """
    return _read(json_file, image_root, split)[0]()


def load_person_search_json_protocols(
    json_file: str, image_root: str
) -> Dict[str, List[Dict[str, Any]]]:
    """
    The file's queries, or those chosen by :func:`.protocols.choose_queries`, under the name
    "full"; and, when every image has a camera_id, "multi_view", without the query's camera.
    See :func:`fully_decoupled_ps.data.get_protocols` for what a query holds.
    """
    return _read(json_file, image_root, "test")[1]


def register_person_search_json(
    name: str, json_file: str, image_root: str, split: str = "test"
) -> None:
    """Registers an own dataset under `name`. Reads nothing until it is used."""
    DatasetCatalog.register(name, lambda: load_person_search_json(json_file, image_root, split))
    metadata = MetadataCatalog.get(name)
    metadata.set(thing_classes=["person"], evaluator_type="person_search", root=image_root)
    metadata.set(split=split, json_file=json_file)
    if split == "test":
        metadata.set(protocols_fn=lambda: load_person_search_json_protocols(json_file, image_root))


def _read(json_file: str, image_root: str, split: str) -> Tuple[Callable[[], List[Dict]], Dict]:
    if split not in ("train", "test"):
        raise UserError(f"{json_file}: split '{split}' is unknown; give 'train' or 'test'")
    json_file, image_root = _paths(json_file, image_root)
    key = ("json", json_file, image_root, split)
    return read_once(key, [json_file], lambda: _load(json_file, image_root, split))


def _paths(json_file: str, image_root: str) -> Tuple[str, str]:
    json_file, image_root = os.path.abspath(json_file), os.path.abspath(image_root)
    if not os.path.isfile(json_file):
        raise UserError(f"dataset file '{json_file}' not found; correct the path")
    if not os.path.isdir(image_root):
        raise UserError(f"image folder '{image_root}' of {json_file} not found; correct the path")
    return json_file, image_root


class FaultyJson(NamedTuple):
    """What could be read of a file, and the faults of the rest."""

    dicts: List[Dict[str, Any]]
    protocols: Dict[str, List[Dict[str, Any]]]
    has_queries: bool  # or they were chosen
    faults: List[UserError]


def read_faulty_json(json_file: str, image_root: str) -> FaultyJson:
    """
    Read a test set past the faults that a load would raise one at a time, for a report of them.

    Entries with a fault are left out, but for ids that stand twice in a frame.

    Raises:
        UserError: a file or folder is not there, or the file has no lists to read.
    """
    json_file, image_root = _paths(json_file, image_root)
    faults = Faults(keep=True)
    content = _parse(json_file)
    dicts, protocols = _load_content(content, json_file, image_root, "test", faults)
    # that an image has a fault is told once, not with each of its annotations again
    listed = {str(e["id"]) for e in content["images"] if isinstance(e, dict) and "id" in e}
    kept = [f for f in faults.kept if not isinstance(f, UnknownImage) or f.image_id not in listed]
    return FaultyJson(dicts, protocols, "queries" in content, kept)


def _load(json_file: str, image_root: str, split: str) -> Tuple[List[Dict], Dict]:
    content = _parse(json_file)
    dicts, protocols = _load_content(content, json_file, image_root, split, Faults())
    if split == "train":
        relabel_person_ids(dicts)
    return dicts, protocols


def _load_content(
    content: Dict, json_file: str, image_root: str, split: str, faults: Faults
) -> Tuple[List[Dict], Dict]:
    oddities = Oddities()
    by_id = _load_images(content, json_file, image_root, faults)
    _load_annotations(content, json_file, by_id, oddities, faults)
    dicts = list(by_id.values())
    _check_repeated_ids(content, json_file, dicts, oddities, faults)
    protocols: Dict[str, List[Dict]] = {}
    if split == "test":
        queries = (
            _load_queries(content, json_file, by_id, oddities, faults)
            if "queries" in content
            else choose_queries(dicts)
        )
        protocols["full"] = queries
        if all("camera_id" in d for d in dicts):
            protocols["multi_view"] = multi_view(queries, dicts)
    log_summary(json_file, dicts, oddities)
    return dicts, protocols


def _parse(json_file: str) -> Dict[str, Any]:
    try:
        with open(json_file, encoding="utf-8") as f:
            content = json.load(f)
    except (ValueError, OSError) as e:  # broken JSON, not UTF-8, or not to be opened
        raise UserError(f"{json_file}: not readable as JSON ({e}); correct the file") from e
    for field in ("images", "annotations"):
        if not isinstance(content, dict) or not isinstance(content.get(field), list):
            raise UserError(f"{json_file}: no list '{field}'; see datasets/README.md")
    if not isinstance(content.get("queries", []), list):
        raise UserError(f"{json_file}: 'queries' is no list; see datasets/README.md")
    return content


def _load_images(
    content: Dict, json_file: str, image_root: str, faults: Faults
) -> Dict[str, Dict[str, Any]]:
    by_id: Dict[str, Dict[str, Any]] = {}
    for i, image in enumerate(with_progress(content["images"], f"{json_file}: images")):
        with faults:
            _load_image(image, f"{json_file}, images[{i}]", image_root, by_id)
    return by_id


def _load_image(image: Any, where: str, image_root: str, by_id: Dict[str, Dict[str, Any]]) -> None:
    image_id = str(_get(image, "id", (int, str), where))
    if image_id in by_id:
        raise UserError(f"{where}, id: {image_id} stands there twice; ids must differ")
    path = _image_path(_get(image, "file_name", str, where), image_root, f"{where}, file_name")
    if image.get("width") is not None and image.get("height") is not None:
        width, height = (_get(image, side, int, where) for side in ("width", "height"))
        if min(width, height) <= 0:
            raise UserError(f"{where}: width {width}, height {height}; both must be over 0")
    else:
        width, height = image_size(path, f"{where}, file_name")
    loaded = {
        "file_name": path,
        "image_id": image_id,
        "height": height,
        "width": width,
        "annotations": [],
    }
    if image.get("camera_id") is not None:
        loaded["camera_id"] = _get(image, "camera_id", int, where)
    if _flag(image, "query_only", where):
        loaded["query_only"] = True
    by_id[image_id] = loaded


def _image_path(file_name: str, image_root: str, where: str) -> str:
    path = os.path.normpath(os.path.join(image_root, file_name))
    if not path.startswith(os.path.join(image_root, "")):
        raise UserError(
            f"{where}: '{file_name}' leads out of the image folder; give a path inside {image_root}"
        )
    return path


def _load_annotations(
    content: Dict, json_file: str, by_id: Dict, oddities: Oddities, faults: Faults
) -> None:
    for i, annotation in enumerate(content["annotations"]):
        with faults:
            where = f"{json_file}, annotations[{i}]"
            d = _image_of(annotation, by_id, where)
            person_id = -1
            if annotation.get("person_id") is not None:
                person_id = _get(annotation, "person_id", int, where)
            if person_id < -1:
                raise UserError(
                    f"{where}, person_id: {person_id}; give 0 or more, or -1 (unlabelled)"
                )
            d["annotations"].append(person(_box(annotation, d, where, oddities), person_id))


def _check_repeated_ids(
    content: Dict, json_file: str, dicts: List[Dict], oddities: Oddities, faults: Faults
) -> None:
    allowed = _flag(content, "allow_repeated_ids", json_file)
    for d in dicts:
        repeated = repeated_ids(d["annotations"])
        if repeated and allowed:
            oddities.add(REPEATED, d["image_id"])
        elif repeated:
            with faults:
                raise UserError(
                    f"{json_file}, annotations: person_id {repeated[0]} stands twice in image "
                    f"{d['image_id']} ({d['file_name']}); a person is in an image once, correct "
                    "one id"
                )


def _load_queries(
    content: Dict, json_file: str, by_id: Dict, oddities: Oddities, faults: Faults
) -> List[Dict]:
    queries = []
    for i, entry in enumerate(content["queries"]):
        with faults:
            where = f"{json_file}, queries[{i}]"
            d = _image_of(entry, by_id, where)
            person_id = _get(entry, "person_id", int, where)
            if person_id < 0:
                raise UserError(
                    f"{where}, person_id: {person_id}; a query needs an id of 0 or more"
                )
            gallery = None
            if entry.get("gallery") is not None:
                gallery = [str(image_id) for image_id in _get(entry, "gallery", list, where)]
                for image_id in gallery:
                    if image_id not in by_id:
                        raise UnknownImage(
                            f"{where}, gallery: image {image_id} is not in 'images'; add it",
                            image_id,
                        )
            queries.append(add_query(d, _box(entry, d, where, oddities), person_id, gallery))
    return queries


def _image_of(entry: Any, by_id: Dict, where: str) -> Dict[str, Any]:
    image_id = str(_get(entry, "image_id", (int, str), where))
    if image_id not in by_id:
        raise UnknownImage(
            f"{where}, image_id: {image_id} is not in 'images'; add or correct it", image_id
        )
    return by_id[image_id]


def _box(entry: Dict, d: Dict, where: str, oddities: Oddities) -> List[float]:
    """bbox is x, y, w, h as in COCO; returns x0, y0, x1, y1."""
    xywh = _get(entry, "bbox", list, where)
    if len(xywh) != 4 or not all(isinstance(v, (int, float)) for v in xywh):
        raise UserError(f"{where}, bbox: {xywh}; it must be four numbers, x, y, width, height")
    x, y, w, h = (float(v) for v in xywh)
    box = [x, y, x + w, y + h]
    clipped = clip_box(box, d["width"], d["height"], f"{where}, bbox")
    if clipped != box:
        over = max(abs(a - b) for a, b in zip(box, clipped, strict=True))
        if over > PIXELS_OVER_THE_BORDER:
            raise UserError(
                f"{where}, bbox: {xywh} leaves its image of {d['width']} x {d['height']} pixels "
                f"by {over:g}; cut it at the border"
            )
        oddities.add(CLIPPED, where)
    return clipped


def _get(entry: Any, field: str, kind: Any, where: str) -> Any:
    """A field that must be there and of this kind (a type or several; true and false are none)."""
    if not isinstance(entry, dict) or field not in entry:
        raise UserError(f"{where}: no '{field}'; add it (datasets/README.md has the format)")
    value = entry[field]
    if not isinstance(value, kind) or isinstance(value, bool):
        kinds = kind if isinstance(kind, tuple) else (kind,)
        names = " or ".join(k.__name__ for k in kinds)
        raise UserError(f"{where}, {field}: {value!r} is not of type {names}; correct it")
    return value


def _flag(entry: Dict, field: str, where: str) -> bool:
    """A field that may be absent, and is true or false."""
    value = entry.get(field, False)
    if not isinstance(value, bool):
        raise UserError(f"{where}, {field}: {value!r} is neither true nor false; correct it")
    return value
