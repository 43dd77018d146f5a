"""Label who is who in your own recordings: the machine proposes, you say same or different.

  person-search label VIDEOS --project DIR    detect and track everybody, then open the page
  person-search label --project DIR           go on with labelling
  person-search label --project DIR --export  write the data set that a network is trained on

A recording is a video, or the pictures of one folder. The first run detects and tracks everybody
with a ready network; run again with further recordings, it adds those. It can be stopped with
Ctrl-C, or killed, at any time; the same command goes on from there, and every decision is kept.
Exit status: 0 if all recordings could be read, 1 if some could not, or only in part, or if one has
changed since it was added (they are listed), 2 for a mistake in the command or if no file could be
read, 130 after Ctrl-C.
"""

import argparse
import logging
import os

from fully_decoupled_ps.ready import DEFAULT_NETWORK
from fully_decoupled_ps.utils.arguments import number

from ..errors import UserError
from ..index import find_info
from ..index.records import IndexInfo
from .common import (
    MAX_FPS,
    MIN_FPS,
    add_model_arguments,
    add_naming_arguments,
    add_page_arguments,
    add_precision_argument,
    add_work_arguments,
)
from .label_export import add_export_arguments, check_export_arguments, export
from .telling import nothing_read, tell_assumed, tell_unread

HELP = "label who is who in your own recordings, to train a network for them"

logger = logging.getLogger(__name__)

DEFAULT_FPS = 5.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "paths",
        nargs="*",
        metavar="RECORDING",
        help="video, picture, or folder of such (recursive), to be added to the project",
    )
    parser.add_argument(
        "--project", required=True, metavar="DIR", help="folder of the project; made if it is new"
    )
    parser.add_argument("--no-page", action="store_true", help="only add the recordings")
    parser.add_argument(
        "--recall",
        type=number(0.5, 0.999),
        default=0.95,
        metavar="R",
        help="the page counts the decisions that are left until R of the pairs of tracklets of one "
        "person are found (default: 0.95)",
    )
    add_model_arguments(
        parser, "the one that the project was made with; for a new one " + DEFAULT_NETWORK
    )
    add_precision_argument(parser)
    parser.add_argument(
        "--fps",
        type=number(MIN_FPS, MAX_FPS),
        help="frames per second taken from a video; the same for all of a project (default "
        f"{DEFAULT_FPS:g})",
    )
    parser.add_argument(
        "--picture-fps",
        type=number(MIN_FPS, MAX_FPS),
        metavar="N",
        help="the pictures of a folder are N a second, in the order of their names (else their "
        "times are those of --time-pattern)",
    )
    add_naming_arguments(parser)
    parser.add_argument(
        "--overlap",
        nargs=2,
        action="append",
        default=[],
        metavar="CAMERA",
        help="these two cameras see the same place, so that somebody can be before both at once; "
        "may be repeated, and is remembered",
    )
    add_work_arguments(parser)
    add_export_arguments(parser)
    add_page_arguments(parser)


def run(args: argparse.Namespace) -> int:
    check_export_arguments(args)
    has_page = not (args.export or args.no_page)
    if has_page:
        from ..label.web.serving import check_page

        check_page(args.host, args.port)  # before detection, which takes hours
    if args.paths:
        status = _add(args)
        if status > 1:
            return status
    else:
        status = 0
        _check_no_paths(args)
        _set_overlaps(args)
    if args.export:
        return max(status, export(args))
    if has_page:
        from ..label.web.serving import serve_labelling

        serve_labelling(
            args.project,
            args.host,
            args.port,
            browser=args.open,
            names=args.name,
            target_recall=args.recall,
        )
    return status


def _add(args: argparse.Namespace) -> int:
    """Add the recordings; returns the exit status."""
    from ..label.building import INDEX_FOLDER, add_recordings, locked_project
    from ..label.recordings import find_recordings
    from ..label.tracking import check_library
    from ..media.files import PathReader
    from ..media.finding import find_files
    from ..media.times import parse_time
    from ..network import check_precision, choose_network, choose_precision, load_network

    check_library()
    start = None if args.start is None else parse_time(args.start)
    reader = PathReader(args.camera_pattern, args.time_pattern, start)
    found = find_files(args.paths)
    files = _without_own(found.files, args.project)
    if not files:
        raise nothing_read(found.problems or {"": f"{args.paths[0]}: only files of the project"})
    recordings = find_recordings(files, reader, args.picture_fps)
    with locked_project(args.project, args.fps) as project:
        remember_overlaps(project, args.overlap, {r.camera for r in recordings})
        index = os.path.join(args.project, INDEX_FOLDER)
        own_index = find_info(index)
        known = None if args.model else _network_of(project.info()) or own_index
        precision = choose_precision(args.precision, own_index)
        chosen = choose_network(args.model, args.weights, known)
        network = load_network(*chosen, args.device, args.models_dir, precision)
        check_precision(args.precision, network.precision)
        report = add_recordings(
            project,
            recordings,
            network,
            reader,
            args.fps or DEFAULT_FPS,
            batch_size=args.batch_size,
            num_workers=args.workers,
        )
        return _tell(report, found, recordings, project)


