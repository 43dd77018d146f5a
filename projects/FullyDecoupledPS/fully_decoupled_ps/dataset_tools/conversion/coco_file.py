"""A COCO file on disk, with its pictures: as CVAT and other tools export it."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Sequence

from ...errors import UserError
from .mot_sequence import cameras_of, refuse_the_same_twice


@dataclass(frozen=True)
class CocoSequence:
    """One export: the pictures of one camera.

    Attributes:
        file: the JSON file.
        content: of the file; "images", "annotations" and "categories" are lists of objects.
        pictures: path by the "file_name" of an image.
    """

    name: str
    camera: int
    file: Path
    content: Dict[str, Any]
    pictures: Dict[str, Path]


def find_coco(sources: Sequence[Path], cameras: Sequence[int] = ()) -> List[CocoSequence]:
    """
    Args:
        sources: COCO files, or folders with one (in "annotations" or at the top), or folders of
            such folders. Pictures are looked for beside the file, in "images" and "data" of the
            folder, and in "images/default" and the like: each export tool has its own place.
        cameras: one a file. Default as for :func:`.mot_sequence.find_sequences`.

    Raises:
        UserError: something is missing, is no COCO file, or stands there twice.
    """
    found = [pair for source in sources for pair in _expand(Path(os.path.abspath(source)))]
    names = [folder.name for folder, _ in found]
    refuse_the_same_twice([folder for folder, _ in found])
    if cameras and len(cameras) != len(found):
        raise UserError(
            f"--camera: {len(cameras)} given for {len(found)} files ({', '.join(names)}); give one "
            "a file, in this order"
        )
    cameras = cameras or cameras_of(names)
    sequences = []
    for (folder, file), camera in zip(found, cameras):
        content = _parse(file)
        pictures = _find_pictures(content, file, folder)
        sequences.append(CocoSequence(folder.name, camera, file, content, pictures))
    return sequences


def _expand(source: Path) -> List[tuple]:
    """(folder, file) of the source, or of each folder in it that has a file."""
    if source.is_file():
        folder = source.parent
        return [(folder.parent if folder.name == "annotations" else folder, source)]
    if not source.is_dir():
        raise UserError(f"'{source}' not found; give a COCO file or an unpacked export's folder")
    candidates = [source, *sorted(path for path in source.iterdir() if path.is_dir())]
    found = []
    for folder in candidates:
        files = _json_files(folder / "annotations") or _json_files(folder)
        if len(files) > 1:
            raise UserError(
                f"'{folder}' has {len(files)} JSON files ('{files[0].name}', '{files[1].name}' "
                "...); name the one to be read"
            )
        found += [(folder, file) for file in files]
        if files and folder == source:
            break
    if not found:
        raise UserError(
            f"'{source}' has no annotations/*.json, nor has a folder in it; give a COCO export"
        )
    return found


def _json_files(folder: Path) -> List[Path]:
    """Hidden ones aside, as macOS adds "._name" to archives."""
    return sorted(path for path in folder.glob("*.json") if not path.name.startswith("."))


def _parse(file: Path) -> Dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except (ValueError, OSError, RecursionError) as error:
        raise UserError(f"{file}: not readable as JSON ({error}); correct the file") from error
    for field in ("images", "annotations", "categories"):
        entries = content.get(field) if isinstance(content, dict) else None
        if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
            raise UserError(f"{file}: no list '{field}' of objects; give a COCO file")
    return content


def _find_pictures(content: Dict[str, Any], file: Path, folder: Path) -> Dict[str, Path]:
    names: Dict[str, str] = {}  # as they stand there, by their plain form: "./1.jpg" is "1.jpg"
    ids = set()
    for i, image in enumerate(content["images"]):
        name, number = image.get("file_name"), image.get("id")
        where = f"{file}, images[{i}]"
        if not isinstance(name, str) or os.path.isabs(name) or ".." in Path(name).parts:
            raise UserError(
                f"{where}, file_name: {name!r} is no path inside the folder of the pictures"
            )
        if os.path.normpath(name) in names:
            raise UserError(
                f"{where}, file_name: '{name}' stands there twice; its people would be split from "
                "themselves, make it one image"
            )
        if not isinstance(number, (int, str)) or number in ids:
            raise UserError(
                f"{where}, id: {number!r} is no number, or an earlier image's, whose people would "
                "be drawn in both; give each image an id of its own"
            )
        names[os.path.normpath(name)] = name
        ids.add(number)
    if not names:
        raise UserError(f"{file}: no image; give a file with images")
    root = _picture_folder(list(names), file, folder)
    missing = [name for name in names if not (root / name).is_file()]
    if missing:
        raise UserError(
            f"{file}: {len(missing)} pictures are not in '{root}', the first '{missing[0]}'; add "
            "them, or take their entries out"
        )
    return {name: root / plain for plain, name in names.items()}


def _picture_folder(names: Sequence[str], file: Path, folder: Path) -> Path:
    """The only folder that has them; CVAT and COCO write annotations/instances_X.json for X."""
    images = folder / "images"
    below = sorted(path for path in images.iterdir() if path.is_dir()) if images.is_dir() else []
    others = {path.stem.partition("_")[2] for path in _json_files(file.parent) if path != file}
    own = file.stem.partition("_")[2]
    roots = [file.parent, folder, images, folder / "data", *below]
    roots += [folder / own] if own else []
    there = [root for root in dict.fromkeys(roots)
             if (root / names[0]).is_file() and root.name not in others - {own}]  # fmt: skip
    whole = [root for root in there if all((root / name).is_file() for name in names)] or there
    named = [root for root in whole if root.name == own] or whole
    if not named:
        raise UserError(
            f"{file}: picture '{names[0]}' is neither beside it nor in '{images}' nor in "
            f"'{folder / 'data'}'; export with pictures, or put them there"
        )
    if len(named) > 1:
        raise UserError(
            f"{file}: its pictures can be those in '{named[0]}' or in '{named[1]}'; move the "
            "others away"
        )
    return named[0]
