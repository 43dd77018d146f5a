"""A MOT-challenge sequence on disk: gt/gt.txt, seqinfo.ini, and its frames or a video."""

import configparser
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np

from ...errors import UserError
from ..checks import check_name

VIDEO_TYPES = (".mp4", ".avi", ".mkv", ".mov", ".webm", ".m4v", ".mpg", ".mpeg")
IMAGE_TYPES = (".jpg", ".jpeg", ".png", ".bmp")
GROUND_TRUTH = ("gt/gt.txt", "gt.txt")
CAMERA_IN_NAME = re.compile(r"(?:^|[^a-z])c(?:am(?:era)?)?[-_ ]?(\d+)", re.IGNORECASE)

# Columns of gt.txt; flag, class and visibility may be missing.
FRAME, ID, X, Y, WIDTH, HEIGHT, FLAG, CLASS, VISIBILITY = range(9)


@dataclass(frozen=True)
class MotSequence:
    """One sequence: a folder whose name is the sequence's.

    Attributes:
        camera: its camera's number.
        ground_truth: gt.txt.
        frames: frame number, from 1 on -> picture; empty for a video.
        video: the video file, None for pictures.
    """

    name: str
    folder: Path
    camera: int
    ground_truth: Path
    frames: Dict[int, Path]
    video: Optional[Path]


def find_sequences(
    folders: Sequence[Path], videos: Sequence[Path] = (), cameras: Sequence[int] = ()
) -> List[MotSequence]:
    """
    Args:
        folders: sequences, or folders of sequences.
        videos: one a sequence, in place of the frames in its folder.
        cameras: one a sequence. Default: the number after "c", "cam" or "camera" in its name if
            all names have one; else 1, 2, ... in the order given.

    Raises:
        UserError: something is missing, or does not fit together.
    """
    found = [sequence for folder in folders for sequence in _expand(folder)]
    names = [folder.name for folder, _ in found]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"two sequences are called '{name}'; rename the folder of one")
    for option, values in (("--video", videos), ("--camera", cameras)):
        if values and len(values) != len(found):
            raise UserError(
                f"{option}: {len(values)} given for {len(found)} sequences ({', '.join(names)}); "
                "give one a sequence, in this order"
            )
    cameras = cameras or _cameras(names)
    sequences = []
    for i, (folder, ground_truth) in enumerate(found):
        video = Path(videos[i]) if videos else None
        if video is not None and not video.is_file():
            raise UserError(f"--video: '{video}' not found; correct the path")
        frames = {} if video else _frames(folder)
        if not frames and video is None:
            video = _video_in(folder)
        sequences.append(MotSequence(folder.name, folder, cameras[i], ground_truth, frames, video))
    return sequences


def _expand(folder: Path) -> List[Tuple[Path, Path]]:
    """The folder with its gt.txt, or the folders in it that have one."""
    folder = Path(os.path.abspath(folder))
    if not folder.is_dir():
        raise UserError(f"sequence '{folder}' not found; give a folder that holds gt/gt.txt")
    candidates = [folder, *sorted(path for path in folder.iterdir() if path.is_dir())]
    found = []
    for candidate in candidates:
        files = [candidate / name for name in GROUND_TRUTH if (candidate / name).is_file()]
        if files:
            found.append((candidate, files[0]))
        if found and candidate == folder:
            break
    if not found:
        raise UserError(
            f"'{folder}' has no gt/gt.txt, nor has a folder in it; give a MOT-challenge sequence"
        )
    return found


def _cameras(names: Sequence[str]) -> List[int]:
    numbers = [CAMERA_IN_NAME.search(name) for name in names]
    if all(numbers):
        return [int(number[1]) for number in numbers]
    return list(range(1, len(names) + 1))


def _frames(folder: Path) -> Dict[int, Path]:
    """The pictures in seqinfo.ini's imDir, else img1, by the number that ends their name."""
    images = folder / _image_folder(folder / "seqinfo.ini")
    frames: Dict[int, Path] = {}
    if not images.is_dir():
        return frames
    for path in sorted(images.iterdir()):
        number = re.search(r"(\d+)$", path.stem)
        if path.suffix.lower() not in IMAGE_TYPES or number is None:
            continue
        if int(number[1]) in frames:
            raise UserError(
                f"'{path}' and '{frames[int(number[1])].name}' are both frame {int(number[1])}; "
                "remove one"
            )
        frames[int(number[1])] = path
    return frames


def _image_folder(seqinfo: Path) -> str:
    parser = configparser.ConfigParser()
    try:
        parser.read(seqinfo, encoding="utf-8")  # one that is not there is passed over
        name = parser.get("Sequence", "imDir", fallback="img1")
    except (configparser.Error, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{seqinfo}: not readable ({reason}); correct or remove it") from error
    return check_name(name.strip(), f"{seqinfo}, imDir")


def _video_in(folder: Path) -> Path:
    videos = [p for p in sorted(folder.iterdir()) if p.suffix.lower() in VIDEO_TYPES]
    if len(videos) != 1:
        there = f"{len(videos)} videos" if videos else "no video"
        raise UserError(
            f"'{folder}' has no pictures in img1, and {there}; add its frames, or name its "
            "video with --video"
        )
    return videos[0]


def read_ground_truth(path: Path) -> np.ndarray:
    """(N, 9) float64: frame, id, x, y, w, h, flag, class, visibility.

    Missing columns are 1: taken into account, a pedestrian, wholly visible. So are class and
    visibility where the class is -1, as in the first MOT challenge, which had none.

    Raises:
        UserError: no file, no rows, or a row that reads otherwise; it names the line.
    """
    rows = []
    with open(path, encoding="utf-8", errors="replace") as f:
        for number, line in enumerate(f, 1):
            if line.strip():
                rows.append(_row(line, f"{path}, line {number}"))
    if not rows:
        raise UserError(f"{path}: no row; give the sequence's ground truth")
    return np.array(rows, dtype=np.float64)


def _row(line: str, where: str) -> List[float]:
    fields = re.split(r"[,;\s]+", line.strip().rstrip(",;"))
    try:
        values = [float(v) for v in fields[: VISIBILITY + 1]]
    except ValueError:
        values = []
    if len(values) <= HEIGHT or not np.isfinite(values).all():
        raise UserError(
            f"{where}: '{line.strip()[:80]}' does not read 'frame, id, x, y, w, h, flag, class, "
            "visibility'; correct it"
        )
    for column, name in ((FRAME, "frame"), (ID, "id")):
        if values[column] != int(values[column]):
            raise UserError(f"{where}: {name} {values[column]:g} is no whole number; correct it")
    values += [1.0] * (VISIBILITY + 1 - len(values))
    if values[CLASS] == -1:
        values[CLASS:] = [1.0, 1.0]
    return values