def _network_of(info) -> IndexInfo | None:
    """Of a project, as :func:`choose_network` takes it."""
    return info and IndexInfo(info.fingerprint, info.dim, info.model, info.weights)


def _without_own(files: list, project: str) -> list:
    """Files without those in the project's folder, such as an export."""
    own = os.path.join(os.path.realpath(project), "")
    kept = [file for file in files if not os.path.realpath(file.path).startswith(own)]
    if len(kept) < len(files):
        logger.info("%d files of the project itself are passed over", len(files) - len(kept))
    return kept


def remember_overlaps(project, pairs: list[list[str]], new_cameras: set[str]) -> None:
    """Add pairs of cameras to those of the project.

    Raises:
        UserError: if there is no such camera.
    """
    if not pairs:
        return
    cameras = sorted({recording.camera for recording in project.recordings()} | new_cameras)
    for a, b in pairs:
        for camera in (a, b):
            if camera not in cameras:
                raise UserError(
                    f"--overlap {a} {b}: there is no camera {camera}; the cameras are "
                    + ", ".join(cameras)
                )
        if a == b:
            raise UserError(f"--overlap {a} {b}: name two different cameras")
    project.set_overlaps(project.overlaps() | {frozenset(pair) for pair in pairs})


def _check_no_paths(args: argparse.Namespace) -> None:
    """Raise a UserError for an option that says something of recordings where none is named."""
    for name in ("fps", "picture_fps", "camera_pattern", "time_pattern", "start"):
        if getattr(args, name) is not None:
            raise UserError(
                f"--{name.replace('_', '-')} {getattr(args, name)}: it is about recordings, and "
                "none is named; name those that it is about, also if the project has them already"
            )


def _set_overlaps(args: argparse.Namespace) -> None:
    """Check that the project is there, and note what is said of its cameras."""
    from ..label.store import open_project

    open_project(args.project).close()
    if args.overlap:
        from ..label.building import locked_project
        from ..label.relations import update_relations

        with locked_project(args.project) as project:
            remember_overlaps(project, args.overlap, set())
            update_relations(project)


def _tell(report, found, recordings, project) -> int:
    """Log what was done; returns the exit status."""
    indexing = report.indexing
    if indexing.stopped_by:
        logger.info("Stopped; the same command goes on from here")
        return 128 + indexing.stopped_by
    logger.info(
        "%d recordings added, %d unchanged; project %s: %d recordings, %d frames, %d tracklets",
        *(len(report.added), report.unchanged, project.path.parent),
        *(len(project.recordings()), len(project.frames()), len(project.tracklets())),
    )
    if found.passed_over:
        logger.info("passed over: %s", found.passed_over_text())
    if indexing.other_names:
        logger.info(
            "%d links were passed over: the project has their files by another name",
            len(indexing.other_names),
        )
    tell_assumed(indexing)
    for recording in recordings:
        if recording.assumed and recording.path in report.added:
            logger.warning("%s: %s", recording.path, recording.assumed)
    for path, reason in report.changed.items():
        logger.warning("%s is kept as it was when it was added (%s)", path, reason)
    for path, what in report.updated.items():
        logger.info("%s: %s", path, what)
    for path, other in report.copies.items():
        logger.warning(
            "%s is left out: it has the frames of %s, and everybody in them would be two people",
            *(path, other),
        )
    unreadable = {**found.problems, **indexing.unreadable, **report.failed}
    anything = report.added or report.unchanged or report.changed or report.updated
    is_all_read = tell_unread(
        unreadable, indexing.incomplete, anything or indexing.incomplete or indexing.other_names
    )
    return 0 if is_all_read and not report.changed else 1
