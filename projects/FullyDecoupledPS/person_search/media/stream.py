"""Worker processes read and decode files while the network runs on what they read before."""

import gc
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field

import cv2
import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from fully_decoupled_ps.predictor import load_image, videos

from ..errors import UserError, translated
from ..network import InputMapper
from .batches import End, Item, Restart, Sample, SizedBatches
from .files import MediaFile
from .frames import VideoChanged, sample_video


@dataclass(frozen=True)
class Job:
    """A file to read."""

    file: MediaFile
    # The frames of a video that are in the index already, the checksum by pts.
    known: dict[int, int | None] = field(default_factory=dict)


class FileStream(IterableDataset):
    """Yields lists of :class:`Sample`, :class:`Restart` and :class:`End`.

    Those of a file are in order, by one worker; the samples of a list are of one size.
    """

    def __init__(self, jobs: list[Job], mapper: InputMapper, fps: float, batch_size: int):
        """Lists have up to ``batch_size`` samples; ``fps``: frames a second of a video."""
        self.jobs = jobs
        self.mapper = mapper
        self.fps = fps
        self.batch_size = batch_size

    def __iter__(self) -> Iterator[list[Item]]:
        worker = get_worker_info()
        first, step = (0, 1) if worker is None else (worker.id, worker.num_workers)
        batches = SizedBatches(self.batch_size)
        for job in self.jobs[first::step]:
            for item in self._read(job):
                yield from batches.add(item)
        yield from batches.rest()

    def _read(self, job: Job) -> Iterator[Item]:
        path, error, note = job.file.path, "", ""
        try:
            with translated():
                if job.file.is_video:
                    note = videos.left_out(path)
                    yield from self._read_video(job)
                else:
                    image, note = load_image(path)
                    yield Sample(path, None, 0.0, self.mapper(image))
        except UserError as reason:
            error = str(reason)
        except Exception as reason:  # whatever a decoder raises; the other files can be read
            error = f"{path}: {reason!r}"
        yield End(path, error, note)

    def _read_video(self, job: Job) -> Iterator[Sample | Restart]:
        path = job.file.path
        try:
            yield from self._samples(path, job.known)
        except VideoChanged:
            yield Restart(path)
            yield from self._samples(path, {})
        stat = os.stat(path)
        if (stat.st_size, stat.st_mtime_ns) != (job.file.size, job.file.mtime_ns):
            raise UserError(
                f"video {path} was written to while it was read; run the same command again when "
                "it is complete: it goes on from here"
            )

    def _samples(self, path: str, known: dict) -> Iterator[Sample]:
        for frame in sample_video(path, self.fps, known):
            inputs = self.mapper(frame.image())
            yield Sample(path, frame.pts, frame.offset, inputs, frame.checksum())


def stream(
    jobs: list[Job], mapper: InputMapper, *, fps: float, batch_size: int, num_workers: int
) -> Iterator[list[Item]]:
    """What :class:`FileStream` yields, by worker processes.

    Raises:
        UserError: if one of them is killed.
    """
    # OpenCV's threads don't survive a fork: a worker that ends them would wait for them forever
    cv2.setNumThreads(1)
    # nor do FFmpeg's: so would a worker that frees a frame that was decoded before
    gc.collect()
    loader = DataLoader(
        FileStream(jobs, mapper, fps, batch_size),
        batch_size=None,  # they are batches already
        num_workers=min(num_workers, len(jobs)),
        worker_init_fn=_start_worker,
    )
    try:
        yield from loader
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise UserError(
            "a process that reads files was killed, perhaps for lack of memory (or of /dev/shm in "
            "a container); run the same command with fewer --workers, 0 for none, or a smaller "
            "--batch-size: what was committed is kept"
        ) from error


def _start_worker(worker: int) -> None:
    # Ctrl-C reaches all processes of a terminal; the main one stops the workers when it is ready
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
