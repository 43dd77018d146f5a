"""Reads the JSON file of an own dataset past its faults, which it counts by kind."""

import logging
import os
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from ...errors import UserError
from ...utils.progress import with_progress
from .checks import (
    EntryFault,
    Oddities,
    dataset_dict,
    image_size,
    log_summary,
    person,
    repeated_ids,
)
from .class_names import Kind
from .json_classes import AnnotationClasses
from .json_fields import box, flag, get, is_ignored, person_id, read_json
from .json_identities import Identities
from .protocols import add_query, choose_queries, multi_view

logger = logging.getLogger(__name__)

REPEATED = "frames hold a person id twice (all boxes kept)"
REGIONS = "annotations of crowds or of what is to be ignored count neither for nor against anybody"


class JsonReader:
    """Reads one file past its faults: an entry with one is left out, and the fault kept.

    Attributes:
        dicts: dataset dicts with the ids of the file.
        protocols: of a test set.
        faults: of entries; their messages do not name the file.
        left_out: how many annotations are no persons, by class.
    """

    def __init__(
        self,
        json_file: str,
        image_root: str,
        split: str,
        person_classes: Sequence[str] = (),
        id_attribute: str | None = None,
    ):
        """
        Raises:
            UserError: the file has no lists to read, or its classes need a choice.
        """
        self.json_file, self.image_root = json_file, image_root
        self.content = _parse(json_file)
        classes = person_classes or self._field("person_classes", list, [])
        attribute = id_attribute or self._field("id_attribute", str, None)
        self.classes = AnnotationClasses(self.content, json_file, classes)
        self.identities = Identities(self.content["annotations"], json_file, attribute)
        self.faults: list[EntryFault] = []
        self.oddities = Oddities()
        self.by_id: dict[str, dict[str, Any]] = {}
        self.queries: list[dict[str, Any]] = []
        self.left_out: Counter = Counter()
        self.clip = flag(self.content, "clip_boxes", json_file)
        self._read_list("images", self._load_image)
        self._read_list("annotations", self._load_annotation)
        self.dicts = list(self.by_id.values())
        self._check_repeated_ids()
        self.protocols: dict[str, list[dict]] = {}
        if split == "test":
            self.protocols["full"] = self._queries()
            if all("camera_id" in d for d in self.dicts):
                self.protocols["multi_view"] = multi_view(self.protocols["full"], self.dicts)
        log_summary(json_file, self.dicts, self.oddities)
        self._tell_identities()

    def faults_by_kind(self) -> dict[str, list[EntryFault]]:
        """Without those of annotations and queries of an image that has a fault itself."""
        images = self.content["images"]
        listed = {str(e["id"]) for e in images if isinstance(e, dict) and "id" in e}
        kinds: dict[str, list[EntryFault]] = {}
        for fault in self.faults:
            if fault.image_id not in listed:
                kinds.setdefault(fault.kind, []).append(fault)
        return kinds

    def refuse_faults(self) -> None:
        """Raises UserError for the first fault, with a count of all of them by kind."""
        kinds = self.faults_by_kind().values()
        number = sum(map(len, kinds))
        if not number:
            return
        message = f"{self.json_file}, {next(iter(kinds))[0]}"
        if number > 1:
            shown = "; ".join(f"{len(faults)} {faults[0].heading}" for faults in kinds)
            message += f". In all {number} faults: {shown}; person-search check-dataset shows where"
        raise UserError(message)

    def _read_list(self, name: str, load: Callable[[Any, str], None]) -> None:
        entries = self.content[name]
        for i, entry in enumerate(with_progress(entries, f"{self.json_file}: {name}")):
            try:
                load(entry, f"{name}[{i}]")
            except EntryFault as fault:
                self.faults.append(fault)
            except UserError as fault:
                self.faults.append(_unreadable(str(fault), name))

    def _field(self, field: str, kind: type, default: Any) -> Any:
        """A field that may stand beside the lists."""
        if self.content.get(field) is None:
            return default
        return get(self.content, field, kind, self.json_file)

    def _load_image(self, image: Any, where: str) -> None:
        image_id = str(get(image, "id", (int, str), where))
        if image_id in self.by_id:
            raise UserError(f"{where}, id: {image_id} stands there twice; ids must differ")
        named = f"{where}, file_name"
        path = _image_path(get(image, "file_name", str, where), self.image_root, named)
        if image.get("width") is not None and image.get("height") is not None:
            size = get(image, "width", int, where), get(image, "height", int, where)
            if min(size) <= 0:
                raise UserError(f"{where}: width {size[0]}, height {size[1]}; both must be over 0")
        else:
            size = image_size(path, named)
        loaded = dataset_dict(path, image_id, size)
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

    def _check_repeated_ids(self) -> None:
        allowed = flag(self.content, "allow_repeated_ids", self.json_file)
        for d in self.dicts:
            repeated = repeated_ids(d["annotations"])
            if repeated and allowed:
                self.oddities.add(REPEATED, d["image_id"])
            elif repeated:
                self.faults.append(
                    EntryFault(
                        f"annotations: person_id {repeated[0]} stands twice in image "
                        f"{d['image_id']} ({d['file_name']}); a person is in an image once, "
                        "correct one id",
                        "ids.repeated",
                        "persons that stand twice in a frame (correct them, or set "
                        '"allow_repeated_ids": true beside the lists)',
                    )
                )

    def _queries(self) -> list[dict]:
        if "queries" not in self.content:
            return choose_queries(self.dicts)
        self._read_list("queries", self._load_query)
        return self.queries

    def _load_query(self, entry: Any, where: str) -> None:
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
                    message = f"{where}, gallery: image {image_id} is not in 'images'; add it"
                    raise _unreadable(message, "queries", image_id)
        corners = box(entry, d, where, self.oddities, clip=self.clip)
        self.queries.append(add_query(d, corners, searched, gallery))

    def _image_of(self, entry: Any, where: str, name: str) -> dict[str, Any]:
        image_id = str(get(entry, "image_id", (int, str), where))
        if image_id not in self.by_id:
            message = f"{where}, image_id: {image_id} is not in 'images'; add or correct it"
            raise _unreadable(message, name, image_id)
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


def _unreadable(message: str, name: str, image_id: str | None = None) -> EntryFault:
    """The fault of an entry of list `name`."""
    return EntryFault(message, f"{name}.entry", f"entries of '{name}' that can't be read", image_id)


def _parse(json_file: str) -> dict[str, Any]:
    content = read_json(json_file)
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
