#!/usr/bin/env python
"""Time and memory of the start of a training on a large dataset.

    python benchmark_dataset.py --output output/benchmark_dataset.json

It writes the files of a made-up dataset, in the project's JSON and in PRW's layout, into a folder
that is removed at the end. Of images there are the headers only, which is all that is read until
the first batch; the training is timed up to the batches of frames, before images are decoded. Each
layout is measured in a process of its own, and its loader's worker processes beside it. Memory is
what the kernel counts as a process's own: pages that are shared with others are counted in parts
(PSS, Linux only).
"""

import argparse
import json
import logging
import os
import platform
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import active_children, get_context, set_start_method
from pathlib import Path
from typing import Any

import numpy as np
from detectron2.data import DatasetCatalog
from PIL import Image
from scipy.io import savemat
from tabulate import tabulate

from benchmark.machine import processor_name, share_mebibytes
from benchmark.timing import timed
from fully_decoupled_ps import load_config
from fully_decoupled_ps.data import (
    TrainLoader,
    count_person_ids,
    get_protocols,
    has_contiguous_ids,
    register_person_search_json,
    register_prw,
)
from fully_decoupled_ps.utils.arguments import MAX_SEED, whole_number
from fully_decoupled_ps.utils.commands import command_parser, in_one_line
from fully_decoupled_ps.utils.files import write_json

WIDTH, HEIGHT, CAMERAS = 1920, 1080, 6
# Files with a content of their own; the others are links to them, of which a file can have 65,000.
CONTENTS = 100
# An iteration far into a training, from which one is resumed.
RESUMED_AT = 100_000


def frame_boxes(args: argparse.Namespace) -> list[list[tuple[int, list[float]]]]:
    """For each of CONTENTS frames its boxes, as (person id or -1, [x, y, w, h])."""
    rng = np.random.default_rng(args.seed)
    frames = []
    for _ in range(CONTENTS):
        h = rng.uniform(60, 380, args.boxes).round()
        x, y = rng.uniform(0, 1700, args.boxes).round(), rng.uniform(0, 690, args.boxes).round()
        ids = rng.choice(args.persons, args.boxes, replace=False)
        ids[rng.uniform(size=args.boxes) < 0.2] = -1
        rows = np.stack([x, y, (0.4 * h).round(), h], axis=1)
        frames.append(list(zip(ids.tolist(), rows.tolist(), strict=True)))
    return frames


def link_images(folder: Path, names: list[str]) -> None:
    folder.mkdir(parents=True)
    sources = [folder.parent / f"image{i}.jpg" for i in range(CONTENTS)]
    for source in sources:
        Image.new("RGB", (WIDTH, HEIGHT)).save(source)
    for i, name in enumerate(names):
        os.link(sources[i % CONTENTS], folder / name)


def frame_names(frames: int) -> list[str]:
    return [f"c{1 + i % CAMERAS}s1_{i:06d}.jpg" for i in range(frames)]


def write_json_layout(root: Path, args: argparse.Namespace) -> None:
    names, boxes = frame_names(args.frames), frame_boxes(args)
    link_images(root / "images", names)
    images, annotations = [], []
    for i, name in enumerate(names):
        size = {"width": WIDTH, "height": HEIGHT, "camera_id": i % CAMERAS}
        images.append({"id": i, "file_name": name, **size})
        for person_id, box in boxes[i % CONTENTS]:
            # other persons in every round of frames
            person_id = person_id if person_id < 0 else (person_id + i) % args.persons
            annotations.append({"image_id": i, "bbox": box, "person_id": person_id})
    (root / "set.json").write_text(json.dumps({"images": images, "annotations": annotations}))


def write_prw(root: Path, args: argparse.Namespace) -> None:
    names = frame_names(args.frames)
    link_images(root / "frames", names)
    (root / "annotations").mkdir()
    sources = []
    for i, rows in enumerate(frame_boxes(args)):
        sources.append(root / f"boxes{i}.mat")
        table = [[-2 if person_id < 0 else person_id, *box] for person_id, box in rows]
        savemat(sources[-1], {"box_new": np.array(table, dtype=np.float64)})
    for i, name in enumerate(names):
        os.link(sources[i % CONTENTS], root / "annotations" / f"{name}.mat")
    cells = np.array([[name[:-4]] for name in names], dtype=object)
    savemat(root / "frame_train.mat", {"img_index_train": cells})


