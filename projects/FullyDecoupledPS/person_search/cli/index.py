"""Index pictures and videos: detect the persons in them, and keep a feature of each.

  person-search index PHOTOS --index DIR                      nothing to train: a ready network
  person-search index VIDEOS --index DIR --model output/reid  a network that you have trained

Run again with the same --index, it reads only files that are new or have changed. It can be
stopped with Ctrl-C, or killed, at any time; the next run goes on from there. Exit status: 0 if all
files could be read, 1 if some could not, or only in part, or if some of the index can't be reached
(they are listed), 2 for a mistake in the command or if no file could be read, 130 after Ctrl-C.
"""

import argparse
import logging
import os
from collections import Counter

from fully_decoupled_ps.ready import DEFAULT_NETWORK
from fully_decoupled_ps.utils.arguments import number

from ..index import IndexInfo, find_info, open_index, read_tombstones
from .common import (
    MAX_FPS,
    MIN_FPS,
    add_index_argument,
    add_model_arguments,
    add_naming_arguments,
    add_precision_argument,
    add_work_arguments,
)
from .telling import list_reasons, nothing_read, tell_assumed, tell_unread

HELP = "make or extend an index of the persons in pictures and videos"

logger = logging.getLogger(__name__)

# Of a run of at least so many seconds, the share of waiting that is worth a word.
MIN_SECONDS, MAX_WAITING_SHARE = 60.0, 0.1
# Most reasons to list why files can't be reached; there is one per folder.
MAX_REASONS = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "paths", nargs="+", metavar="PATH", help="picture, video, or folder of such (recursive)"
    )
    add_index_argument(parser)
    add_model_arguments(parser, "the one that made the index; for a new index " + DEFAULT_NETWORK)
    add_precision_argument(parser)
    parser.add_argument(
        "--fps",
        type=number(MIN_FPS, MAX_FPS),
        default=1.0,
        help="frames per second taken from a video (default 1)",
    )
    parser.add_argument(
        "--score-thresh",
        type=number(0, 1),
        help="leave out detections of a lower score (default: the network's "
        "TEST.SEARCH.SCORE_THRESH, which is 0.5 for the ready ones)",
    )
    add_naming_arguments(parser)
    parser.add_argument(
        "--prune",
        action="store_true",
        help="remove files that are gone from the folders named; those that can't be reached, and "
        "those of a folder that is suddenly empty, are reported and kept",
    )
    parser.add_argument(
        "--forgotten-from",
        metavar="INDEX",
        help="keep out who was forgotten from another index, such as one of another model",
    )
    parser.add_argument(
        "--shard",
        default="1/1",
        metavar="i/n",
        help="only the i-th of n parts of the files; run each part in a process, or on a machine, "
        "of its own, with the same --index",
    )
    add_work_arguments(parser)


def run(args: argparse.Namespace) -> int:
    from ..media.files import PathReader
    from ..media.finding import find_files
    from ..media.times import parse_time
    from ..network import check_precision, choose_network, choose_precision, load_network
    from ..search.forgetting import take_over_tombstones
    from ..search.indexing import index_files
    from ..search.plan import IndexingOptions, parse_shard

    shard, num_shards = parse_shard(args.shard)
    start = None if args.start is None else parse_time(args.start)
    reader = PathReader(args.camera_pattern, args.time_pattern, start)
    forgotten = read_tombstones(args.forgotten_from) if args.forgotten_from else []
    found = find_files(args.paths)
    for file in found.files:  # before the network is loaded: a pattern that does not fit
        reader.camera(file)
        if args.time_pattern:
            reader.time(file)
    if not found.files:
        raise nothing_read(found.problems)
    known = find_info(args.index)
    precision = choose_precision(args.precision, known)
    chosen = choose_network(args.model, args.weights, None if args.model else known)
    network = load_network(*chosen, args.device, args.models_dir, precision)
    check_precision(args.precision, network.precision)
    info = IndexInfo(
        *(network.fingerprint, network.dim, network.location, network.weights, num_shards),
        precision=network.precision,
    )
    options = IndexingOptions(
        score_thresh=network.score_thresh if args.score_thresh is None else args.score_thresh,
        fps=args.fps,
        batch_size=args.batch_size,
        num_workers=args.workers,
        shard=shard,
        prune=args.prune,
    )
    folders = [path for path in args.paths if os.path.isdir(path)]
    with open_index(args.index, create=info) as index:
        take_over_tombstones(index, forgotten)
        report = index_files(index, network, found.files, folders, reader, options)
        return _tell(report, found, index)


def _tell(report, found, index) -> int:
    """Log what was done; returns the exit status."""
    counts = index.counts()
    logger.info(
        "%d files read (%d frames, %d persons), %d unchanged, %d removed; "
        "index %s: %d files, %d frames, %d persons",
        *(report.added, report.frames, report.persons, report.unchanged, report.pruned),
        *(index.location, *counts),
    )
    if report.frames:
        logger.info("%s", _speed(report))
    if report.left_out:
        logger.info(
            "%d persons were left out who were forgotten (person-search forget --list)",
            report.left_out,
        )
    if found.passed_over:
        logger.info("passed over: %s", found.passed_over_text())
    kept = "they are kept, and --prune removes them"
    for paths, done, why in (
        (
            sorted(report.other_names),
            "links were passed over",
            "the index has their files by another name",
        ),
        (
            report.superseded,
            "links were removed from the index",
            "it has their files by their real path now",
        ),
        (report.gone, "files of the index are gone from the disk", kept),
        (report.litter, "files of the index are in folders that are passed over now", kept),
    ):
        if paths:
            logger.info("%d %s, %s for example: %s", len(paths), done, paths[0], why)
    tell_assumed(report)
    if report.unreachable:
        _tell_unreachable(report.unreachable, index)
    if report.stopped_by:
        logger.info("Stopped; the same command goes on from here")
        return 128 + report.stopped_by
    # whether any of the files that the command named was read
    anything = report.added or report.unchanged or report.incomplete or report.other_names
    is_all_read = tell_unread({**found.problems, **report.unreadable}, report.incomplete, anything)
    return 0 if is_all_read and not report.unreachable else 1


def _speed(report) -> str:
    """Frames a second, and what the network did meanwhile."""
    seconds = max(report.seconds, 1e-9)
    text = (
        f"{report.frames / seconds:.2g} frames/s; the network computed "
        f"{report.busy_seconds / seconds:.0%} of {seconds:.0f} s"
    )
    if report.waiting_seconds > MAX_WAITING_SHARE * seconds and seconds > MIN_SECONDS:
        text += ", and waited for files: more --workers may help, up to the number of cores"
    return text


def _tell_unreachable(unreachable: dict[str, str], index) -> None:
    logger.warning("%d file(s) of the index can't be reached and are kept:", len(unreachable))
    reasons = Counter(unreachable.values()).most_common()
    list_reasons(f"{count}: {reason}" for reason, count in reasons[:MAX_REASONS])
    if len(reasons) > MAX_REASONS:
        logger.warning("  and %d more such reasons", len(reasons) - MAX_REASONS)
    logger.warning(
        "If they are gone for good: person-search forget --index %s --frame FILE_OR_FOLDER",
        index.location,
    )
