"""Opens the pictures as training will, in several processes, and compares their sizes."""

import multiprocessing
import os
import random
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from ...data.images import ImageError, load_image
from ...errors import UserError
from ...utils.progress import with_progress
from .findings import Findings

# Under so many pictures a process takes longer to start than to open them.
FEW_PICTURES = 500
CHUNK = 32

Picture = tuple[str, int, int]  # file, stated width and height
Fault = tuple[str, str]  # kind, what is wrong; "" and "" for none

MISSING = ("missing", "is not there")


def inspect_pictures(
    dicts: list[dict[str, Any]],
    findings: Findings,
    *,
    sample: int | None = None,
    workers: int = 1,
    seed: int = 0,
) -> dict[str, int]:
    """
    Args:
        sample: open so many, drawn with `seed`; default all.
        workers: processes that open them; few pictures are opened in this one.

    Raises:
        UserError: a process died.
    """
    pictures = list(dict.fromkeys((d["file_name"], d["width"], d["height"]) for d in dicts))
    chosen = pictures
    if sample is not None and sample < len(pictures):
        chosen = sorted(random.Random(seed).sample(pictures, sample))
    places: dict[str, list[str]] = {"missing": [], "unreadable": [], "size": []}
    notes: dict[str, list[str]] = {}
    faults = with_progress(_open_all(chosen, workers), "opening pictures", len(chosen))
    for picture, (kind, fault) in zip(chosen, faults):
        if kind == "noted":
            notes.setdefault(fault, []).append(f"'{picture[0]}'")
        elif kind:
            places[kind].append(f"'{picture[0]}' {fault}")
    for picture in sorted(set(pictures) - set(chosen)):  # nothing is decoded to see these
        if not os.path.exists(picture[0]):
            places["missing"].append(f"'{picture[0]}' {MISSING[1]}")
    findings.error("pictures.missing", "pictures that are not there", places["missing"])
    findings.error("pictures.unreadable", "pictures that can't be read whole", places["unreadable"])
    findings.error("pictures.size", "pictures of another size than stated", places["size"])
    for note, files in notes.items():
        findings.warning("pictures.noted", f"pictures each of which {note}", files)
    return {"pictures": len(pictures), "opened": len(chosen)}


def _open_all(pictures: list[Picture], workers: int) -> Iterable[Fault]:
    if workers <= 1 or len(pictures) < FEW_PICTURES:
        yield from map(open_picture, pictures)
        return
    # Not forked: a fork inherits the locks of the parent's threads and may hang on them.
    context = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(workers, mp_context=context) as pool:
            yield from pool.map(open_picture, pictures, chunksize=CHUNK)
    except BrokenProcessPool:
        raise UserError(
            "a process that opens pictures died, of memory or of a damaged picture; use "
            "--workers 1, which stops at the picture, or fewer workers"
        ) from None


def open_picture(picture: Picture) -> Fault:
    """Read a picture as training will, and compare its size with what is stated."""
    file_name, *stated = picture
    try:
        pixels, note = load_image(file_name)
    except ImageError as e:
        return MISSING if e.is_missing else ("unreadable", f"({e.reason})")
    size = [pixels.shape[1], pixels.shape[0]]
    if size != stated:
        return "size", f"is {size[0]} x {size[1]}, stated are {stated[0]} x {stated[1]}"
    return ("noted", note) if note else ("", "")
