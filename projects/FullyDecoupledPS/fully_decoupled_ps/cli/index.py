"""Index pictures and videos: detect the persons in them, and keep a feature of each.

Run again with the same --index, it reads only files that are new or have changed. It can be
stopped with Ctrl-C, or killed, at any time; the next run goes on from there. Exit status: 0 if all
files could be read, 1 if some could not (they are listed), 2 for a mistake in the command or if no
file could be read, 130 after Ctrl-C.
"""

import argparse
import logging
import os

HELP = "make or extend an index of the persons in pictures and videos"

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from .common import add_index_argument, add_model_arguments

    parser.add_argument(
        "paths", nargs="+", metavar="PATH", help="picture, video, or folder of such (recursive)"
    )
    add_index_argument(parser)
    add_model_arguments(parser, required=True)
    parser.add_argument(
        "--fps", type=float, default=1.0, help="frames a second taken of a video (default 1)"
    )
    parser.add_argument(
        "--score-thresh",
        type=float,
        help="leave out detections of a lower score (default: TEST.SEARCH.SCORE_THRESH)",
    )
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
        "time, or a group seconds counts from --start (default: when the file was last changed)",
    )
    parser.add_argument(
        "--start",
        metavar="TIME",
        help="time of each file's first frame, or what the group seconds counts from",
    )
    parser.add_argument(
        "--prune", action="store_true", help="remove files that are gone from the folders named"
    )
    parser.add_argument(
        "--shard",
        default="1/1",
        metavar="i/n",
        help="only the i-th of n parts of the files; run each part in a process, or on a machine, "
        "of its own, with the same --index",
    )
    parser.add_argument(
        "--batch-size", type=int, default=4, help="frames that the network runs on at once"
    )
    parser.add_argument(
        "--workers", type=int, default=2, help="processes that read files (default 2)"
    )


def run(args: argparse.Namespace) -> int:
    from ..errors import UserError
    from ..index import IndexInfo, open_index
    from ..inference import find_files, load_network
    from ..inference.files import PathReader, parse_time
    from ..inference.indexing import IndexingOptions, index_files, parse_shard

    _check_numbers(args, UserError)
    shard, num_shards = parse_shard(args.shard)
    start = None if args.start is None else parse_time(args.start)
    reader = PathReader(args.camera_pattern, args.time_pattern, start)
    files = find_files(args.paths)
    for file in files:  # before the network is loaded: a pattern that does not fit
        reader.camera(file), reader.time(file)
    network = load_network(args.model, args.weights, args.device)
    info = IndexInfo(
        network.fingerprint, network.dim, network.location, network.weights, num_shards
    )
    thresh = network.score_thresh if args.score_thresh is None else args.score_thresh
    options = IndexingOptions(
        score_thresh=thresh,
        fps=args.fps,
        batch_size=args.batch_size,
        num_workers=args.workers,
        shard=shard,
        prune=args.prune,
    )
    folders = [path for path in args.paths if os.path.isdir(path)]
    with open_index(args.index, create=info) as index:
        report = index_files(index, network, files, folders, reader, options)
        return _tell(report, index)


def _check_numbers(args: argparse.Namespace, error: type[Exception]) -> None:
    for option, value, is_allowed, allowed in (
        ("--fps", args.fps, args.fps > 0, "above 0"),
        ("--batch-size", args.batch_size, args.batch_size >= 1, "1 or more"),
        ("--workers", args.workers, args.workers >= 0, "0 or more"),
    ):
        if not is_allowed:
            raise error(f"{option} {value}: it has to be {allowed}")
    if args.score_thresh is not None and not 0 <= args.score_thresh <= 1:
        raise error(f"--score-thresh {args.score_thresh}: scores are from 0 to 1")


def _tell(report, index) -> int:
    """Log what was done; returns the exit status."""
    from ..errors import UserError

    counts = index.counts()
    logger.info(
        "%d files read (%d frames, %d persons), %d unchanged, %d removed; "
        "index %s: %d files, %d frames, %d persons",
        *(report.added, report.frames, report.persons, report.unchanged, report.pruned),
        *(index.location, *counts),
    )
    for note, paths in report.notes.items():
        logger.warning("%d picture(s) each of which %s; first: %s", len(paths), note, paths[0])
    if report.gone:
        logger.info(
            "%d files of the index are gone from the disk, %s for one; they are kept, and "
            "--prune removes them",
            *(len(report.gone), report.gone[0]),
        )
    if report.stopped_by:
        logger.info("Stopped; the same command goes on from here")
        return 128 + report.stopped_by
    if report.unreadable:
        if not (report.added or report.unchanged):  # the command was of nothing else
            first, *others = report.unreadable.values()
            raise UserError(first + (f" (and {len(others)} more files)" if others else ""))
        logger.warning("%d file(s) could not be read:", len(report.unreadable))
        for reason in report.unreadable.values():
            logger.warning("  %s", reason)
        return 1
    return 0
