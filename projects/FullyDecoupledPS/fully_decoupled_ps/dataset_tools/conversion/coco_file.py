"""A COCO file on disk, with its pictures: as CVAT and other tools export it."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...data.datasets.json_fields import read_json
from ...errors import UserError
from .mot_sequence import cameras_of, in_or_below, refuse_the_same_twice


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
    content: dict[str, Any]
    pictures: dict[str, Path]


def find_coco(sources: Sequence[Path], cameras: Sequence[int] = ()) -> list[CocoSequence]:
    """
    Args:
        sources: COCO files, or folders with some (in "annotations" or at the top), or folders of
            such folders. Of several in one folder, as a CVAT project of several subsets has them,
            each is a sequence "folder/subset". Pictures are looked for beside the file, in
            "images" and "data" of the folder, and in "images/default" and the like: each export
            tool has its own place.
        cameras: one for each file; default as for :func:`.mot_sequence.cameras_of`.

    Raises:
        UserError: something is missing, is no COCO file, or stands there twice.
    """
    files = [file for source in sources for file in _expand(Path(os.path.abspath(source)))]
    _refuse_repeated(files)
    names = _names(files)
    cameras = cameras_of(names, cameras, "file")
    sequences = []
    for file, name, camera in zip(files, names, cameras):
        content = _parse(file)
        pictures = _find_pictures(content, file, _folder(file))
        sequences.append(CocoSequence(name, camera, file, content, pictures))
    _refuse_shared_pictures(sequences)
    return sequences


def _expand(source: Path) -> list[Path]:
    """The source, or the files in it, or those of each folder in it."""
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise UserError(f"'{source}' not found; give a COCO file or an unpacked export's folder")
    found = in_or_below(source, lambda path: _json_files(path / "annotations") or _json_files(path))
    if not found:
        raise UserError(
            f"'{source}' has no annotations/*.json, nor has a folder in it; give a COCO export"
        )
    return found


def _folder(file: Path) -> Path:
    """The export's folder, which has its files in "annotations" (CVAT, COCO) or at the top."""
    return file.parent.parent if file.parent.name == "annotations" else file.parent


def _subset(file: Path) -> str:
    """X of annotations/instances_X.json, as CVAT and COCO call it."""
    return file.stem.partition("_")[2]


def _refuse_repeated(files: Sequence[Path]) -> None:
    """Raises UserError for a file named twice, also by a link, and for two folders of one name."""
    refuse_the_same_twice(list(dict.fromkeys(map(_folder, files))))
    for file, times in Counter(files).items():
        if times > 1:
            raise UserError(
                f"'{file}' is named twice; a file twice splits its people from themselves, name "
                "it once"
            )


def _refuse_shared_pictures(sequences: Sequence[CocoSequence]) -> None:
    """Raises UserError for a picture of two files, as instances_X and person_keypoints_X are."""
    owners: dict[Path, Path] = {}
    for sequence in sequences:
        for path in sequence.pictures.values():
            if owners.setdefault(path, sequence.file) != sequence.file:
                raise UserError(
                    f"'{owners[path]}' and '{sequence.file}' both have picture '{path}'; its "
                    "people would be split from themselves, name the file to be read"
                )


def _names(files: Sequence[Path]) -> list[str]:
    """The name of a file's folder if it is alone there, else "folder/subset"."""
    several = Counter(map(_folder, files))
    return [
        _folder(file).name
        + (f"/{_subset(file) or file.stem}" if several[_folder(file)] > 1 else "")
        for file in files
    ]


def _json_files(folder: Path) -> list[Path]:
    """All but hidden ones; macOS adds "._name" to archives."""
    return sorted(path for path in folder.glob("*.json") if not path.name.startswith("."))


def _parse(file: Path) -> dict[str, Any]:
    content = read_json(file)
    for field in ("images", "annotations", "categories"):
        entries = content.get(field) if isinstance(content, dict) else None
        if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
            raise UserError(f"{file}: no list '{field}' of objects; give a COCO file")
    return content


def _find_pictures(content: dict[str, Any], file: Path, folder: Path) -> dict[str, Path]:
    names: dict[str, str] = {}  # as they stand there, by their plain form: "./1.jpg" is "1.jpg"
    ids = set()
    for i, image in enumerate(content["images"]):
        name, number = image.get("file_name"), image.get("id")
        where = f"{file}, images[{i}]"
        # Label Studio on Windows writes "images\\1.jpg"
        plain = os.path.normpath(name.replace("\\", "/")) if isinstance(name, str) else ".."
        if os.path.isabs(plain) or ".." in Path(plain).parts:
            raise UserError(
                f"{where}, file_name: {name!r} is no path inside the folder of the pictures; "
                "correct it"
            )
        if plain in names:
            raise UserError(
                f"{where}, file_name: '{name}' stands there twice; its people would be split from "
                "themselves, make it one image"
            )
        if not isinstance(number, (int, str)) or number in ids:
            raise UserError(
                f"{where}, id: {number!r} is no number, or an earlier image's, whose people would "
                "be drawn in both; give each image an id of its own"
            )
        names[plain] = name
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
    if root.name != _subset(file):
        _refuse_overwritten(list(names), file)
    return {name: root / plain for plain, name in names.items()}


def _refuse_overwritten(names: Sequence[str], file: Path) -> None:
    """Raises UserError if files of other subsets have pictures of these names in the same folder.

    Older releases of CVAT call the frames of each task of a project frame_000000 and so on, and put
    all subsets into one folder, where the last one is left.
    """
    prefix, _, subset = file.stem.partition("_")
    for other in _json_files(file.parent) if subset else ():
        if other != file and other.stem.startswith(f"{prefix}_"):
            others = (image.get("file_name") for image in _parse(other)["images"])
            shared = set(names) & {name for name in others if isinstance(name, str)}
            if shared:
                raise UserError(
                    f"'{file}' and '{other.name}' both have a picture '{min(shared)}', and there "
                    "is one folder for both; if they are different pictures, one was written over "
                    "the other: export each task on its own. Else move one of the two files away"
                )


def _picture_folder(names: Sequence[str], file: Path, folder: Path) -> Path:
    """The only folder that has the pictures; of several the one of the file's subset."""
    images = folder / "images"
    below = sorted(path for path in images.iterdir() if path.is_dir()) if images.is_dir() else []
    others = {_subset(path) for path in _json_files(file.parent) if path != file}
    own = _subset(file)
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
