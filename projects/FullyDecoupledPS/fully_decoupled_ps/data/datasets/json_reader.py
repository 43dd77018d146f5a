"""Reads the JSON file of an own dataset past its faults, which it counts by kind."""

import json
import logging
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...errors import UserError
from .checks import (
    EntryFault,
    Faults,
    Oddities,
    image_size,
    log_summary,
    person,
    repeated_ids,
    with_progress,
)
from .class_names import Kind
from .json_classes import AnnotationClasses
from .json_fields import box, flag, get, is_ignored, person_id
from .json_identities import Identities
from .protocols import add_query, choose_queries, multi_view

logger = logging.getLogger(__name__)

REPEATED = "frames hold a person id twice (all boxes kept)"
REGIONS = "annotations of crowds or of what is to be ignored count neither for nor against anybody"


class UnknownImage(EntryFault):
    """An annotation, query or gallery names an image that is not among the images."""

    def __init__(self, message: str, image_id: str, name: str):
        super().__init__(message, f"{name}.entry", f"entries of '{name}' that can't be read")
        self.image_id = image_id


class JsonReader:
    """Reads one file past its faults, which it keeps."""

    def __init__(
        self,
        json_file: str,
        image_root: str,
        person_classes: Sequence[str] = (),
        id_attribute: str | None = None,
    ):
        self.json_file, self.image_root = json_file, image_root
        self.content = _parse(json_file)
        classes = person_classes or self._field("person_classes", list, [])
        attribute = id_attribute or self._field("id_attribute", str, None)
        self.classes = AnnotationClasses(self.content, json_file, classes)
        self.identities = Identities(self.content["annotations"], json_file, attribute)
        self.faults, self.oddities = Faults(), Oddities()
        self.by_id: dict[str, dict[str, Any]] = {}
        self.left_out: Counter = Counter()
        self.clip = self._flag("clip_boxes")

    def read(self, split: str) -> tuple[list[dict], dict[str, list[dict]]]:
        """Dataset dicts with the ids of the file, and protocols if it is a test set."""
        for name, load in (("images", self._load_image), ("annotations", self._load_annotation)):
            entries = self.content[name]
            for i, entry in enumerate(with_progress(entries, f"{self.json_file}: {name}")):
                with self.faults.of(name):
                    load(entry, f"{self.json_file}, {name}[{i}]")
        dicts = list(self.by_id.values())
        self._check_repeated_ids(dicts)
        protocols: dict[str, list[dict]] = {}
        if split == "test":
            protocols["full"] = self._queries(dicts)
            if all("camera_id" in d for d in dicts):
                protocols["multi_view"] = multi_view(protocols["full"], dicts)
        log_summary(self.json_file, dicts, self.oddities)
        self._tell_identities()
        return dicts, protocols

    def faults_told(self) -> list[EntryFault]:
        """That an image has a fault is told once, not with each of its annotations again."""
        images = self.content["images"]
        listed = {str(e["id"]) for e in images if isinstance(e, dict) and "id" in e}
        return [
            f
            for f in self.faults.kept
            if not isinstance(f, UnknownImage) or f.image_id not in listed
        ]

    def refuse_faults(self) -> None:
        """Raises UserError for the first fault, with a count of all of them by kind."""
        faults = self.faults_told()
        if len(faults) == 1:
            raise faults[0]
        if faults:
            kinds = {f.kind: f for f in reversed(faults)}
            counts = Counter(f.kind for f in faults)
            shown = "; ".join(
                f"{n} {kinds[kind].what}" + (f" ({kinds[kind].mend})" if kinds[kind].mend else "")
                for kind, n in counts.items()
            )
            raise UserError(
                f"{faults[0]}. In all {len(faults)} faults: {shown}; person-search check-dataset "
                "shows where"
            )

    def _field(self, field: str, kind: type, default: Any) -> Any:
        """One that may stand beside the lists."""
        if self.content.get(field) is None:
            return default
        return get(self.content, field, kind, self.json_file)

    def _flag(self, field: str) -> bool:
        return flag(self.content, field, self.json_file)

    def _load_image(self, image: Any, where: str) -> None:
        image_id = str(get(image, "id", (int, str), where))
        if image_id in self.by_id:
            raise UserError(f"{where}, id: {image_id} stands there twice; ids must differ")
        named = f"{where}, file_name"
        path = _image_path(get(image, "file_name", str, where), self.image_root, named)
        if image.get("width") is not None and image.get("height") is not None:
            width, height = (get(image, side, int, where) for side in ("width", "height"))
            if min(width, height) <= 0:
                raise UserError(f"{where}: width {width}, height {height}; both must be over 0")
        else:
            width, height = image_size(path, named)
        loaded = {
            "file_name": path,
            "image_id": image_id,
            "height": height,
            "width": width,
            "annotations": [],
        }
        if image.get("camera_id") is not None:
            loaded["camera_id"] = get(image, "camera_id", int, where)
        if flag(image, "query_only", where):
            loaded["query_only"] = True
        self.by_id[image_id] = loaded

    def _load_annotation(self, annotation: Any, where: str) -> None:
        d = self._image_of(annotation, where, "annotations")
        kind = self.classes.kind_of(annotation, where)
        if kind is Kind.OTHER:
            name = self.classes.name_of(annotation)
            self.oddities.add(f"annotations of class {name!r} left out", where)
            self.left_out[name] += 1
            return
        is_region = kind is Kind.IGNORED or is_ignored(annotation, where)
        corners = box(annotation, d, where, self.oddities, clip=self.clip or is_region)
        if is_region:
            d.setdefault("ignore_regions", []).append(corners)
            self.oddities.add(REGIONS, where)
        else:
            labelled = kind is Kind.PERSON
            identity = self.identities.of(annotation, where) if labelled else -1
            d["annotations"].append(person(corners, identity))

    def _check_repeated_ids(self, dicts: list[dict]) -> None:
        allowed = self._flag("allow_repeated_ids")
        for d in dicts:
            repeated = repeated_ids(d["annotations"])
            if repeated and allowed:
                self.oddities.add(REPEATED, d["image_id"])
            elif repeated:
                with self.faults.of("annotations"):
                    raise EntryFault(
                        f"{self.json_file}, annotations: person_id {repeated[0]} stands twice in "
                        f"image {d['image_id']} ({d['file_name']}); a person is in an image once, "
                        "correct one id",
                        "ids.repeated",
                        "persons that stand twice in a frame",
                        'correct them, or set "allow_repeated_ids": true beside the lists',
                    )

    def _queries(self, dicts: list[dict]) -> list[dict]:
        if "queries" not in self.content:
            return choose_queries(dicts)
        queries = []
        for i, entry in enumerate(self.content["queries"]):
            with self.faults.of("queries"):
                queries.append(self._load_query(entry, f"{self.json_file}, queries[{i}]"))
        return queries

    def _load_query(self, entry: Any, where: str) -> dict[str, Any]:
        d = self._image_of(entry, where, "queries")
        searched = get(entry, "person_id", int, where)
        if searched < 0:
            raise UserError(f"{where}, person_id: {searched}; a query needs an id of 0 or more")
        searched = person_id(searched, f"{where}, person_id")
        gallery = None
        if entry.get("gallery") is not None:
            listed = get(entry, "gallery", list, where)
            gallery = [str(get({"image": image}, "image", (int, str), where)) for image in listed]
            for image_id in gallery:
                if image_id not in self.by_id:
                    raise UnknownImage(
                        f"{where}, gallery: image {image_id} is not in 'images'; add it",
                        image_id,
                        "queries",
                    )
        corners = box(entry, d, where, self.oddities, clip=self.clip)
        return add_query(d, corners, searched, gallery)

    def _image_of(self, entry: Any, where: str, name: str) -> dict[str, Any]:
        image_id = str(get(entry, "image_id", (int, str), where))
        if image_id not in self.by_id:
            raise UnknownImage(
                f"{where}, image_id: {image_id} is not in 'images'; add or correct it",
                image_id,
                name,
            )
        return self.by_id[image_id]

    def _tell_identities(self) -> None:
        taken, candidates = self.identities.attribute, ", ".join(self.identities.candidates)
        if taken is not None:
            logger.info("%s: identities are taken from attribute %s", self.json_file, taken)
        elif candidates:
            logger.warning(
                "%s: no annotation has a person_id, so nobody is known; if one of the fields %s is "
                "the identity, name it with id_attribute of register_person_search_json",
                self.json_file, candidates,
            )  # fmt: skip


def _parse(json_file: str) -> dict[str, Any]:
    try:
        content = json.loads(Path(json_file).read_bytes())  # in UTF-8, -16 or -32, by its mark
    except (ValueError, OSError) as e:  # broken JSON, another encoding, or not to be opened
        raise UserError(f"{json_file}: not readable as JSON ({e}); correct the file") from e
    for field in ("images", "annotations"):
        if not isinstance(content, dict) or not isinstance(content.get(field), list):
            raise UserError(f"{json_file}: no list '{field}'; see datasets/README.md")
    if not isinstance(content.get("queries", []), list):
        raise UserError(f"{json_file}: 'queries' is no list; see datasets/README.md")
    return content


def _image_path(file_name: str, image_root: str, where: str) -> str:
    path = os.path.normpath(os.path.join(image_root, file_name))
    if not path.startswith(os.path.join(image_root, "")):
        raise UserError(
            f"{where}: '{file_name}' leads out of the image folder; give a path inside {image_root}"
        )
    return path
