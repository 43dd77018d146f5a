"""Options that several subcommands have."""

import argparse

from fully_decoupled_ps.utils.arguments import number

from ..index import Filters
from ..search.filters import make_filters


def add_index_argument(parser, required: bool = True) -> None:
    """``parser``: or a group of its arguments."""
    parser.add_argument(
        "--index",
        required=required,
        metavar="DIR",
        help="folder of the index, or milvus://HOST:PORT/COLLECTION",
    )


def add_model_arguments(
    parser: argparse.ArgumentParser, default: str = "the one that made the index"
) -> None:
    parser.add_argument(
        "--model",
        default="",
        metavar="NETWORK",
        help="name of a ready network (person-search models lists them); or the output folder of "
        "a training run, such as output/demo/reid; or a config yaml, together with --weights "
        f"unless it names the weights of both its parts (default: {default})",
    )
    add_models_dir_argument(parser)
    parser.add_argument(
        "--weights", default="", metavar="FILE", help="checkpoint in place of the network's own"
    )
    parser.add_argument("--device", default="", help="cpu or cuda (default: a GPU if there is one)")


def add_models_dir_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--models-dir",
        default="",
        metavar="DIR",
        help="where the files of ready networks are, or are downloaded to (default: the "
        "environment variable PERSON_SEARCH_MODELS, else person-search/models in "
        "$XDG_CACHE_HOME or ~/.cache)",
    )


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


def read_filters(args: argparse.Namespace) -> Filters:
    """Those of :func:`add_filter_arguments`'s options."""
    return make_filters(args.camera, args.start, args.end, args.min_score)
