"""Writes a synthetic site: a video for each camera and split, and what is to be seen in it."""

import logging
import multiprocessing
import os
from contextlib import nullcontext
from dataclasses import asdict
from datetime import datetime
from functools import partial
from pathlib import Path

import av
import cv2
import numpy as np

from ...utils.files import PARTIAL, tell_unwritable
from ...utils.progress import with_progress
from .manifest import is_finished, write_bytes, write_manifest
from .site import VideoPlan, make_site_plan
from .site_frames import draw_frames
from .site_spec import SPLITS, SiteSpec, start_time

MANIFEST = "site.json"
_VERSION = 1  # of the drawing; a folder made by another version is not reused
_QUALITY = {"libx264": {"crf": "20", "preset": "veryfast"}, "mpeg4": {"qmin": "2", "qmax": "4"}}
_FIX = "free space or correct the permissions, or choose another folder"
logger = logging.getLogger(__name__)


def _write_video(path: Path, plan: VideoPlan, spec: SiteSpec) -> list[np.ndarray]:
    """Draw a video; it is there under its name when it is whole. Returns the rows by frame."""
    codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
    partial_path = f"{path}{PARTIAL}"
    rows = []
    with tell_unwritable(path, _FIX):
        with av.open(partial_path, "w", format="mp4") as output:
            output.metadata["creation_time"] = _text(start_time(spec, plan.split))
            stream = output.add_stream(codec, rate=spec.fps, options=_QUALITY[codec])
            stream.width, stream.height, stream.pix_fmt = spec.width, spec.height, "yuv420p"
            stream.codec_context.thread_count = 1  # whose number would change the bytes
            frames = with_progress(draw_frames(plan, spec), f"{path}: frame", spec.frames)
            for image, seen in frames:
                output.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
                rows.append(seen)
            output.mux(stream.encode(None))
        os.replace(partial_path, path)
    return rows


def _write_sequence(root: Path, spec: SiteSpec, plan: VideoPlan) -> None:
    """A video and its ground truth as CVAT's "MOT 1.1": x and y from 0, frames from 1."""
    folder = root / plan.split / plan.name
    (folder / "gt").mkdir(parents=True, exist_ok=True)
    rows = _write_video(folder / f"{plan.name}.mp4", plan, spec)
    seqinfo = {
        "name": plan.name, "frameRate": spec.fps, "seqLength": spec.frames,
        "imWidth": spec.width, "imHeight": spec.height,
    }  # fmt: skip
    lines = ["[Sequence]", *(f"{key}={value}" for key, value in seqinfo.items()), ""]
    write_bytes(folder / "seqinfo.ini", "\n".join(lines).encode())
    write_bytes(folder / "gt" / "labels.txt", b"person\n")
    lines = [
        f"{frame},{pid:.0f},{x:.0f},{y:.0f},{w:.0f},{h:.0f},1,1,{visibility:.4f}\n"
        for frame, seen in enumerate(rows, 1)
        for pid, x, y, w, h, visibility in seen
    ]
    write_bytes(_truth(root, plan), "".join(lines).encode())  # last: marks the video as done


def _truth(root: Path, plan: VideoPlan) -> Path:
    return root / plan.split / plan.name / "gt" / "gt.txt"


def _text(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def make_synthetic_site(root, spec: SiteSpec, workers: int = 1) -> Path:
    """Write the videos of a synthetic site with their ground truth; returns its folder.

    A finished site of the same spec is left as it is; of an interrupted one the videos that are
    missing are drawn. The frames depend on the spec (and on OpenCV's drawing) only.

    Args:
        root: the folder, made if it is not there.
        workers: processes, each of which draws a video. With 2 or more a script that calls this
            needs the usual ``if __name__ == "__main__":``, as each process imports it again.

    Raises:
        UserError: the folder holds something else or can't be written, or the time is too short.
    """
    root = Path(root)
    starts = {split: _text(start_time(spec, split)) for split in SPLITS}
    manifest = {"version": _VERSION, "spec": asdict(spec), "starts": starts}
    if is_finished(root, MANIFEST, manifest):
        logger.info("%s holds this site already", root)
        return root
    plans = make_site_plan(spec)
    with tell_unwritable(root, _FIX):
        root.mkdir(parents=True, exist_ok=True)
    write_manifest(root, MANIFEST, manifest, finished=False)
    todo = [plan for plan in plans if not _truth(root, plan).exists()]
    if len(todo) < len(plans):
        logger.info("%d of %d videos are there already", len(plans) - len(todo), len(plans))
    logger.info("drawing %d videos of %d frames", len(todo), spec.frames)
    write = partial(_write_sequence, root, spec)
    # Not forked: see writer.py.
    spawn = multiprocessing.get_context("spawn")
    with spawn.Pool(workers, cv2.setNumThreads, (1,)) if workers > 1 else nullcontext() as pool:
        done = pool.imap_unordered(write, todo) if pool else map(write, todo)
        for _ in with_progress(done, "drawing videos", len(todo)):
            pass
        if pool:  # not ended by force, so that they release what they share
            pool.close()
            pool.join()
    write_manifest(root, MANIFEST, manifest, finished=True)
    logger.info(
        "%s: %d videos of %d frames, %d training and %d test ids, %d passages",
        root, len(plans), spec.frames, spec.train_ids, spec.test_ids,
        sum(len(plan.passages) for plan in plans),
    )  # fmt: skip
    return root
