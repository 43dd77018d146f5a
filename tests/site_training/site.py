"""A site's two tiny data sets, and a network to start from that needs no download."""

import json

import numpy as np
import torch
from PIL import Image

from tests.modeling.crop_networks import TinyCrops
from tests.testing import CONFIGS

# As x, y, width, height: what NoResNet finds in every picture, cut at its border.
BOXES = ((4, 6, 26, 54), (40, 0, 22, 50), (60, 20, 36, 42))
WIDTH, HEIGHT = 96, 64
# Short stages, all in this process.
QUICK = ("SOLVER.MAX_ITER", "3", "DATALOADER.NUM_WORKERS", "0")


def write_set(root, name, persons, frames=8):
    """Write ``root/name.json``, and pictures beside it; returns its path.

    Frames 0, 1, 4, 5 are of one camera, the others of another one. Frame i has the persons i and
    i + 1 (modulo their number), each in a colour of its own, and somebody unknown.
    """
    images, annotations = [], []
    for i in range(frames):
        file = root / name / f"{i}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        ids = [persons[i % len(persons)], persons[(i + 1) % len(persons)], -1]
        Image.fromarray(draw(ids, seed=100 * len(name) + i)).save(file)
        size = {"width": WIDTH, "height": HEIGHT, "camera_id": i // 2 % 2}
        images.append({"id": i, "file_name": f"{name}/{i}.png", **size})
        annotations += [
            {"image_id": i, "bbox": box, "person_id": person}
            for box, person in zip(BOXES, ids, strict=True)
        ]
    path = root / f"{name}.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations}))
    return path


def draw(ids, seed):
    """(64, 96, 3) uint8: noise, and a rectangle for each person in the first boxes."""
    pixels = np.random.default_rng(seed).integers(0, 60, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    for (x, y, w, h), person in zip(BOXES, ids, strict=True):
        pixels[y : y + h, x : x + w] += np.array(colour(person), dtype=np.uint8)
    return pixels


def colour(person):
    """Up to 190 in each channel, another one for each id from -1 to 7."""
    return [190 * ((person + 1) >> bit & 1) for bit in range(3)]


def write_site(root):
    """(train.json, test.json) of different persons."""
    return write_set(root, "train", [0, 1, 2, 3]), write_set(root, "test", [4, 5, 6])


def write_ready(folder):
    """A yaml as those of ready networks: a detector that is a number, and two convolutions."""
    folder.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        torch.save(TinyCrops().state_dict(), folder / "crops.pth")
    torch.save({"model": {"detector.weight": torch.ones(1)}}, folder / "detector.pth")
    path = folder / "tiny.yaml"
    path.write_text(
        f"_BASE_: {CONFIGS / 'Base-TwoStep.yaml'}\n"
        "MODEL:\n  WEIGHTS: detector.pth\n  DETECTOR: {NAME: NoResNet}\n"
        "  BACKBONE: {FREEZE_AT: 0}\n"
        "  REID: {OIM: {QUEUE_SIZE: 5}, BOX_NOISE: {NUM_COPIES: 1}}\n"
        "  CROP_REID: {NAME: TinyCrops, SIZE: [24, 12], WEIGHTS: crops.pth}\n"
        "INPUT: {MIN_SIZE_TRAIN: [64], MIN_SIZE_TEST: 64, MAX_SIZE_TRAIN: 99, MAX_SIZE_TEST: 99}\n"
    )
    return path
