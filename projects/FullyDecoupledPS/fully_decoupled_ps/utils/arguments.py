"""Types of command-line options: numbers that are checked before any work begins."""

import argparse
import math
import sys
from collections.abc import Callable

# The largest that SQLite, Milvus and NumPy take.
MAX_WHOLE = 2**63 - 1
MAX_SEED = 2**32 - 1


def whole_number(least: int, most: int | None = None) -> Callable[[str], int]:
    """The ``type`` of an option that is a whole number from ``least`` to ``most``.

    >>> whole_number(1)("12")
    12
    """
    return _parser(int, "whole number", least, most, MAX_WHOLE)


def number(least: float, most: float | None = None) -> Callable[[str], float]:
    """The ``type`` of an option that is a number from ``least`` to ``most``, never nan or inf.

    >>> number(0, 1)("0.5")
    0.5
    """
    return _parser(float, "number", least, most, sys.float_info.max)


def _parser(read: Callable, kind: str, least, most, largest) -> Callable:
    allowed = f"of {least} or more" if most is None else f"from {least} to {most}"

    def parse(text: str):
        try:
            value = read(text)
        except ValueError:
            value = math.nan
        # nan is in no range
        if not least <= value <= (largest if most is None else most):
            raise argparse.ArgumentTypeError(f"{text!r} is not a {kind} {allowed}")
        return value

    return parse
