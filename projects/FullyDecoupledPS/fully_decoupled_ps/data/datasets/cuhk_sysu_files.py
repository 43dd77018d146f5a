"""CUHK-SYSU's .mat files as plain Python: cells of structs of cells, unpacked and checked."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import UserError
from ...utils.progress import with_progress
from .checks import check_name, read_mat, unreadable_mat, unwrap
from .mat_structs import read_structs

Box = tuple[float, float, float, float]  # x, y, w, h in pixels


@dataclass
class SearchQuery:
    """One query of a TestG file."""

    image: str
    box: Box
    idname: str
    gallery: list[str]
    found: dict[int, Box]  # place in the gallery -> the person's box; others don't hold the person
    where: str  # file and field, for errors

    def first_listings(self) -> dict[str, Box | None]:
        """Every gallery frame with the box of its first listing, None if that has none."""
        listed: dict[str, Box | None] = dict.fromkeys(self.gallery)
        for place, box in self.found.items():
            name = self.gallery[place]
            if self.gallery.index(name) == place:
                listed[name] = box
        return listed


def read_images(root: str) -> dict[str, list[Box]]:
    """Boxes of every image, from annotation/Images.mat."""
    path = os.path.join(root, "annotation", "Images.mat")
    where = f"{path}, field 'Img'"
    images: dict[str, list[Box]] = {}
    for image in _structs(read_mat(path, ["Img"], "CUHK-SYSU"), ("imname", "box"), where):
        name = _name(image["imname"], where)
        if name in images:
            raise UserError(f"{where}: image '{name}' stands there twice; keep one")
        boxes = _structs(image["box"], ("idlocate",), f"{where}, image '{name}'")
        images[name] = [_box(box["idlocate"], f"{where}, image '{name}'") for box in boxes]
    return images


def read_pool(root: str) -> list[str]:
    """Names of the test images, from annotation/pool.mat."""
    path = os.path.join(root, "annotation", "pool.mat")
    where = f"{path}, field 'pool'"
    return [_name(cell, where) for cell in read_mat(path, ["pool"], "CUHK-SYSU").ravel()]


def read_train(root: str) -> Iterator[tuple[int, tuple[str, Box, str]]]:
    """For each labelled training box: its person's place, and image name, box, file and field."""
    path = os.path.join(root, "annotation", "test", "train_test", "Train.mat")
    train = read_mat(path, ["Train"], "CUHK-SYSU")
    for i, entry in enumerate(_structs(train, ("scene",), f"{path}, field 'Train'")):
        where = f"{path}, field 'Train', person {i}, scene"
        for scene in _structs(entry["scene"], ("imname", "idlocate"), where):
            yield i, (_name(scene["imname"], where), _box(scene["idlocate"], where), where)


def read_test(root: str, gallery_size: int) -> list[SearchQuery]:
    """The queries of TestG<gallery_size>.mat with their galleries, in the file's order."""
    field = f"TestG{gallery_size}"
    path = os.path.join(root, "annotation", "test", "train_test", f"{field}.mat")
    queries = []
    try:
        number, entries = read_structs(path, field)
        entries = with_progress(entries, f"CUHK-SYSU {field}: reading galleries", number)
        for i, entry in enumerate(entries):
            queries.append(_read_query(entry, f"{path}, field '{field}', query {i}"))
    except KeyError:
        raise UserError(f"{path}: no field '{field}'; restore the file from the archive") from None
    except UserError:
        raise
    except ValueError as e:
        raise unreadable_mat(path, e) from e
    return queries


def _read_query(entry: dict[str, Any], where: str) -> SearchQuery:
    head = _columns(entry, "Query", ("imname", "idlocate", "idname"), where)
    if len(head["imname"]) != 1:
        raise UserError(f"{where}: {len(head['imname'])} structs in Query; there must be one")
    gallery = _columns(entry, "Gallery", ("imname", "idlocate"), where)
    return SearchQuery(
        image=_name(head["imname"][0], f"{where}, Query"),
        box=_box(head["idlocate"][0], f"{where}, Query"),
        idname=str(head["idname"][0]),
        gallery=[_name(name, f"{where}, Gallery") for name in gallery["imname"]],
        found={i: _box(b, f"{where}, Gallery") for i, b in enumerate(gallery["idlocate"]) if b},
        where=where,
    )


def _columns(entry: dict[str, Any], field: str, names: Sequence[str], where: str) -> dict:
    """The fields of a struct array that lies in a field of `entry`, bare or in a cell."""
    if field not in entry:
        raise UserError(f"{where}: no field '{field}'; restore the file from the archive")
    value = entry[field]
    while isinstance(value, list) and len(value) == 1:
        value = value[0]
    for name in names:
        if not isinstance(value, dict) or name not in value:
            raise UserError(f"{where}, {field}: no field '{name}'; restore the file")
    return value


def _structs(value: Any, fields: Sequence[str], where: str) -> Iterator[Any]:
    """The structs of a struct array, or of those in a cell array, however deeply nested."""
    if not isinstance(value, np.ndarray) or (value.size and value.dtype.kind not in "OV"):
        raise UserError(f"{where}: no struct with {', '.join(fields)}; restore the file")
    if value.dtype.names is None:
        for cell in value.ravel():
            yield from _structs(cell, fields, where)
        return
    for field in fields:
        if field not in value.dtype.names:
            raise UserError(f"{where}: no field '{field}'; restore the file from the archive")
    yield from value.ravel()


def _name(value: Any, where: str) -> str:
    return check_name(str(unwrap(value)), f"{where}, imname")


def _box(value: Any, where: str) -> Box:
    """x, y, w, h in floats: x + w would overflow in the file's uint16."""
    numbers = np.ravel(unwrap(value))
    if numbers.dtype == object or numbers.size != 4:
        raise UserError(f"{where}, idlocate: {numbers.size} values; a box has four, x, y, w, h")
    x, y, w, h = (float(v) for v in numbers)
    return x, y, w, h
