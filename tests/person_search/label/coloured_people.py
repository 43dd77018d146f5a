"""Recordings of people of one colour each, and a stand-in for a network that finds them."""

import os

import av
import cv2
import numpy as np
import torch

from fully_decoupled_ps.ready import DEFAULT_NETWORK
from person_search.network import PersonDetections

SIZE = (160, 96)  # width, height
FPS = 5
COLOURS = {"red": (220, 30, 30), "green": (30, 200, 30), "blue": (40, 60, 230)}


class ColourNetwork:
    """Finds the rectangle of each colour; its feature says which colour it is."""

    fingerprint, dim = "c" * 64, len(COLOURS)
    precision = "float32"
    location, weights, score_thresh = DEFAULT_NETWORK, "", 0.5

    @staticmethod
    def mapper(image):
        height, width = image.shape[:2]
        return {"image": torch.as_tensor(image.copy()), "height": height, "width": width}

    def run(self, inputs):
        return [self.find(x["image"].numpy()) for x in inputs]

    def find(self, image):
        boxes, features = [], []
        for number, colour in enumerate(COLOURS.values()):
            near = np.abs(image.astype(int) - colour).sum(axis=2) < 120
            if near.sum() > 20:
                ys, xs = np.nonzero(near)
                boxes.append((xs.min(), ys.min(), xs.max() + 1, ys.max() + 1))
                features.append(np.eye(self.dim)[number])
        return PersonDetections(
            np.array(boxes, np.float32).reshape(-1, 4),
            np.full(len(boxes), 0.9, np.float32),
            np.array(features, np.float32).reshape(-1, self.dim),
            np.zeros((0, self.dim), np.float32),
        )


def draw(**places):
    """(H, W, 3) RGB; by colour the x of a person 16 wide and 40 high, None: away."""
    image = np.full((SIZE[1], SIZE[0], 3), 128, np.uint8)
    for colour, x in places.items():
        if x is not None:
            image[30:70, x : x + 16] = COLOURS[colour]
    return image


def walk(num_frames, **starts):
    """Frames in which people walk to the right; ``starts``: by colour the x in frame 0."""
    return [draw(**{colour: x + 4 * i for colour, x in starts.items()}) for i in range(num_frames)]


def save_video(path, frames):
    """Without losses, at :data:`FPS`; changed last at 5,000 s."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264rgb", rate=FPS)
        stream.width, stream.height = SIZE
        stream.pix_fmt, stream.options = "rgb24", {"crf": "0"}
        for image in frames:
            output.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        output.mux(stream.encode())
    os.utime(path, (5000, 5000))
    return path


def save_pictures(folder, frames, name="{}.png"):
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(frames):
        path = folder / name.format(number)
        cv2.imwrite(str(path), image[:, :, ::-1])
        os.utime(path, (1000 + number, 1000 + number))
    return folder
