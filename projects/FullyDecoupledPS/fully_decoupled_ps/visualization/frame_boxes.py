"""Whole frames with labelled boxes, and several of them as one sheet, as of a whole dataset."""

import colorsys
import random
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any, NamedTuple

import cv2
import numpy as np

from ..data.images import read_image
from ..errors import UserError
from .visualizer import Box, BoxStyle, draw_whole

Rectangle = tuple[int, int, int, int]  # left, top, right, bottom in pixels

FONT, FONT_SCALE = cv2.FONT_HERSHEY_SIMPLEX, 0.45
LINE_HEIGHT = 18  # pixels of a line of text
MARGIN = 10
PAPER, INK = (255, 255, 255), (20, 20, 20)
UNLABELLED = BoxStyle((150, 150, 150), dashed=True)
IGNORED = BoxStyle((240, 240, 240), dashed=True)
TILE_WIDTH, COLUMNS = 480, 3  # of the sheet of a dataset


class LabelledBox(NamedTuple):
    """A box, XYXY in pixels of the frame, its look, and what is written at it ("": nothing)."""

    box: Box
    style: BoxStyle
    label: str = ""


def person_style(person_id: int) -> BoxStyle:
    """The same colour for the same id; grey and dashed for -1, unlabelled."""
    if person_id < 0:
        return UNLABELLED
    # steps of the golden ratio around the hues: ids close to each other look different
    hue, band = person_id * 0.618034 % 1.0, person_id // 8 % 2
    color = colorsys.hsv_to_rgb(hue, 0.85, 0.95 - 0.3 * band)
    return BoxStyle(tuple(round(255 * c) for c in color))


def draw_boxes(
    image: np.ndarray,
    boxes: Sequence[LabelledBox],
    width: int,
    thin: Sequence[tuple[Box, tuple[int, int, int]]] = (),
) -> np.ndarray:
    """`image` (RGB), `width` pixels wide, with boxes, then thin lines (box, RGB), then labels."""
    scale = width / image.shape[1]
    view = draw_whole(image, width, [(b.box, b.style) for b in boxes])
    for box, color in thin:
        left, top, right, bottom = (round(v * scale) for v in box)
        cv2.rectangle(view, (left, top), (right, bottom), color, 2, cv2.LINE_AA)
    taken: list[Rectangle] = []
    for b in boxes:
        if b.label:
            corners = tuple(round(v * scale) for v in b.box)
            taken.append(_draw_label(view, b.label, corners, b.style, taken))
    return view


def _draw_label(
    view: np.ndarray, text: str, box: Rectangle, style: BoxStyle, taken: Sequence[Rectangle]
) -> Rectangle:
    """A tag at the box, if possible where it overlaps no other tag; it is never cut off."""
    (width, height), base = cv2.getTextSize(text, FONT, FONT_SCALE, 1)
    width, height = width + 6, height + base + 2
    left = min(max(box[0] - 2, 0), max(view.shape[1] - width, 0))
    # above the box, inside at its top, inside at its foot, below it
    tops = [box[1] - height - 1, box[1] + 3, box[3] - height - 2, box[3] + 3]
    tops = [min(max(top, 0), max(view.shape[0] - height, 0)) for top in tops]
    tags = [(left, top, left + width, top + height) for top in tops]
    tag = next((t for t in tags if not any(_touch(t, other) for other in taken)), tags[0])
    cv2.rectangle(view, tag[:2], tag[2:], style.color, cv2.FILLED)
    bright = np.dot(style.color, (0.299, 0.587, 0.114)) > 140
    place = (left + 3, tag[3] - base)
    cv2.putText(view, text, place, FONT, FONT_SCALE, INK if bright else PAPER, 1, cv2.LINE_AA)
    return tag


def _touch(a: Rectangle, b: Rectangle) -> bool:
    return a[0] <= b[2] and b[0] <= a[2] and a[1] <= b[3] and b[1] <= a[3]


def sheet(tiles: Sequence[tuple[np.ndarray, str]], title: str, columns: int) -> np.ndarray:
    """Pictures of one width in rows, each with its caption below, under a title.

    Raises UserError if there is no picture.
    """
    if not tiles:
        raise UserError(f"{title}: there is no frame to draw")
    width = max(tile.shape[1] for tile, _ in tiles)
    columns = min(columns, len(tiles))
    total = columns * (width + MARGIN) + MARGIN
    parts = [text_line(title, total, 0.6)]
    for start in range(0, len(tiles), columns):
        row = tiles[start : start + columns]
        height = max(tile.shape[0] for tile, _ in row)
        band = np.full((height + LINE_HEIGHT + MARGIN, total, 3), PAPER, np.uint8)
        for i, (tile, caption) in enumerate(row):
            left = MARGIN + i * (width + MARGIN)
            band[: tile.shape[0], left : left + tile.shape[1]] = tile
            line = text_line(caption, width)[:LINE_HEIGHT]
            top = tile.shape[0] + 2
            band[top : top + LINE_HEIGHT, left : left + width] = line
        parts.append(band)
    return np.concatenate(parts)


def text_line(text: str, width: int, scale: float = 0.4) -> np.ndarray:
    """A line of text on paper; what does not fit in is cut in the middle, and "..." says so."""
    while len(text) > 8 and cv2.getTextSize(text, FONT, scale, 1)[0][0] > width - 4:
        middle = len(text) // 2
        text = text[: middle - 3] + "..." + text[middle + 3 :]
    height = LINE_HEIGHT if scale <= 0.5 else 2 * LINE_HEIGHT
    line = np.full((height, width, 3), PAPER, np.uint8)
    base = height - 6 if scale <= 0.5 else height - 12
    cv2.putText(line, text, (MARGIN if scale > 0.5 else 1, base), FONT, scale, INK, 1, cv2.LINE_AA)
    return line


def sample_frames(dicts: Sequence[dict[str, Any]], seed: int) -> list[tuple[int, dict[str, Any]]]:
    """All frames with their places, in random order, but one of each camera in turn."""
    by_camera: dict[Any, list[int]] = {}
    for i in random.Random(seed).sample(range(len(dicts)), len(dicts)):
        by_camera.setdefault(dicts[i].get("camera_id"), []).append(i)
    turns = zip_longest(*(by_camera[camera] for camera in sorted(by_camera, key=str)))
    return [(i, dicts[i]) for turn in turns for i in turn if i is not None]


def draw_dataset_sheet(
    dicts: Sequence[dict[str, Any]], title: str, *, frames: int = 12, seed: int = 0
) -> np.ndarray:
    """(H, W, 3) uint8 RGB: so many `frames` at random, spread over the cameras.

    Labelled persons have their own colours, and their ids; unlabelled ones are grey, regions to
    ignore white. Unreadable frames are skipped; UserError if none can be read.
    """
    tiles = []
    for _, d in sample_frames(dicts, seed):
        try:
            image = read_image(d["file_name"])
        except UserError:
            continue  # the report of the pictures names it
        camera = f"camera {d['camera_id']}, " if d.get("camera_id") is not None else ""
        caption = f"{camera}{d['image_id']}: {len(d['annotations'])} persons"
        tiles.append((draw_boxes(image, _person_boxes(d), TILE_WIDTH), caption))
        if len(tiles) == frames:
            break
    if not tiles:
        raise UserError(
            "no frame can be read, so no sheet can be drawn; check the paths of the pictures"
        )
    return sheet(tiles, title, COLUMNS)


def _person_boxes(d: dict[str, Any]) -> list[LabelledBox]:
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
