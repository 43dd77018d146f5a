"""A training run's output folder with a tiny network of random weights, and pictures for it."""

import cv2
import numpy as np
import torch

from tests.testing import TINY, make_config, make_model


def make_run(folder, opts=()):
    """Write what training leaves in an output folder; returns it."""
    folder.mkdir(parents=True)
    opts = ("MODEL.REID.NUM_IDS", 4, *opts)
    config = make_config("reid", (*TINY, *opts))
    (folder / "config.yaml").write_text(config.dump())
    torch.save({"model": make_model("reid", opts).state_dict()}, folder / "model_final.pth")
    (folder / "last_checkpoint").write_text("model_final.pth")
    return folder


def picture(seed, size=(64, 96)):
    """(H, W, 3) smooth random colours, RGB uint8."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_LINEAR)


def save_picture(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), picture(seed)[:, :, ::-1])
    return path


def save_video(path, num_frames=10, fps=5, size=(64, 96)):
    """Frame i is grey of 20 i, with some of ``picture(i)``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fourcc = cv2.VideoWriter_fourcc(*"MJPG")
    writer = cv2.VideoWriter(str(path), fourcc, fps, size[::-1])
    for i in range(num_frames):
        grey = np.full((*size, 3), 20 * i, dtype=np.uint8)
        writer.write(cv2.addWeighted(grey, 0.9, picture(i, size)[:, :, ::-1], 0.1, 0))
    writer.release()
    return path
