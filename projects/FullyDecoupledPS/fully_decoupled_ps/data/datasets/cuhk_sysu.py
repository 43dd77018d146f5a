"""
CUHK-SYSU: Xiao et al., "Joint Detection and Identification Feature Learning for Person Search",
CVPR 2017. 18,184 street photos and film frames; no cameras.

train: 11,206 frames, 55,272 boxes, 5,532 ids.
test: 6,978 frames, 40,871 boxes; 2,900 queries, each with its own list of gallery frames, in six
sizes. What the lists hold is kept: a query's own frame, and frames that stand there twice. Where a
list has the query's own frame, what it says of that frame is the ground truth there: the listed
box, even if it is another one than the query's, or nobody.
"""

import os
import re
from collections import defaultdict
from collections.abc import Callable
from typing import Any

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
    relabel_person_ids,
    repeated_ids,
)
from .cuhk_sysu_files import Box, SearchQuery, read_images, read_pool, read_test, read_train
from .protocols import add_query

__all__ = [
    "ALL_SIZES",
    "GALLERY_SIZES",
    "load_cuhk_sysu",
    "load_cuhk_sysu_protocols",
    "register_cuhk_sysu",
]

GALLERY_SIZES = (50, 100, 500, 1000, 2000, 4000)

NO_SIZE = "unlabelled boxes of no size dropped"
EXTRA = "labelled boxes that Images.mat lacks, or has under another id, added"
REPEATED = "frames hold a person id twice (all boxes kept)"
IN_POOL = "labelled training boxes in frames of the test pool left out"
APPENDED = "query or gallery frames that the pool lacks, appended as query-only"
OWN_FRAME = "queries have their own frame in their gallery (kept)"
TWICE = "queries list a gallery frame twice (kept)"
DISPUTED = "gallery frames hold a person whom one list has there and another not (kept as there)"
ABSENT = "queries whose gallery says that the person is not in the query's own frame (kept)"
OTHER_BOX = "queries whose gallery has another box in the query's own frame (that is ground truth)"
SECOND_BOX = "gallery frames listed again with another box or none (the first counts)"


# In the place of a gallery size: every size is a protocol, that of 100 frames the first.
ALL_SIZES = "all"
GallerySize = int | str


def load_cuhk_sysu(root: str, split: str, gallery_size: GallerySize = 100) -> list[dict[str, Any]]:
    """
    Load CUHK-SYSU in Detectron2's format, with a `person_id` for each annotation (-1: unlabelled).

    Boxes are written as x, y, w, h in uint16; they become x0 = x, y0 = y, x1 = x + w, y1 = y + h
    in floats, clipped to the frame.

    Args:
        root: contains "Image" and "annotation"
        split: "train" (all frames that are not in the pool) or "test" (the pool)
        gallery_size: one of :data:`GALLERY_SIZES`, or "all". The ids of "test" come from this
            file: the number in a query's idname, or its place where those numbers are not all
            different. So a person has the same id in all six.

    Raises:
        UserError: something is missing, unreadable or wrong; one line that names file and field
    """
    return _read(root, split, gallery_size)[0]()


def load_cuhk_sysu_protocols(
    root: str, gallery_size: GallerySize = 100
) -> dict[str, list[dict[str, Any]]]:
    """
    The test queries with their lists of gallery frames, under the name "gallery_<size>", or with
    "all" under six such names.
    See :func:`fully_decoupled_ps.data.get_protocols` for what a query holds.
    """
    return _read(root, "test", gallery_size)[1]


def register_cuhk_sysu(name: str, root: str, split: str, gallery_size: GallerySize = 100) -> None:
    """Registers CUHK-SYSU under `name`. Reads nothing until it is used."""
    DatasetCatalog.register(name, lambda: load_cuhk_sysu(root, split, gallery_size))
    metadata = MetadataCatalog.get(name)
    metadata.set(thing_classes=["person"], evaluator_type="person_search", root=root, split=split)
    if split == "test":
        metadata.set(protocols_fn=lambda: load_cuhk_sysu_protocols(root, gallery_size))


