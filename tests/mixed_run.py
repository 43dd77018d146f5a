"""The training command on wide and high images with all its randomness, to be stopped anywhere.

As a command (``python -m tests.mixed_run ROOT HOW ITERATION ARGUMENT...``) it trains in a process
that kills itself with SIGKILL: HOW is "step" (in the middle of that iteration), "save" (when a part
of that iteration's checkpoint is written), "tag" (between the checkpoint and last_checkpoint), or
"never".
"""

import contextlib
import io
import json
import os
import signal
import sys
from pathlib import Path

import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.engine import SimpleTrainer
from PIL import Image

from fully_decoupled_ps.data import register_person_search_json
from tests.small_run import run_train_net
from tests.testing import CONFIGS, TINY, image

FASTER_RCNN, RETINANET, FCOS = (
    CONFIGS / "prw" / f"{name}_R50.yaml" for name in ("faster_rcnn", "retinanet", "fcos")
)
NAMES = ("mixed_train", "mixed_test")
OPTS = (
    *TINY,
    *("MODEL.WEIGHTS", "", "MODEL.REID.SIDE_NET.WEIGHTS", "detector"),
    *("DATASETS.TRAIN", "('mixed_train',)", "DATASETS.TEST", "()"),
    *("INPUT.MIN_SIZE_TRAIN", "(48, 56, 64, 72)", "SOLVER.IMS_PER_BATCH", 2),
    *("SOLVER.MAX_ITER", 5, "SOLVER.STEPS", "(3,)", "SOLVER.WARMUP_ITERS", 2),
    *("SOLVER.BASE_LR", 0.001, "SOLVER.CHECKPOINT_PERIOD", 2),
)


def write_set(root, persons=(0, 1, 2)):
    """Four wide and three high images with two of the persons and somebody unknown in each."""
    images, annotations = [], []
    for i in range(7):
        width, height = (96, 64) if i % 2 == 0 else (64, 96)
        entry = {"id": i, "file_name": f"{i}.png", "width": width, "height": height}
        images.append({**entry, "camera_id": i % 2})
        path = root / "images" / entry["file_name"]
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_png(path, image(i, (height, width)))
        for k, person_id in enumerate([persons[i % 3], persons[(i + 1) % 3], -1]):
            box = [4 + 18 * k, 3 + i, 16, 40]
            annotations.append({"image_id": i, "bbox": box, "person_id": person_id})
    content = {"images": images, "annotations": annotations}
    (root / "set.json").write_text(json.dumps(content))


def _write_png(path, pixels):
    Image.fromarray(pixels.permute(1, 2, 0).byte().numpy()).save(path)


@contextlib.contextmanager
def registered(root):
    for name in NAMES:
        path, folder = str(root / "set.json"), str(root / "images")
        register_person_search_json(name, path, folder, name.rpartition("_")[2])
    try:
        yield
    finally:
        for name in NAMES:
            DatasetCatalog.remove(name)
            MetadataCatalog.remove(name)


def train(folder, *args, config=FASTER_RCNN):
    """``python train_net.py`` with flags and options; returns its exit status."""
    return run_train_net(config, *OPTS, "OUTPUT_DIR", folder, *args)


def _kill():
    os.kill(os.getpid(), signal.SIGKILL)


def _kill_at(how, iteration):
    run_step, save, replace = SimpleTrainer.run_step, torch.save, os.replace

    def step_and_die(trainer):
        if trainer.iter == iteration:
            trainer.model.register_forward_hook(lambda *args: _kill())
        run_step(trainer)

    def save_and_die(content, f):
        if content["iteration"] != iteration:
            return save(content, f)
        whole = io.BytesIO()
        save(content, whole)
        f.write(whole.getvalue()[:50_000])
        f.flush()
        _kill()

    def replace_and_die(source, target):
        replace(source, target)
        if target.endswith(f"model_{iteration:07d}.pth"):
            _kill()

    if how == "step":
        SimpleTrainer.run_step = step_and_die
    elif how == "save":
        torch.save = save_and_die
    elif how == "tag":
        os.replace = replace_and_die


def main(root, how, iteration, *args, config=FASTER_RCNN):
    _kill_at(how, int(iteration))
    torch.set_num_threads(1)
    with registered(Path(root)):
        return train(*args, config=config)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
