"""The pictures of an export: frames of videos as JPEG files, picture files as they are."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from fully_decoupled_ps import errors
from fully_decoupled_ps.predictor import read_size, videos
from fully_decoupled_ps.utils.files import atomic_write, remove_partial_files, tell_unwritable
from fully_decoupled_ps.utils.progress import with_progress
from fully_decoupled_ps.visualization.visualizer import encode_image

from ..errors import translated
from ..index import Frame

JPEG_QUALITY = 95
CHANGED = "is not as it was when its persons were detected"
COPIED = "is, byte for byte, the picture of another frame"


def picture_name(frame: Frame, camera_id: int) -> str:
    """Inside the folder of pictures; of each frame of a project another one."""
    ending = ".jpg" if frame.pts is not None else Path(frame.path).suffix.lower()
    return f"c{camera_id}_{frame.frame_id:06d}{ending}"


def frame_of_picture(name: str) -> int | None:
    """The id of the frame that :func:`picture_name` named; None: it named none."""
    match = re.fullmatch(r"c\d+_(\d+)\..+", name)
    return int(match[1]) if match else None


@translated()
def write_pictures(
    names: Mapping[Frame, str], folder: Path, sizes: Mapping[str, int]
) -> tuple[dict[Frame, str], dict[Frame, str]]:
    """Write the pictures of frames; other pictures in the folder are removed.

    A picture that is there already is left: each appears under its name once it is whole.

    Args:
        names: the file's name of each frame.
        folder: made if there is none.
        sizes: bytes that picture files had when their persons were detected, where it is known.

    Returns:
        tuple: of the frames that have no picture, why: since the recording can't be read or has
        changed, and since their picture is that of another.

    Raises:
        UserError: if the folder can't be written.
    """
    with tell_unwritable(folder, "free space, or name another folder with --output"):
        folder.mkdir(parents=True, exist_ok=True)
        remove_partial_files(str(folder), "*")
        for path in folder.iterdir():
            if path.name not in names.values():
                path.unlink()
        missing = {frame: folder / name for frame, name in names.items()}
        missing = {frame: path for frame, path in missing.items() if not path.exists()}
        failed = dict(_write_missing(missing, sizes))
    return failed, _remove_copies({f: folder / n for f, n in names.items() if f not in failed})


def _write_missing(
    missing: Mapping[Frame, Path], sizes: Mapping[str, int]
) -> Iterator[tuple[Frame, str]]:
    by_file: dict[str, dict[Frame, Path]] = defaultdict(dict)
    for frame, path in missing.items():
        by_file[frame.path][frame] = path
    for file, wanted in with_progress(by_file.items(), "writing pictures, recording"):
        if next(iter(wanted)).pts is None:
            yield from _copy(wanted, sizes)
        else:
            yield from _extract(file, wanted)


def _copy(wanted: Mapping[Frame, Path], sizes: Mapping[str, int]) -> Iterator[tuple[Frame, str]]:
    for frame, path in wanted.items():
        try:
            content = Path(frame.path).read_bytes()
            size = read_size(frame.path)
        except (OSError, errors.UserError) as error:
            yield frame, f"{frame.path} can't be read ({error})"
            continue
        is_as_long = len(content) == sizes.get(frame.path, len(content))
        if size != (frame.width, frame.height) or not is_as_long:
            yield frame, f"{frame.path} {CHANGED}"
            continue
        with atomic_write(path, "wb", sync=False) as f:
            f.write(content)


def _extract(file: str, wanted: Mapping[Frame, Path]) -> Iterator[tuple[Frame, str]]:
    """In one pass over a video, up to the last of the frames."""
    left = {frame.pts: frame for frame in wanted}
    reason = f"{file} {CHANGED}"
    try:
        for found in videos.read_frames(file):
            frame = left.get(found.pts)
            if frame is not None and frame.checksum in (None, found.checksum()):
                with atomic_write(wanted[frame], "wb", sync=False) as f:
                    f.write(encode_image(found.image(), ".jpg", JPEG_QUALITY))
                del left[found.pts]
            if not left:
                return
    except errors.UserError as error:
        reason = str(error)
    yield from ((frame, reason) for frame in left.values())


def _remove_copies(pictures: Mapping[Frame, Path]) -> dict[Frame, str]:
    """Frames whose picture is that of an earlier one: somebody would be found in a copy."""
    seen: set[bytes] = set()
    copies = {}
    for frame, path in pictures.items():
        digest = hashlib.blake2b(path.read_bytes()).digest()
        if digest in seen:
            copies[frame] = f"{frame.name} {COPIED}"
            path.unlink()
        seen.add(digest)
    return copies
