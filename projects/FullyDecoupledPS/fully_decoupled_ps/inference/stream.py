"""Worker processes read and decode files while the network runs on what they read before."""

import signal
from dataclasses import dataclass
from typing import Iterator, NamedTuple

import cv2
import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from ..data.images import load_image
from ..errors import UserError
from .files import MediaFile
from .frames import sample_video
from .network import InputMapper


@dataclass(frozen=True)
class Job:
    """A file to read."""

    file: MediaFile
    after: int | None = None  # number of the last frame that is not wanted again


class Sample(NamedTuple):
    """A frame, ready for the network."""

    path: str
    number: int | None  # of the frame in its video
    offset: float  # seconds after the file's first frame
    inputs: dict  # of the network


class End(NamedTuple):
    """A file has been read: there is no sample of it any more."""

    path: str
    error: str  # why it can't be read (further); "" if all went well
    note: str = ""  # what was left out or assumed of a picture, see data.images


class FileStream(IterableDataset):
    """Yields lists of :class:`Sample` and :class:`End`; those of a file in order, by one worker."""

    def __init__(self, jobs: list[Job], mapper: InputMapper, fps: float, batch_size: int):
        """
        Args:
            jobs: what to read.
            mapper: makes the network's input.
            fps: frames a second that are taken of a video.
            batch_size: how many samples a list has.
        """
        self.jobs = jobs
        self.mapper = mapper
        self.fps = fps
        self.batch_size = batch_size

    def __iter__(self) -> Iterator[list[Sample | End]]:
        worker = get_worker_info()
        first, step = (0, 1) if worker is None else (worker.id, worker.num_workers)
        batch, num_samples = [], 0
        for job in self.jobs[first::step]:
            for item in self._read(job):
                if isinstance(item, Sample):
                    if num_samples == self.batch_size:
                        yield batch
                        batch, num_samples = [], 0
                    num_samples += 1
                batch.append(item)
        if batch:
            yield batch

    def _read(self, job: Job) -> Iterator[Sample | End]:
        path, error, note = job.file.path, "", ""
        try:
            if job.file.is_video:
                for frame in sample_video(path, self.fps, job.after):
                    yield Sample(path, frame.number, frame.offset, self.mapper(frame.image))
            else:
                image, note = load_image(path)
                yield Sample(path, None, 0.0, self.mapper(image))
        except (UserError, OSError, MemoryError, cv2.error) as reason:
            error = str(reason) if isinstance(reason, UserError) else f"{path}: {reason!r}"
        yield End(path, error, note)


def stream(
    jobs: list[Job], mapper: InputMapper, *, fps: float, batch_size: int, num_workers: int
) -> Iterator[list[Sample | End]]:
    """What :class:`FileStream` yields, by worker processes.

    Raises:
        UserError: if one of them is killed.
    """
    # OpenCV's threads don't survive a fork: a worker that ends them itself waits for them
    cv2.setNumThreads(1)
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
            "a process that reads files was killed, perhaps for want of memory (or of /dev/shm in "
            "a container); run the same command with fewer --workers, 0 for none, or a smaller "
            "--batch-size: what was committed is kept"
        ) from error


def _start_worker(worker: int) -> None:
    # Ctrl-C reaches all processes of a terminal; the main one stops the others when it is ready to
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
