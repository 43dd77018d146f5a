"""Peak memory of a run, in a process of its own."""

import multiprocessing
import resource
from pathlib import Path
from typing import Callable

import torch

_STATUS = Path("/proc/self/status")


def peak_mebibytes(prepare: Callable[[], Callable[[], object]], device: torch.device) -> float:
    """What building something and running it twice takes at most.

    On CUDA, memory that PyTorch has allocated; else resident memory of a fresh process, beyond that
    of one which has imported everything.

    Args:
        prepare: builds what is needed and returns what is run; picklable.
        device: what it computes on.
    """
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_measure, (prepare, device, torch.get_num_threads()))


def _measure(prepare: Callable, device: torch.device, threads: int) -> float:
    torch.set_num_threads(threads)
    before = _resident()
    run = prepare()
    for _ in range(2):
        run()
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return _resident() - before


def _resident() -> float:
    """The most that this process has held so far, in MiB."""
    if _STATUS.exists():  # getrusage counts what the parent held as well
        line = next(x for x in _STATUS.read_text().splitlines() if x.startswith("VmHWM:"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
