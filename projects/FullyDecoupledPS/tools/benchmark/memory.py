"""Peak memory of a run, in a process of its own."""

import multiprocessing
from collections.abc import Callable

import torch

from .machine import resident_mebibytes


def peak_mebibytes(prepare: Callable[[], Callable[[], object]], device: torch.device) -> float:
    """What building something and running it twice takes at most.

    On CUDA, memory that PyTorch has allocated; else resident memory of a fresh process, beyond that
    of one which has imported everything (Linux; elsewhere NaN).

    Args:
        prepare: builds what is needed and returns what is run; picklable.
        device: what it computes on.
    """
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_measure, (prepare, device, torch.get_num_threads()))


def _measure(prepare: Callable, device: torch.device, threads: int) -> float:
    torch.set_num_threads(threads)
    before = resident_mebibytes(peak=True)
    run = prepare()
    for _ in range(2):
        run()
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resident_mebibytes(peak=True) - before
