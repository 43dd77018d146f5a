"""Options that several subcommands have."""

import argparse

from fully_decoupled_ps.utils.arguments import number, whole_number

from ..index import Filters
from ..search.filters import make_filters

# Frames per second: from one in 11 days to what the fastest cameras record.
MIN_FPS, MAX_FPS = 1e-6, 1000
MAX_WORKERS = 1000
DEFAULT_PORT = 7860


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


def add_precision_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--precision",
        default="",
        choices=("auto", "float32", "bfloat16", "float16"),
        help="what the network computes in; queries are computed alike later (default: that of "
        "the index; for a new one auto, the fastest that the processor or GPU has instructions "
        "for)",
    )


def add_models_dir_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--models-dir",
        default="",
        metavar="DIR",
        help="where the files of ready networks are, or are downloaded to (default: the "
        "environment variable PERSON_SEARCH_MODELS, else person-search/models in "
        "$XDG_CACHE_HOME or ~/.cache)",
    )


def add_naming_arguments(parser: argparse.ArgumentParser) -> None:
    """What a file's path, or the user, says of its camera and time."""
    parser.add_argument(
        "--camera-pattern",
        metavar="REGEX",
        help=r"searched in a file's path; its group (?P<camera>...) is the camera, such as "
        r"'(?P<camera>c\d+)s' for c1s1_000151.jpg (default: the name of the file's folder)",
    )
    parser.add_argument(
        "--time-pattern",
        metavar="REGEX",
        help="searched in a file's path; groups year, month, day, hour, minute, second are local "
        "time, or a group seconds counts from --start (default: of a video the creation time in "
        "it, or the last change less its duration; of a picture the last change)",
    )
    parser.add_argument(
        "--start",
        metavar="TIME",
        help="time of each file's first frame, or what the group seconds counts from, as "
        "2024-05-31 or 2024-05-31T18:30",
    )


def add_work_arguments(parser: argparse.ArgumentParser) -> None:
    """How much is done at once."""
    parser.add_argument(
        "--batch-size",
        type=whole_number(1),
        default=4,
        help="frames that the network runs on at once",
    )
    parser.add_argument(
        "--workers",
        type=whole_number(0, MAX_WORKERS),
        default=2,
        help="processes that read files (default 2)",
    )


def add_page_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("page")
    group.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to serve at (default 127.0.0.1: this machine alone); there is no login",
    )
    group.add_argument(
        "--name",
        action="append",
        default=[],
        help="host name in the browser's address where it is another, such as a proxy's; may be "
        "given several times",
    )
    group.add_argument(
        "--port",
        type=whole_number(0, 65535),
        default=DEFAULT_PORT,
        help=f"default {DEFAULT_PORT}; 0: any that is free",
    )
    group.add_argument("--open", action="store_true", help="open a browser")


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
