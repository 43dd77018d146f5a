"""``person-search forget --project``: remove persons from a project that is labelled."""

import argparse
import logging
import os

from ..errors import NoIndexError, UserError
from ..index import open_index
from .forget import list_tombstones, tell_problems

logger = logging.getLogger(__name__)


def forget_of_project(args: argparse.Namespace) -> int:
    """Returns the exit status."""
    from ..label.building import INDEX_FOLDER
    from ..label.forgetting import forget_persons
    from ..label.store import open_project

    if args.frame or args.images or args.undo:
        raise UserError(
            "--project takes --person, the number of a person on the page, or --list; --frame, "
            "--query and --undo are for --index: what a project has forgotten is gone for good"
        )
    if args.list == bool(args.person):
        raise UserError("--project takes --person, the number of a person on the page, or --list")
    if args.list:
        open_project(args.project).close()
        try:
            with open_index(os.path.join(args.project, INDEX_FOLDER)) as index:
                return list_tombstones(index)
        except NoIndexError:
            return 0
    return _tell(forget_persons(args.project, args.person), args.project)


def _tell(done, project: str) -> int:
    """Log what is gone and what is not; returns the exit status."""
    logger.info(
        "%d tracklet(s), %d decision(s) and %d detection(s) have been removed from project %s; "
        "%d frame(s) are neither shown nor exported any more",
        *(len(done.tracklets), done.decisions, done.detections, project, done.frames),
    )
    if done.also:
        logger.warning(
            "Person(s) %s had a part of one of these tracklets, which is gone with the rest of it",
            ", ".join(map(str, done.also)),
        )
    for folder in done.exports:
        logger.info(
            "The export in %s showed them and was removed; --export makes a new one", folder
        )
    for folder in done.other_exports:
        logger.warning("The export in %s shows them: delete it, and what was trained on it", folder)
    return max(tell_problems(done.problems), int(bool(done.other_exports)))