def _read(root: str, split: str, size: GallerySize) -> tuple[Callable[[], list[dict]], dict]:
    if split not in ("train", "test"):
        raise UserError(f"CUHK-SYSU: split '{split}' is unknown; give 'train' or 'test'")
    if split == "test" and size not in (*GALLERY_SIZES, ALL_SIZES):
        raise UserError(
            f"CUHK-SYSU: gallery size {size} is unknown; take one of {GALLERY_SIZES} or 'all'"
        )
    # the usual size first: it is the main protocol
    sizes = sorted(GALLERY_SIZES, key=lambda s: (s != 100, s)) if size == ALL_SIZES else [size]
    root = os.path.abspath(root)
    check_folder(root, "CUHK-SYSU")
    split_files = ["Train.mat"] if split == "train" else [f"TestG{size}.mat" for size in sizes]
    files = ["Images.mat", "pool.mat", *(f"test/train_test/{file}" for file in split_files)]
    paths = [os.path.join(root, "annotation", file) for file in files]
    for path in paths:
        check_file(path, "CUHK-SYSU")
    paths.append(os.path.join(root, "Image", "SSM"))
    check_folder(paths[-1], "CUHK-SYSU")
    load = _load_train if split == "train" else lambda root: _load_test(root, sizes)
    return read_once(("cuhk_sysu", root, *split_files), paths, lambda: load(root))


def _load_train(root: str) -> tuple[list[dict], dict]:
    oddities = Oddities()
    frames = _Frames(root, oddities)
    pool = set(read_pool(root))
    names = [name for name in frames.boxes if name not in pool]
    frames.add(names, "CUHK-SYSU train")
    for i, (name, box, where) in read_train(root):
        if name in pool:
            oddities.add(IN_POOL, where)
        else:
            frames.label(name, box, i, where)
    relabel_person_ids(frames.dicts)
    frames.finish(f"CUHK-SYSU train ({root})")
    return frames.dicts, {}


def _load_test(root: str, sizes: list[int]) -> tuple[list[dict], dict]:
    oddities = Oddities()
    frames = _Frames(root, oddities)
    frames.add(read_pool(root), "CUHK-SYSU test")
    queries = {size: _with_person_ids(read_test(root, size)) for size in sizes}
    of_all_sizes = [pair for size in sizes for pair in queries[size]]
    # A label of the query's own box would be a second ground truth where a list has that frame.
    listed = {
        (query.image, person_id)
        for query, person_id in of_all_sizes
        if query.image in query.gallery
    }
    protocols = {
        f"gallery_{size}": [
            frames.add_query(query, person_id, label_own=(query.image, person_id) not in listed)
            for query, person_id in queries[size]
        ]
        for size in sizes
    }
    labelled = _frames_of_persons(frames.dicts)
    for query, person_id in of_all_sizes:
        absent = {name for name, box in query.first_listings().items() if box is None}
        for name in labelled[person_id] & absent:
            oddities.add(DISPUTED, f"{query.where}, '{name}'")
    frames.finish(f"CUHK-SYSU test, gallery {', '.join(map(str, sizes))} ({root})")
    return frames.dicts, protocols


def _frames_of_persons(dicts: list[dict]) -> dict[int, set[str]]:
    frames: dict[int, set[str]] = defaultdict(set)
    for d in dicts:
        for annotation in d["annotations"]:
            frames[annotation["person_id"]].add(d["image_id"])
    return frames


def _with_person_ids(queries: list[SearchQuery]) -> list[tuple[SearchQuery, int]]:
    numbers = [re.search(r"(\d+)\s*$", query.idname) for query in queries]
    ids = [int(number[1]) for number in numbers if number]
    return list(zip(queries, ids if len(set(ids)) == len(queries) else range(len(queries))))


