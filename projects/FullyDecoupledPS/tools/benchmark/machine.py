"""What a benchmark ran on, and what memory its processes have taken."""

import multiprocessing
import platform
from collections.abc import Callable
from pathlib import Path

import torch


def processor_name() -> str:
    """As the system names it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(x.split(":")[1].strip() for x in lines if x.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def resident_mebibytes(peak: bool = False) -> float:
    """What this process holds in memory, or the most that it has held. NaN if not on Linux.

    (``getrusage`` counts what the parent process held as well.)
    """
    return _mebibytes("/proc/self/status", "VmHWM:" if peak else "VmRSS:")


def share_mebibytes(pid: int | str = "self") -> float:
    """A process's memory, of pages that are shared with others its part. NaN if not on Linux."""
    return _mebibytes(f"/proc/{pid}/smaps_rollup", "Pss:")


def _mebibytes(file: str, field: str) -> float:
    if not Path(file).exists():
        return float("nan")
    line = next(x for x in Path(file).read_text().splitlines() if x.startswith(field))
    return int(line.split()[1]) / 1024


def peak_mebibytes(prepare: Callable[[], Callable[[], object]], device: torch.device) -> float:
    """What building something and running it twice takes at most, in a process of its own.

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
