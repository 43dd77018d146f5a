"""Draws the planned frames and writes them in PRW's layout and formats."""

import io
import logging
import multiprocessing
from contextlib import nullcontext
from dataclasses import asdict
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from scipy.io import loadmat, savemat

from ...utils.progress import with_progress
from .camera import CAMERAS, expose
from .canvas import paste_figure
from .figure import draw_figure, sample_pose
from .manifest import is_finished, write_bytes, write_manifest
from .plan import DatasetPlan, FramePlan, PlacedFigure, SyntheticSpec, make_plan
from .scene import background, draw_clutter, draw_shadow

MANIFEST = "synthetic.json"
_VERSION = 2  # of the drawing; a folder made by another version is not reused
_MAT_HEADER = b"MATLAB 5.0 MAT-file, synthetic person search".ljust(116)
logger = logging.getLogger(__name__)


def render_frame(plan: FramePlan, spec: SyntheticSpec) -> tuple[np.ndarray, np.ndarray]:
    """Draw one frame.

    Returns:
        The (H, W, 3) uint8 BGR image, and the (N, 5) float64 rows id, x, y, w, h in pixels: the
        full extent of each person, whatever stands before them, clipped to the frame.
    """
    camera = CAMERAS[plan.camera]
    rng = np.random.default_rng([spec.seed, 51, plan.index])
    image = background(camera, plan.sequence, spec.seed, spec.width, spec.height).copy()
    things = sorted(plan.figures + plan.clutter, key=lambda thing: thing.foot[1])
    for thing in things:
        draw_shadow(image, _pixels(thing.foot, spec), thing.scale * spec.height)
    rows = []
    for thing in things:
        if isinstance(thing, PlacedFigure):
            box = _paste_figure(image, thing, camera, spec, rng)
            rows.append((thing.pid, *box))
        else:
            look = np.random.default_rng(thing.look)
            foot = _pixels(thing.foot, spec)
            draw_clutter(image, thing.kind, foot, thing.scale * spec.height, look)
    return expose(image, camera, rng), np.array(rows, dtype=np.float64).reshape(-1, 5)


def _pixels(foot: tuple[float, float], spec: SyntheticSpec) -> tuple[float, float]:
    return foot[0] * spec.height, foot[1] * spec.height


def _paste_figure(image, thing: PlacedFigure, camera, spec, rng) -> tuple[int, int, int, int]:
    """Draw a person into the image; returns x, y, w, h of what is inside the frame."""
    pitch = camera.pitch(0.5 * (thing.box[1] + thing.box[3]))
    scale = thing.scale * spec.height
    figure = draw_figure(thing.person, sample_pose(rng), scale, pitch, camera.roll)
    inside, alpha = paste_figure(image, figure, _pixels(thing.foot, spec), rng.uniform(0.85, 1.1))
    x, y, w, h = cv2.boundingRect((alpha >= 128).astype(np.uint8))
    return inside[1].start + x, inside[0].start + y, w, h


def _write_mat(path: Path, **arrays) -> None:
    """``savemat`` without the time of writing in the header: the same data, the same bytes."""
    buffer = io.BytesIO()
    savemat(buffer, arrays)
    content = buffer.getvalue()
    write_bytes(path, _MAT_HEADER + content[len(_MAT_HEADER) :])


def _write_frame(root: Path, spec: SyntheticSpec, plan: FramePlan) -> None:
    image, rows = render_frame(plan, spec)
    quality = [cv2.IMWRITE_JPEG_QUALITY, CAMERAS[plan.camera].quality]
    encoded = cv2.imencode(".jpg", image, quality)[1]
    write_bytes(root / "frames" / f"{plan.name}.jpg", encoded.tobytes())
    _write_mat(_annotation(root, plan.name), box_new=rows)  # last: marks the frame as done


def _annotation(root: Path, frame: str) -> Path:
    return root / "annotations" / f"{frame}.jpg.mat"


def _write_frames(root: Path, spec: SyntheticSpec, frames: list[FramePlan], workers: int) -> None:
    write = partial(_write_frame, root, spec)
    todo = [plan for plan in frames if not _annotation(root, plan.name).exists()]
    if len(todo) < len(frames):
        logger.info("%d of %d frames are there already", len(frames) - len(todo), len(frames))
    # Not forked: a fork inherits the locks of the parent's threads (OpenCV's, OpenMP's) and may
    # hang on them.
    spawn = multiprocessing.get_context("spawn")
    with spawn.Pool(workers, cv2.setNumThreads, (1,)) if workers > 1 else nullcontext() as pool:
        done = pool.imap_unordered(write, todo, chunksize=4) if pool else map(write, todo)
        for _ in with_progress(done, "drawing frames", len(todo)):
            pass


def _write_lists(root: Path, plan: DatasetPlan) -> None:
    for split, key in (("train", "ID_train"), ("test", "ID_test2")):
        cells = np.empty((len(plan.frames[split]), 1), dtype=object)
        cells[:, 0] = [frame.name for frame in plan.frames[split]]
        _write_mat(root / f"frame_{split}.mat", **{f"img_index_{split}": cells})
        ids = np.array([plan.ids[split]], dtype=np.float64)
        _write_mat(root / f"ID_{split}.mat", **{key: ids})
    lines = []
    for pid, name in plan.queries:
        rows = loadmat(_annotation(root, name))["box_new"]
        x, y, w, h = rows[rows[:, 0] == pid][0, 1:]
        lines.append(f"{pid} {x:.2f} {y:.2f} {w:.2f} {h:.2f} {name}\n")
    write_bytes(root / "query_info.txt", "".join(lines).encode())


def make_synthetic_dataset(root, spec: SyntheticSpec, workers: int = 1) -> Path:
    """Write a synthetic person-search dataset in PRW's layout; returns its folder.

    A finished dataset of the same spec is left as it is; an interrupted one is completed. The bytes
    depend on the spec (and on OpenCV's drawing) only, not on ``workers``.

    Args:
        root: the folder, made if it is not there.
        workers: processes that draw. With 2 or more a script that calls this needs the usual
            ``if __name__ == "__main__":``, as each process imports it again.

    Raises:
        UserError: the folder holds something else, or the spec cannot be planned.
    """
    root = Path(root)
    manifest = {"version": _VERSION, "spec": asdict(spec)}
    if is_finished(root, MANIFEST, manifest):
        logger.info("%s holds this dataset already", root)
        return root
    plan = make_plan(spec)
    for folder in (root / "frames", root / "annotations"):
        folder.mkdir(parents=True, exist_ok=True)
    write_manifest(root, MANIFEST, manifest, finished=False)
    frames = plan.frames["train"] + plan.frames["test"]
    _write_frames(root, spec, frames, workers)
    _write_lists(root, plan)
    write_manifest(root, MANIFEST, manifest, finished=True)
    figures = [figure for frame in frames for figure in frame.figures]
    logger.info(
        "%s: %d frames, %d persons (%d unlabelled), %d training and %d test ids, %d queries",
        root, len(frames), len(figures), sum(figure.pid < 0 for figure in figures),
        spec.train_ids, spec.test_ids, len(plan.queries),
    )  # fmt: skip
    return root
