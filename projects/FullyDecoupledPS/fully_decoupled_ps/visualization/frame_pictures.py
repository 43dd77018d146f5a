"""Sample frames with what a detector found, or with the noisy boxes (SnA) that re-id trains on."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from detectron2.structures import Boxes

from ..data.images import read_image
from ..evaluation.predictions import Predictions
from .frame_boxes import LabelledBox, draw_boxes, person_style, sample_frames, sheet
from .visualizer import MISSED, QUERY, BoxStyle

FRAMES = 6
TILE_WIDTH = 640
COLUMNS = 2
GROUND_TRUTH = BoxStyle((255, 255, 255), dashed=True)  # beside noise of any colour

# n noisy copies: M boxes and the picture's (height, width) -> M * (n + 1) boxes, the M first
BoxNoise = Callable[[Boxes, tuple], Boxes]


def draw_detections(
    dicts: Sequence[dict[str, Any]],
    predictions: Predictions,
    title: str,
    *,
    score_thresh: float = 0.5,
    frames: int = FRAMES,
    seed: int = 0,
) -> np.ndarray:
    """(H, W, 3) uint8 RGB: frames drawn with `seed`, of each camera in turn.

    Detections are blue with their score, annotated persons dashed amber. `dicts` are in the order
    of the predictions.
    """
    detections = predictions.detections
    tiles = []
    for i, d in sample_frames(dicts, seed)[:frames]:
        rows = slice(detections.offsets[i], detections.offsets[i + 1])
        found = [
            LabelledBox(box, QUERY, f"{score:.2f}")
            for box, score in zip(detections.boxes[rows], detections.scores[rows])
            if score >= score_thresh
        ]
        persons = [LabelledBox(a["bbox"], MISSED) for a in d["annotations"]]
        caption = f"{d['image_id']}: {len(found)} detections, {len(persons)} persons annotated"
        picture = draw_boxes(read_image(d["file_name"]), persons + found, TILE_WIDTH)
        tiles.append((picture, caption))
    return sheet(tiles, title, COLUMNS)


def draw_box_noise(
    dicts: Sequence[dict[str, Any]],
    box_noise: BoxNoise,
    title: str,
    *,
    frames: int = FRAMES,
    seed: int = 0,
) -> np.ndarray:
    """(H, W, 3) uint8 RGB: frames with persons; true boxes dashed white, noisy ones coloured."""
    with_persons = [d for d in dicts if d["annotations"]]
    tiles = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for _, d in sample_frames(with_persons, seed)[:frames]:
            gt = Boxes(torch.tensor([a["bbox"] for a in d["annotations"]], dtype=torch.float32))
            noisy = box_noise(gt, (d["height"], d["width"])).tensor[len(gt) :].tolist()
            boxes = [LabelledBox(a["bbox"], GROUND_TRUTH) for a in d["annotations"]]
            thin = [(box, person_style(k % len(gt)).color) for k, box in enumerate(noisy)]
            caption = f"{d['image_id']}: {len(boxes)} persons, {len(noisy)} noisy boxes"
            picture = draw_boxes(read_image(d["file_name"]), boxes, TILE_WIDTH, thin)
            tiles.append((picture, caption))
    return sheet(tiles, title, COLUMNS)
