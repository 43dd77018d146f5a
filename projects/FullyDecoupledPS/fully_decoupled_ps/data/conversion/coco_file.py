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
            such folders. Pictures are looked for beside the file, and in "images" of the folder.
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
        files = sorted((folder / "annotations").glob("*.json")) or sorted(folder.glob("*.json"))
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
    names = []
    for i, image in enumerate(content["images"]):
        name = image.get("file_name")
        where = f"{file}, images[{i}], file_name"
        if not isinstance(name, str) or os.path.isabs(name) or ".." in Path(name).parts:
            raise UserError(f"{where}: {name!r} is no path inside the folder of the pictures")
        if name in names[-1:] or name in set(names):
            raise UserError(
                f"{where}: '{name}' stands there twice; its people would be split from "
                "themselves, make it one image"
            )
        names.append(name)
    if not names:
        raise UserError(f"{file}: no image; give a file with images")
    images = folder / "images"
    below = sorted(path for path in images.iterdir() if path.is_dir()) if images.is_dir() else []
    for root in (file.parent, folder, images, *below):
        if (root / names[0]).is_file():
            break
    else:
        raise UserError(
            f"{file}: picture '{names[0]}' is neither beside it nor in '{images}'; export with "
            "pictures, or put them there"
        )
    missing = [name for name in names if not (root / name).is_file()]
    if missing:
        raise UserError(
            f"{file}: {len(missing)} pictures are not in '{root}', the first '{missing[0]}'; add "
            "them, or take their entries out"
        )
    return {name: root / name for name in names}
