"""A sheet of sample frames of a dataset, with its boxes and person ids."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..data.images import read_image
from ..errors import UserError
from .frame_boxes import IGNORED, LabelledBox, draw_boxes, person_style, sample_frames, sheet

TILE_WIDTH = 480
COLUMNS = 3


def draw_dataset_sheet(
    dicts: Sequence[dict[str, Any]],
    title: str,
    *,
    frames: int = 12,
    seed: int = 0,
    read: Callable[[str], np.ndarray] = read_image,
) -> np.ndarray:
    """
    Args:
        dicts: dataset dicts.
        frames: how many to draw at random, spread over the cameras; unreadable ones are
            skipped.
        read: returns the RGB picture of a `file_name`.

    Returns:
        (H, W, 3) uint8 RGB. Labelled persons in their own colours, with id; unlabelled ones grey;
        regions to ignore white.

    Raises:
        UserError: no frame can be read.
    """
    tiles = []
    for _, d in sample_frames(dicts, seed):
        try:
            image = read(d["file_name"])
        except UserError:
            continue  # the report of the pictures names it
        tiles.append((draw_boxes(image, person_boxes(d), TILE_WIDTH), _caption(d)))
        if len(tiles) == frames:
            break
    if not tiles:
        raise UserError(
            "no frame can be read, so no sheet can be drawn; check the paths of the pictures"
        )
    return sheet(tiles, title, COLUMNS)


def person_boxes(d: dict[str, Any]) -> list[LabelledBox]:
    """The annotations of a frame, unlabelled ones below, and under them regions to ignore."""
    annotations = sorted(d["annotations"], key=lambda a: a["person_id"] >= 0)
    regions = [LabelledBox(box, IGNORED, "ignored") for box in d.get("ignore_regions", ())]
    return regions + [
        LabelledBox(
            a["bbox"],
            person_style(a["person_id"]),
            str(a["person_id"]) if a["person_id"] >= 0 else "",
        )
        for a in annotations
    ]


def _caption(d: dict[str, Any]) -> str:
    camera = f"camera {d['camera_id']}, " if d.get("camera_id") is not None else ""
    return f"{camera}{d['image_id']}: {len(d['annotations'])} persons"
