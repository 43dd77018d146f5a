"""Timing several things in turns, and the parts of a network."""

import argparse
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn


def add_clock_argument(parser) -> None:
    """``--processor-time``, for an ``argparse`` parser or a group of one; see :func:`clock_of`."""
    parser.add_argument(
        "--processor-time",
        action="store_true",
        help="seconds of the processor, of all threads, not of the clock: for a machine that "
        "others use too",
    )


def clock_of(args: argparse.Namespace) -> Callable[[], float]:
    """What seconds are read from, as :func:`add_clock_argument`'s option says."""
    return time.process_time if args.processor_time else time.perf_counter


def timed(step: Callable, *args) -> tuple[float, Any]:
    """The seconds that ``step(*args)`` takes, and what it returns."""
    start = time.perf_counter()
    result = step(*args)
    return time.perf_counter() - start, result


def time_in_turns(
    cases: Mapping[str, Callable[..., object]],
    rounds: int,
    device: torch.device,
    clock: Callable[[], float] = time.perf_counter,
    fresh: Mapping[str, Callable[[], object]] | None = None,
) -> dict[str, list[float]]:
    """Run each of several functions once a round, so that a machine's moods meet all alike.

    Args:
        cases: by name. Each is run once before the first round, without being timed.
        rounds: 1 or more.
        device: what the functions compute on; it is waited for before the clock is read.
        clock: in seconds.
        fresh: by name, what makes the one argument of a case; others have none. It is made anew
            before each run, which is not timed.

    Returns:
        dict: by name, the seconds of each round.
    """
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    for counted in [False] + [True] * rounds:
        for name, run in cases.items():
            given = [fresh[name]()] if fresh and name in fresh else []
            wait_for(device)
            start = clock()
            run(*given)
            wait_for(device)
            if counted:
                seconds[name].append(clock() - start)
    return seconds


def median_ratio(seconds: list[float], others: list[float]) -> float:
    """Median over the rounds of one case's seconds by another's in the same round."""
    return statistics.median(a / b for a, b in zip(seconds, others))


def wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class Breakdown:
    """Seconds within each of several parts, without those of other ones that run inside it.

    Attributes:
        seconds: by name; what is in no part is under "rest". A part that is not called has 0.
    """

    def __init__(self, parts: Mapping[str, Sequence[nn.Module]], device: torch.device):
        """
        Args:
            parts: the modules of each, by name.
            device: what they compute on. Modules that would run beside each other on a GPU run one
                after the other, since it is waited for before each.
        """
        self.parts = parts
        self.device = device
        self.seconds = {name: 0.0 for name in (*parts, "rest")}
        self._inside: list[str] = []
        self._since = 0.0

    @contextmanager
    def measure(self):
        """Within the context, time is counted."""
        hooks = []
        for name, module in ((n, m) for n, modules in self.parts.items() for m in modules):
            enter = lambda *args, name=name: self._switch(name)  # noqa: E731
            hooks.append(module.register_forward_pre_hook(enter))
            hooks.append(module.register_forward_hook(lambda *args: self._switch(None)))
        self._since, self._inside = time.perf_counter(), ["rest"]
        try:
            yield self.seconds
        finally:
            self._switch(None)
            for hook in hooks:
                hook.remove()

    def _switch(self, entered: str | None) -> None:
        """Count the time so far, and go into a module, or out of the innermost one."""
        wait_for(self.device)
        now = time.perf_counter()
        self.seconds[self._inside[-1]] += now - self._since
        self._since = now
        if entered is None:
            self._inside.pop()
        else:
            self._inside.append(entered)
