"""
Own data: one JSON file per set, in the manner of COCO. datasets/README.md has the format with a
worked example.
"""

import os
from collections.abc import Callable, Sequence
from typing import Any

from detectron2.data import DatasetCatalog, MetadataCatalog

from ...errors import UserError
from .cache import read_once
from .checks import relabel_person_ids
from .json_reader import JsonReader

__all__ = [
    "load_person_search_json",
    "load_person_search_json_protocols",
    "read_faulty_json",
    "register_person_search_json",
]


def load_person_search_json(
    json_file: str,
    image_root: str,
    split: str = "test",
    *,
    person_classes: Sequence[str] = (),
    id_attribute: str | None = None,
) -> list[dict[str, Any]]:
    """
    Load an own dataset in Detectron2's format, with a `person_id` for each annotation (-1:
    unlabelled). Frames with crowds, or with regions to ignore, have "ignore_regions", boxes as
    [x0, y0, x1, y1].

    Args:
        json_file: "images", "annotations" and perhaps "categories" and "queries"
        image_root: the folder that the images' "file_name" start from, and cannot leave but by a
            symbolic link that lies in it
        split: "train" makes the ids contiguous from 0; "test" keeps them, and gives frames their
            "queries"
        person_classes: names of categories that are persons, beside those named so; see
            :class:`.json_classes.AnnotationClasses`
        id_attribute: the attribute that holds the identity; see
            :class:`.json_identities.Identities`

    Raises:
        UserError: something is missing, unreadable or wrong; one line that names file and field,
            and counts all other faults of the file by kind
    """
    return _read(json_file, image_root, split, person_classes, id_attribute)[0]()


def load_person_search_json_protocols(
    json_file: str,
    image_root: str,
    *,
    person_classes: Sequence[str] = (),
    id_attribute: str | None = None,
) -> dict[str, list[dict[str, Any]]]:
    """
    The file's queries, or those chosen by :func:`.protocols.choose_queries`, under the name
    "full"; and, when every image has a camera_id, "multi_view", without the query's camera.
    See :func:`fully_decoupled_ps.data.get_protocols` for what a query holds.
    """
    return _read(json_file, image_root, "test", person_classes, id_attribute)[1]


def register_person_search_json(
    name: str,
    json_file: str,
    image_root: str,
    split: str = "test",
    *,
    person_classes: Sequence[str] = (),
    id_attribute: str | None = None,
) -> None:
    """Registers an own dataset under `name`. Reads nothing until it is used.

    Arguments are those of :func:`load_person_search_json`.
    """
    options = {"person_classes": tuple(person_classes), "id_attribute": id_attribute}
    DatasetCatalog.register(
        name, lambda: load_person_search_json(json_file, image_root, split, **options)
    )
    metadata = MetadataCatalog.get(name)
    metadata.set(thing_classes=["person"], evaluator_type="person_search", root=image_root)
    metadata.set(split=split, json_file=json_file, json_options=options)
    if split == "test":
        metadata.set(
            protocols_fn=lambda: load_person_search_json_protocols(json_file, image_root, **options)
        )


def _read(
    json_file: str,
    image_root: str,
    split: str,
    person_classes: Sequence[str],
    id_attribute: str | None,
) -> tuple[Callable[[], list[dict]], dict]:
    if split not in ("train", "test"):
        raise UserError(f"{json_file}: split '{split}' is unknown; give 'train' or 'test'")
    json_file, image_root = find_paths(json_file, image_root)

    def load() -> tuple[list[dict], dict]:
        reader = JsonReader(json_file, image_root, split, person_classes, id_attribute)
        reader.refuse_faults()
        if split == "train":
            relabel_person_ids(reader.dicts)
        return reader.dicts, reader.protocols

    key = ("json", json_file, image_root, split, tuple(person_classes), id_attribute)
    return read_once(key, [json_file], load)


def find_paths(json_file: str, image_root: str) -> tuple[str, str]:
    """Absolute paths of a file and of the folder of its pictures.

    Raises:
        UserError: if one of them is not there.
    """
    json_file, image_root = os.path.abspath(json_file), os.path.abspath(image_root)
    if not os.path.isfile(json_file):
        raise UserError(f"dataset file '{json_file}' not found; correct the path")
    if not os.path.isdir(image_root):
        raise UserError(f"image folder '{image_root}' of {json_file} not found; correct the path")
    return json_file, image_root


def read_faulty_json(
    json_file: str,
    image_root: str | None,
    person_classes: Sequence[str] = (),
    id_attribute: str | None = None,
) -> JsonReader:
    """
    Read a test set past its faults, for a report of them.

    Entries with a fault are left out, but for ids that stand twice in a frame. The image root is
    the file's own folder if it is None.

    Raises:
        UserError: a file or folder is not there, the file has no lists to read, or its classes
            need a choice.
    """
    if image_root is None:
        image_root = os.path.dirname(os.path.abspath(json_file))
    return JsonReader(*find_paths(json_file, image_root), "test", person_classes, id_attribute)
