"""Pictures of a search: the query and its gallery hits as crops in which the boxes are drawn.

Pictures are RGB, uint8, (H, W, 3). Boxes are XYXY in pixels of the whole frame. Queries, hits and
missed persons are the dicts of the evaluator's `queries_<protocol>.json`; nothing here needs more
of them than `file_name`, `image_id`, `bbox` and, for hits, `rank`, `similarity` and, where the
truth is known, `correct` and `gt_bbox`. Where there are `camera_id` and `time` (text), a montage
says them; a hit that is `weak` is drawn pale, its box grey.
"""

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from ..data.images import read_image
from .captions import LINE_HEIGHT, draw_caption

Box = Sequence[float]
Size = tuple[int, int]  # width, height in pixels, as OpenCV orders them
Record = dict[str, Any]


@dataclass(frozen=True)
class BoxStyle:
    """How a box looks. `mark` ("tick", "cross") shows right or wrong without the colour."""

    color: tuple[int, int, int]  # RGB
    dashed: bool = False
    mark: str | None = None


QUERY = BoxStyle((38, 110, 230))
RIGHT = BoxStyle((17, 152, 71), mark="tick")
WRONG = BoxStyle((214, 39, 40), mark="cross")
MISSED = BoxStyle((255, 176, 0), dashed=True)
UNJUDGED = BoxStyle((120, 80, 200))  # a hit of a search without ground truth
WEAK = BoxStyle((150, 150, 150))  # one that probably is somebody else

PADDING_COLOR = (222, 222, 222)
CONTEXT = 1.35  # the crop's height over the box's: enough to see where the person stands
CROP_SIZE = (128, 256)
CAPTION_HEIGHT = 4 * LINE_HEIGHT + 6  # what is said, camera, time, frame
PALE = 0.45  # share of white in a weak hit's picture
DASH = 8  # pixels of a dash, and of a gap


def encode_image(image: np.ndarray, extension: str = ".png", quality: int = 80) -> bytes:
    """`image` (RGB) as the bytes of a file of type `extension`; `quality` (0..100) is JPEG's."""
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if extension == ".jpg" else []
    return cv2.imencode(extension, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)[1].tobytes()


def picture(view: np.ndarray, alt: str) -> Record:
    """Attributes of an <img> that holds its JPEG itself."""
    data = base64.b64encode(encode_image(view, ".jpg")).decode()
    height, width = view.shape[:2]
    return {"src": f"data:image/jpeg;base64,{data}", "width": width, "height": height, "alt": alt}


def crop_window(box: Box, image: np.ndarray, size: Size = CROP_SIZE) -> tuple[int, int, int, int]:
    """The part of `image` to show around `box`, XYXY, with the proportions of `size`.

    It is centred on the box, then moved to lie inside the frame. One that is larger than the frame
    is centred on the frame and reaches beyond its border.
    """
    x0, y0, x1, y1 = box
    aspect = size[0] / size[1]
    # the least height makes a box of no size show something too
    height = round(CONTEXT * max(y1 - y0, (x1 - x0) / aspect, 8.0))
    width = max(round(height * aspect), 1)
    left = _place((x0 + x1) / 2, width, image.shape[1])
    top = _place((y0 + y1) / 2, height, image.shape[0])
    return left, top, left + width, top + height


def _place(center: float, length: int, limit: int) -> int:
    if length >= limit:
        return (limit - length) // 2
    return min(max(round(center - length / 2), 0), limit - length)