def register_json(root: Path, split: str) -> None:
    register_person_search_json("benchmark", str(root / "set.json"), str(root / "images"), split)


# Layout -> how it is written, how it is registered, which split is read.
LAYOUTS: dict[str, tuple[Callable, Callable, str]] = {
    "JSON, train": (write_json_layout, register_json, "train"),
    "JSON, test": (write_json_layout, register_json, "test"),
    "PRW, train": (write_prw, lambda root, split: register_prw("benchmark", root, split), "train"),
}


def as_it_is(dataset_dict: dict[str, Any]) -> dict[str, Any]:
    """In the mapper's place: no image is decoded."""
    return dataset_dict


def measure(layout: str, root: Path, workers: int) -> dict[str, float]:
    """Seconds and MiB by what they are of."""
    logging.disable(logging.WARNING)
    set_start_method(None, force=True)  # the loader's workers are started as those of a training
    _, register, split = LAYOUTS[layout]
    register(root, split)
    row: dict[str, Any] = {"layout": layout, "MiB before": share_mebibytes()}
    row["s to read"], dicts = timed(DatasetCatalog.get, "benchmark")
    row["frames"], row["boxes"] = len(dicts), sum(len(d["annotations"]) for d in dicts)
    if split == "test":
        row["s for protocols"], _ = timed(get_protocols, "benchmark")
        row["MiB"] = share_mebibytes()
        return row
    row["s to check"], _ = timed(lambda: count_person_ids(dicts) + has_contiguous_ids(dicts))
    dicts = None  # of which a training keeps none either
    opts = ["DATASETS.TRAIN", ("benchmark",), "SOLVER.IMS_PER_BATCH", 8, "SEED", 0]
    cfg = load_config(opts=opts)
    cfg.DATALOADER.NUM_WORKERS = 0
    row["s to build the loader"], loader = timed(lambda: TrainLoader(cfg, mapper=as_it_is))
    row["s to the first batch"], _ = timed(lambda: next(iter(loader)))
    loader.start_at(RESUMED_AT)
    row[f"s to batch {RESUMED_AT}"], _ = timed(lambda: next(iter(loader)))
    row["MiB"] = share_mebibytes()
    loader.first_iteration, loader.num_workers = 0, workers
    batches = iter(loader)
    row[f"s to the first batch of {workers} workers"], _ = timed(next, batches)
    for _ in range(20 * workers):
        next(batches)
    of_workers = [share_mebibytes(child.pid) for child in active_children()]
    row["MiB with workers"] = share_mebibytes()
    row["MiB a worker"] = max(of_workers, default=0.0)
    return row


def run(layout: str, args: argparse.Namespace) -> dict[str, float]:
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        seconds, _ = timed(LAYOUTS[layout][0], Path(folder), args)
        logging.info("%s: files written in %.0f s", layout, seconds)
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
            return process.submit(measure, layout, Path(folder), args.workers).result()


@in_one_line
def main() -> None:
    parser = command_parser(__doc__)
    parser.add_argument("--output", type=Path, help="write the figures there as JSON")
    parser.add_argument("--layout", default="", help="only layouts whose name holds this")
    parser.add_argument("--frames", type=whole_number(1), default=100_000)
    parser.add_argument("--boxes", type=whole_number(1), default=5, help="in each frame")
    parser.add_argument("--persons", type=whole_number(1), default=5_000)
    parser.add_argument(
        "--workers", type=whole_number(0), default=2, help="processes of the loader"
    )
    parser.add_argument("--folder", type=Path, help="where files are written; default: as for all")
    parser.add_argument("--seed", type=whole_number(0, MAX_SEED), default=0)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    rows = [run(layout, args) for layout in LAYOUTS if args.layout in layout]
    keys = list(dict.fromkeys(key for row in rows for key in row))
    table = [[key, *(row.get(key) for row in rows)] for key in keys[1:]]
    print(tabulate(table, ["", *(row["layout"] for row in rows)], "pipe", floatfmt=",.2f"))
    if args.output:
        machine = {"processor": processor_name(), "system": platform.platform()}
        settings = {k: v for k, v in vars(args).items() if k not in ("output", "folder")}
        write_json(args.output, {**machine, **settings, "rows": rows})


if __name__ == "__main__":
    sys.exit(main())