class _Frames:
    """The dataset dicts while they are filled: first frames and boxes, then ids."""

    def __init__(self, root: str, oddities: Oddities) -> None:
        self.root = root
        self.images_file = os.path.join(root, "annotation", "Images.mat")
        self.boxes = read_images(root)  # of all images, of both splits
        self.oddities = oddities
        self.by_name: dict[str, dict[str, Any]] = {}
        self.kept: dict[str, list[Box]] = {}  # x, y, w, h of a frame's annotations

    @property
    def dicts(self) -> list[dict[str, Any]]:
        return list(self.by_name.values())

    def add(self, names: list[str], what: str) -> None:
        where = f"{self.images_file}, field 'Img'"
        for name in with_progress(names, f"{what}: reading image sizes"):
            self._add_frame(name, where)

    def _add_frame(self, name: str, where: str) -> dict[str, Any]:
        if name not in self.boxes:
            raise UserError(
                f"{where}: '{name}' is not in {self.images_file}, field 'Img'; both must come "
                "from the same archive"
            )
        path = os.path.join(self.root, "Image", "SSM", name)
        self.by_name[name] = dataset_dict(path, name, image_size(path, where))
        self.kept[name] = []
        for i, box in enumerate(self.boxes[name]):
            box_name = f"{self.images_file}, image '{name}', box {i}"
            if box[2] == 0 or box[3] == 0:
                self.oddities.add(NO_SIZE, box_name)
            else:
                self._add_person(name, box, -1, box_name)
        return self.by_name[name]

    def _add_person(self, name: str, box: Box, person_id: int, where: str) -> None:
        d = self.by_name[name]
        d["annotations"].append(person(clip_xywh(box, d, where, self.oddities), person_id))
        self.kept[name].append(box)

    def label(self, name: str, box: Box, person_id: int, where: str) -> None:
        """Gives an id to the frame's box; adds the box where the frame has none to give it to."""
        if name not in self.by_name:
            self._add_frame(name, where)["query_only"] = True
            self.oddities.add(APPENDED, where)
        annotations = self.by_name[name]["annotations"]
        same = [a for a, b in zip(annotations, self.kept[name], strict=True) if b == box]
        if any(a["person_id"] == person_id for a in same):
            return  # a gallery that lists the frame twice
        free = [a for a in same if a["person_id"] == -1]
        if free:
            free[0]["person_id"] = person_id
        else:
            self.oddities.add(EXTRA, where)
            self._add_person(name, box, person_id, where)

    def add_query(self, query: SearchQuery, person_id: int, label_own: bool) -> dict[str, Any]:
        """Labels the person in the gallery and, if asked to, in the query's own frame.

        Returns the protocol's entry.
        """
        listed = query.first_listings()
        for name in sorted(listed.keys() - self.by_name.keys()):
            self._add_frame(name, query.where)["query_only"] = True
            self.oddities.add(APPENDED, query.where)
        for name, box in listed.items():
            if box is not None:
                self.label(name, box, person_id, query.where)
        if label_own:
            self.label(query.image, query.box, person_id, query.where)
        self._count_oddities(query, listed)
        gallery = query.gallery
        if len(listed) < len(gallery):  # a second mention without a box is no second ground truth
            places = enumerate(gallery)
            gallery = [name for i, name in places if i in query.found or listed[name] is None]
        d = self.by_name[query.image]
        box = clip_xywh(query.box, d, query.where, self.oddities)
        return add_query(d, box, person_id, gallery)

    def _count_oddities(self, query: SearchQuery, listed: dict[str, Box | None]) -> None:
        if query.image in listed:
            self.oddities.add(OWN_FRAME, query.where)
            if listed[query.image] is None:
                self.oddities.add(ABSENT, query.where)
            elif listed[query.image] != query.box:
                self.oddities.add(OTHER_BOX, query.where)
        if len(listed) < len(query.gallery):
            self.oddities.add(TWICE, query.where)
            for place, name in enumerate(query.gallery):
                if query.found.get(place) != listed[name]:
                    self.oddities.add(SECOND_BOX, f"{query.where}, '{name}'")

    def finish(self, dataset: str) -> None:
        for frame in self.dicts:
            if repeated_ids(frame["annotations"]):
                self.oddities.add(REPEATED, frame["image_id"])
        log_summary(dataset, self.dicts, self.oddities)
