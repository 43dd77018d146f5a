"""Options that several subcommands have."""

import argparse


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
        help="only from this local time on: 2024-05-31, 2024-05-31T18:30, or seconds since 1970",
    )
    group.add_argument("--to", dest="end", metavar="TIME", help="only up to this time")
    group.add_argument(
        "--min-score", type=float, default=0.0, help="only detections of at least this score"
    )


def read_filters(args: argparse.Namespace):
    """:class:`Filters` of :func:`add_filter_arguments`'s options.

    Raises:
        UserError: if a time is none, or the last one is before the first.
    """
    from ..errors import UserError
    from ..index import Filters
    from ..inference.files import parse_time

    start, end = (None if t is None else parse_time(t) for t in (args.start, args.end))
    if start is not None and end is not None and end < start:
        raise UserError(f"--to {args.end} is before --from {args.start}; swap them")
    return Filters(tuple(args.camera), start, end, args.min_score)
