"""What a benchmark ran on, and what its process has taken."""

import platform
from pathlib import Path

STATUS = Path("/proc/self/status")


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
    if not STATUS.exists():
        return float("nan")
    field = "VmHWM:" if peak else "VmRSS:"
    line = next(x for x in STATUS.read_text().splitlines() if x.startswith(field))
    return int(line.split()[1]) / 1024
