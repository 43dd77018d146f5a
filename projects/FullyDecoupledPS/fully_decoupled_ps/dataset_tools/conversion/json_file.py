"""Writes the project's JSON from dataset dicts, and pictures beside it where that is asked for."""

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...data.datasets.checks import repeated_ids
from ...errors import UserError
from ...utils.files import atomic_write, replace_file
from ...utils.progress import with_progress


@dataclass
class ConvertedSet:
    """One JSON file to be.

    Attributes:
        name: "train", "test", ...: the file's name without ".json".
        dicts: dataset dicts; "file_name" absolute.
        queries: as in a protocol; None leaves "queries" out.
    """

    name: str
    dicts: list[dict[str, Any]]
    queries: list[dict[str, Any]] | None = None
    info: dict[str, Any] = field(default_factory=dict)


def check_output(folder: Path, names: Sequence[str], force: bool) -> None:
    """Before any work: make the folder, and refuse to overwrite.

    Raises:
        UserError: a file is there already and `force` is not set, or no folder can be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"--output {folder}: no folder can be made there ({error.strerror}); choose another"
        ) from error
    there = [name for name in names if (folder / f"{name}.json").exists()]
    if there and not force:
        raise UserError(
            f"'{folder / there[0]}.json' is there already; choose another --output, or overwrite "
            "it with --force"
        )


def write_sets(
    folder: Path,
    sets: Sequence[ConvertedSet],
    image_root: Path | None,
    copy_images: bool = False,
) -> Path:
    """
    Args:
        folder: where each set becomes `<name>.json`.
        image_root: a folder that holds all pictures, from which their names start. None, with
            `copy_images` only: they are named after their image ids.
        copy_images: copy them to `folder`/images; one that lies there already is left.

    Returns:
        the image root to be used with the files.
    """
    names = {d["file_name"]: _name(d, image_root) for s in sets for d in s.dicts}
    if copy_images:
        image_root = folder / "images"
        for file, name in with_progress(names.items(), "copying pictures"):
            _copy(Path(file), image_root / name)
    for s in sets:
        content = json.dumps(_content(s, names), ensure_ascii=False)
        # a byte of a name that is no UTF-8 becomes an escape, which is JSON's too
        replace_file(folder / f"{s.name}.json", content.encode(errors="backslashreplace"))
    return image_root


def _name(d: dict[str, Any], image_root: Path | None) -> str:
    if image_root is None:
        return d["image_id"] + Path(d["file_name"]).suffix
    return Path(os.path.relpath(d["file_name"], image_root)).as_posix()


def _copy(source: Path, path: Path) -> None:
    if source == path:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(source, "rb") as picture, atomic_write(path, "wb", sync=False) as f:
            shutil.copyfileobj(picture, f)
    except OSError as error:
        raise UserError(
            f"'{source}' can't be copied to '{path}' ({error}); make room, or leave "
            "--copy-images out"
        ) from error


def _content(s: ConvertedSet, names: dict[str, str]) -> dict[str, Any]:
    images, annotations = [], []
    for d in s.dicts:
        image = {
            "id": d["image_id"],
            "file_name": names[d["file_name"]],
            "width": d["width"],
            "height": d["height"],
        }
        images.append(image | {key: d[key] for key in ("camera_id", "query_only") if key in d})
        for a in d["annotations"]:
            entry = {"image_id": d["image_id"], "bbox": to_xywh(a["bbox"])}
            crowd = {"iscrowd": 1} if a.get("iscrowd") else {}
            annotations.append({**entry, "person_id": a["person_id"], **crowd})
    content: dict[str, Any] = {"info": s.info, "images": images, "annotations": annotations}
    if s.queries is not None:
        queries = [{**q, "bbox": to_xywh(q["bbox"])} for q in s.queries]
        content["queries"] = [{k: v for k, v in q.items() if v is not None} for q in queries]
    if any(repeated_ids(d["annotations"]) for d in s.dicts):
        content["allow_repeated_ids"] = True
    return content


def to_xywh(box: Sequence[float]) -> list[float]:
    """x0, y0, x1, y1, none negative -> x, y, width, height; x + width gives x1 again, to the bit.

    >>> to_xywh([10.0, 20.0, 40.0, 80.5])
    [10, 20, 30, 60.5]
    """
    x0, y0, x1, y1 = box
    return [_plain(v) for v in (x0, y0, x1 - x0, y1 - y0)]


def _plain(value: float) -> float:
    return int(value) if float(value).is_integer() else float(value)
