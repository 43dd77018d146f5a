"""What a benchmark ran on, and what its process has taken."""

import platform
from pathlib import Path


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
