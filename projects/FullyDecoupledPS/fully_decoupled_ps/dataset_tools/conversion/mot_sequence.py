"""A MOT sequence on disk: gt/gt.txt, gt/labels.txt, seqinfo.ini, and its pictures or a video."""

import configparser
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ...data.datasets.checks import check_name
from ...data.datasets.duplicates import groups_of_copies
from ...data.images import PICTURE_ENDINGS
from ...data.videos import VIDEO_ENDINGS
from ...errors import UserError
from .mot_table import read_text

GROUND_TRUTH = ("gt/gt.txt", "gt.txt")
CAMERA_IN_NAME = re.compile(r"(?:^|[^a-z])c(?:am(?:era)?)?[-_ ]?(\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class MotSequence:
    """One sequence: a folder whose name is the sequence's.

    Attributes:
        camera: its camera's number.
        ground_truth: gt.txt.
        pictures: of its frames, in the order of their paths; empty for a video.
        video: the video file, None for pictures.
        labels: gt/labels.txt, None without one.
        seqinfo: what seqinfo.ini says, in lower case; None without one.
    """

    name: str
    folder: Path
    camera: int
    ground_truth: Path
    pictures: list[Path]
    video: Path | None
    labels: Path | None = None
    seqinfo: dict[str, str] | None = None

    @property
    def names(self) -> list[str]:
        """The folder's name, and the one in seqinfo.ini."""
        return [self.name, *filter(None, [(self.seqinfo or {}).get("name")])]

    @property
    def length(self) -> int | None:
        """How many frames it has by seqinfo.ini."""
        return self._number("seqlength")

    @property
    def frame_size(self) -> tuple[int, int] | None:
        """Width and height in pixels by seqinfo.ini."""
        width, height = self._number("imwidth"), self._number("imheight")
        return (width, height) if width and height else None

    def _number(self, key: str) -> int | None:
        text = (self.seqinfo or {}).get(key, "")
        return int(text) if text.isdecimal() else None


def find_sequences(
    folders: Sequence[Path], videos: Sequence[Path] = (), cameras: Sequence[int] = ()
) -> list[MotSequence]:
    """
    Args:
        folders: sequences, or folders of sequences.
        videos: one for each sequence, in place of the frames in its folder.
        cameras: one for each sequence; default as for :func:`cameras_of`.

    Raises:
        UserError: something is missing, stands there twice, or does not fit together.
    """
    found = [sequence for folder in folders for sequence in _expand(folder)]
    names = [folder.name for folder, _ in found]
    refuse_the_same_twice([folder for folder, _ in found])
    check_number("--video", videos, names, "sequence")
    cameras = cameras_of(names, cameras, "sequence")
    sequences = [
        _sequence(folder, ground_truth, Path(videos[i]) if videos else None, cameras[i])
        for i, (folder, ground_truth) in enumerate(found)
    ]
    copies = groups_of_copies([str(s.video) for s in sequences if s.video])
    if copies:
        raise UserError(
            f"'{copies[0][0]}' and '{copies[0][1]}' are the same video; a sequence twice splits "
            "its people from themselves, leave one out"
        )
    return sequences


def refuse_the_same_twice(folders: Sequence[Path]) -> None:
    """Raises UserError for a folder named twice, also by a link, and for two of one name."""
    for i, folder in enumerate(folders):
        for other in folders[:i]:
            if folder.resolve() == other.resolve():
                raise UserError(
                    f"'{folder}' and '{other}' are the same sequence; a sequence twice splits its "
                    "people from themselves, name it once"
                )
            if folder.name == other.name:
                raise UserError(
                    f"two sequences are called '{folder.name}'; rename the folder of one"
                )


def check_number(option: str, values: Sequence, names: Sequence[str], what: str) -> None:
    """Raises UserError if an option has values, but not one for each file or sequence."""
    if values and len(values) != len(names):
        raise UserError(
            f"{option}: {len(values)} given for {len(names)} {what}s ({', '.join(names)}); give "
            f"one for each {what}, in this order"
        )


def cameras_of(names: Sequence[str], given: Sequence[int], what: str) -> Sequence[int]:
    """Those given; else the last number after "c", "cam" or "camera" if all names have one; else
    1, 2, ...
    """
    check_number("--camera", given, names, what)
    if given:
        return given
    numbers = [CAMERA_IN_NAME.findall(name)[-1:] for name in names]
    if all(numbers):
        return [int(number) for (number,) in numbers]
    return list(range(1, len(names) + 1))


def _sequence(folder: Path, ground_truth: Path, video: Path | None, camera: int) -> MotSequence:
    if video is not None and not video.is_file():
        raise UserError(f"--video: '{video}' not found; correct the path")
    seqinfo = _seqinfo(folder / "seqinfo.ini")
    pictures = [] if video else _pictures(folder / _image_folder(folder, seqinfo))
    if not pictures and video is None:
        video = _video_in(folder)
    labels = ground_truth.with_name("labels.txt")
    return MotSequence(
        folder.name,
        folder,
        camera,
        ground_truth,
        pictures,
        video,
        labels if labels.is_file() else None,
        seqinfo,
    )


def _expand(folder: Path) -> list[tuple[Path, Path]]:
    """The folder with its gt.txt, or the folders in it that have one."""
    folder = Path(os.path.abspath(folder))
    if not folder.is_dir():
        raise UserError(
            f"sequence '{folder}' not found; give a folder that holds gt/gt.txt (an archive must "
            "be unpacked first)"
        )
    found = in_or_below(folder, _ground_truth)
    if not found:
        raise UserError(
            f"'{folder}' has no gt/gt.txt, nor has a folder in it; give a MOT-challenge sequence"
        )
    return found


def in_or_below(folder: Path, find: Callable[[Path], list]) -> list:
    """What is found in a folder; if nothing is, what is found in each folder in it."""
    below = sorted(path for path in folder.iterdir() if path.is_dir())
    return find(folder) or [found for path in below for found in find(path)]


def _ground_truth(folder: Path) -> list[tuple[Path, Path]]:
    there = [folder / name for name in GROUND_TRUTH if (folder / name).is_file()]
    return [(folder, path) for path in there[:1]]


def _seqinfo(path: Path) -> dict[str, str] | None:
    if not path.is_file():
        return None
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(read_text(path))
    except configparser.Error as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: not readable ({reason}); correct or remove it") from error
    sections = {name.lower(): name for name in parser.sections()}
    if "sequence" not in sections:
        raise UserError(f"{path}: no section [Sequence]; correct or remove it")
    return {key.lower(): value.strip() for key, value in parser.items(sections["sequence"])}


def _image_folder(folder: Path, seqinfo: dict[str, str] | None) -> str:
    """seqinfo.ini's imDir, else img1; its folder must be there if it is named."""
    if not (seqinfo or {}).get("imdir"):
        return "img1"
    name = str(PurePosixPath(seqinfo["imdir"].replace("\\", "/")))  # without a last slash
    where = f"{folder / 'seqinfo.ini'}, imDir"
    check_name(name, where)
    if not (folder / name).is_dir() and (folder / "img1").is_dir():
        raise UserError(f"{where}: no folder '{name}', but there is img1; correct the entry")
    return name


def _pictures(folder: Path) -> list[Path]:
    """All pictures below the folder but hidden ones; CVAT keeps the folders that it was given."""
    found = []
    for root, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith((".", "@"))]
        found += [Path(root, name) for name in files if not name.startswith(".")]
    return sorted(path for path in found if path.suffix.lower() in PICTURE_ENDINGS)


def _video_in(folder: Path) -> Path:
    files = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
    videos = [path for path in files if path.suffix.lower() in VIDEO_ENDINGS]
    if len(videos) != 1:
        there = f"{len(videos)} videos" if videos else "no video"
        raise UserError(
            f"'{folder}' has no pictures in img1, and {there}; add its frames, or name its "
            "video with --video"
        )
    return videos[0]
