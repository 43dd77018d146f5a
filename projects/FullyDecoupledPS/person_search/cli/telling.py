"""What commands that read many files say of those that could not be read, or not as they are."""

import logging
from collections.abc import Iterable

from ..errors import UserError

logger = logging.getLogger(__name__)


def nothing_read(unreadable: dict[str, str]) -> UserError:
    """The error of a command that read nothing; all but the first reason are logged."""
    first, *others = unreadable.values()
    list_reasons(others)
    return UserError(first + (f" (and {len(others)} more, listed above)" if others else ""))


def list_reasons(reasons: Iterable[str]) -> None:
    for reason in reasons:
        logger.warning("  %s", reason)


def tell_assumed(report) -> None:
    """Log what an :class:`~..search.indexing.IndexingReport` took for granted."""
    for source, count in report.starts.most_common():
        logger.info(
            "%d video(s) are taken to start at %s; --start or --time-pattern set it", count, source
        )
    for note, paths in report.notes.items():
        logger.warning("%d file(s) each of which %s; first: %s", len(paths), note, paths[0])


def tell_unread(unreadable: dict[str, str], incomplete: dict[str, str], anything) -> bool:
    """Log which files could not be read; returns whether all could.

    Args:
        unreadable: path -> why.
        incomplete: videos that were read in part; path -> why.
        anything: whether any file could be read.

    Raises:
        UserError: if none could.
    """
    if unreadable:
        if not anything:
            raise nothing_read(unreadable)
        logger.warning("%d file(s) could not be read:", len(unreadable))
        list_reasons(unreadable.values())
    if incomplete:
        logger.warning(
            "%d video(s) could be read in part; what could be is in the index, and the same "
            "command tries again:",
            len(incomplete),
        )
        list_reasons(incomplete.values())
    return not (unreadable or incomplete)