def draw_view(
    image: np.ndarray,
    window: Box,
    size: Size,
    boxes: Sequence[tuple[Box, BoxStyle]],
    pale: bool = False,
) -> np.ndarray:
    """The `window` (whole pixels) of `image`, scaled to `size`, with `boxes` drawn, last on top.

    What lies beyond the frame is grey. Lines are drawn after scaling, so they are equally wide in
    every picture; a box that reaches out of the window is cut there.
    """
    x0, y0, x1, y1 = window
    height, width = image.shape[:2]
    view = image[max(y0, 0) : min(y1, height), max(x0, 0) : min(x1, width)]
    margins = (max(-y0, 0), max(y1 - height, 0), max(-x0, 0), max(x1 - width, 0))
    view = cv2.copyMakeBorder(view, *margins, cv2.BORDER_CONSTANT, value=PADDING_COLOR)
    shrinks = size[0] < x1 - x0
    view = cv2.resize(view, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    if pale:
        view = (view * (1 - PALE) + 255 * PALE).astype(np.uint8)
    scale = np.array([size[0] / (x1 - x0), size[1] / (y1 - y0)])
    for box, style in boxes:
        corners = (np.reshape(box, (2, 2)) - (x0, y0)) * scale
        _draw_box(view, corners.round().astype(int), style)
    return view


def _draw_box(view: np.ndarray, corners: np.ndarray, style: BoxStyle) -> None:
    (left, top), (right, bottom) = corners.tolist()
    if not style.dashed:
        # a white edge on both sides shows the line on clothes of its own colour
        cv2.rectangle(view, (left, top), (right, bottom), (255, 255, 255), 5)
        cv2.rectangle(view, (left, top), (right, bottom), style.color, 3)
        return
    cv2.rectangle(view, (left, top), (right, bottom), (20, 20, 20), 3)
    for x in (left, right):
        for y in range(top, bottom, 2 * DASH):
            end = min(y + DASH - 1, bottom)
            cv2.rectangle(view, (x - 1, y), (x + 1, end), style.color, cv2.FILLED)
    for y in (top, bottom):
        for x in range(left, right, 2 * DASH):
            end = min(x + DASH - 1, right)
            cv2.rectangle(view, (x, y - 1), (end, y + 1), style.color, cv2.FILLED)


def _draw_mark(view: np.ndarray, style: BoxStyle) -> None:
    """A badge with the style's tick or cross in the top left corner."""
    cv2.rectangle(view, (0, 0), (25, 25), style.color, -1)
    cv2.rectangle(view, (0, 0), (25, 25), (255, 255, 255), 1)
    if style.mark == "tick":
        strokes = [[(6, 13), (11, 18), (20, 7)]]
    else:
        strokes = [[(7, 7), (18, 18)], [(18, 7), (7, 18)]]
    cv2.polylines(view, [np.array(s) for s in strokes], False, (255, 255, 255), 3, cv2.LINE_AA)


def hit_style(hit: Record) -> BoxStyle:
    """Right, wrong, or not judged (no `correct` in the record), and then perhaps weak."""
    if hit.get("correct") is None:
        return WEAK if hit.get("weak") else UNJUDGED
    return RIGHT if hit["correct"] else WRONG


def hit_boxes(hit: Record) -> Sequence[tuple[Box, BoxStyle]]:
    """The boxes to draw for a hit: its own and, if it is wrong, where the person really stands."""
    boxes = [(hit["bbox"], hit_style(hit))]
    if hit_style(hit) is WRONG and hit.get("gt_bbox") is not None:
        boxes.insert(0, (hit["gt_bbox"], MISSED))
    return boxes


def draw_query(image: np.ndarray, query: Record, size: Size = CROP_SIZE) -> np.ndarray:
    """The query person, boxed, in the frame `image`."""
    return draw_view(image, crop_window(query["bbox"], image, size), size, [(query["bbox"], QUERY)])


def draw_hit(image: np.ndarray, hit: Record, size: Size = CROP_SIZE) -> np.ndarray:
    """A gallery hit in its frame `image`: green with a tick if right, red with a cross if wrong.

    Where a wrong hit's crop shows the query person's true box, that is dashed amber. A weak hit is
    pale.
    """
    window, style = crop_window(hit["bbox"], image, size), hit_style(hit)
    view = draw_view(image, window, size, hit_boxes(hit), pale=style is WEAK)
    if style.mark:
        _draw_mark(view, style)
    return view


def draw_missed(image: np.ndarray, missed: Record, size: Size = CROP_SIZE) -> np.ndarray:
    """An appearance of the query person that is not among the hits: a dashed amber box."""
    window = crop_window(missed["bbox"], image, size)
    return draw_view(image, window, size, [(missed["bbox"], MISSED)])


def draw_whole(
    image: np.ndarray, width: int, boxes: Sequence[tuple[Box, BoxStyle]] = ()
) -> np.ndarray:
    """The whole `image`, `width` pixels wide, with `boxes`."""
    height, full_width = image.shape[:2]
    size = (width, max(round(height * width / full_width), 1))
    return draw_view(image, (0, 0, full_width, height), size, boxes)


def draw_frame(image: np.ndarray, hit: Record, width: int = 2 * CROP_SIZE[0]) -> np.ndarray:
    """The hit's whole frame with the boxes of `hit_boxes`."""
    return draw_whole(image, width, hit_boxes(hit))


def ranked_montage(
    query: Record | Sequence[Record],
    hits: Sequence[Record],
    *,
    read: Callable[[str], np.ndarray] = read_image,
    size: Size = CROP_SIZE,
    columns: int | None = None,
    legend: str = "",
) -> np.ndarray:
    """The query (or several of one person), then its hits in the given order, with captions.

    A caption has the rank and the similarity, the camera, the time and the frame, as far as the
    record has them. `read` gets a record's `file_name` and returns its frame. All are in one row,
    or in rows of `columns`, with `legend` below; `encode_image` makes a file of it.
    """
    queries = [query] if isinstance(query, dict) else query
    tiles = [_captioned(draw_query(read(q["file_name"]), q, size), "searched", q) for q in queries]
    for hit in hits:
        text = f"{hit['rank']}:  {hit['similarity']:.3f}" + ("  weak" if hit.get("weak") else "")
        tiles.append(_captioned(draw_hit(read(hit["file_name"]), hit, size), text, hit))
    columns = min(columns or len(tiles), len(tiles))
    tiles += [np.full_like(tiles[0], 255)] * (-len(tiles) % columns)
    gap = np.full((tiles[0].shape[0], 6, 3), 255, np.uint8)
    rows = []
    for start in range(0, len(tiles), columns):
        first, *others = tiles[start : start + columns]
        rows.append(np.hstack([first, *(part for tile in others for part in (gap, tile))]))
    if legend:
        rows.append(draw_caption(["", legend], (rows[0].shape[1], 2 * LINE_HEIGHT + 6)))
    return np.concatenate(rows)


def _captioned(view: np.ndarray, text: str, record: Record) -> np.ndarray:
    camera, time = record.get("camera_id"), record.get("time")
    lines = [text]
    lines += [f"camera {camera}"] if camera is not None else []
    lines += [str(time)] if time is not None else []
    lines.append(str(record["image_id"]))
    size = (view.shape[1], CAPTION_HEIGHT)
    return np.concatenate([view, draw_caption(lines, size, pale=bool(record.get("weak")))])
