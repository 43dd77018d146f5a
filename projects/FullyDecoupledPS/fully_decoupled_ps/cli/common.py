"""Options that several subcommands have."""

import argparse
import math
import sys
from typing import Callable

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


def add_index_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--index",
        required=True,
        metavar="DIR",
        help="folder of the index, or milvus://HOST:PORT/COLLECTION",
    )


def add_model_arguments(parser: argparse.ArgumentParser, *, required: bool) -> None:
    default = "" if required else " (default: the one that made the index)"
    parser.add_argument(
        "--model",
        required=required,
        metavar="RUN",
        help="output folder of a training run, such as output/demo/reid; "
        f"or a config yaml, together with --weights{default}",
    )
    parser.add_argument("--weights", default="", metavar="FILE", help="checkpoint to use instead")
    parser.add_argument("--device", default="", help="cpu or cuda (default: a GPU if there is one)")


def add_filter_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("filters")
    group.add_argument(
        "--camera", action="append", default=[], help="only this camera; may be repeated"
    )
    group.add_argument(
        "--from",
        dest="start",
        metavar="TIME",
        help="only from this time on: a year, a month (2024-05), a day (2024-05-31 or 20240531) or "
        "a time (2024-05-31T18:30), local, or with +02:00 or Z; or seconds since 1970, 1700000000s",
    )
    group.add_argument(
        "--to",
        dest="end",
        metavar="TIME",
        help="only up to this time, all of it included: of 2024-05-31 the whole day",
    )
    group.add_argument(
        "--min-score",
        type=number(0, 1),
        default=0.0,
        help="only detections of at least this score, 0 to 1",
    )


def read_filters(args: argparse.Namespace):
    """:class:`Filters` of :func:`add_filter_arguments`'s options.

    Raises:
        UserError: if a time is none, the last one is before the first, or the score out of range.
    """
    from ..inference.filters import make_filters

    return make_filters(args.camera, args.start, args.end, args.min_score)
