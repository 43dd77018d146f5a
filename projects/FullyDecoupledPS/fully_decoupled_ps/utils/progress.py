"""How far a long loop is, in the log."""

import logging
from collections.abc import Iterable
from typing import TypeVar

from tqdm import tqdm

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_LINES = 5.0
Item = TypeVar("Item")


class _Progress(tqdm):
    monitor_interval = 0  # no thread of its own, since loaders fork


class _Log:
    """What tqdm writes its line to."""

    def write(self, text: str) -> None:
        if text.strip():
            logger.info(text.strip())

    def flush(self) -> None:
        pass


def with_progress(items: Iterable[Item], what: str, total: int | None = None) -> Iterable[Item]:
    """The items, with a line in the log every few seconds; silent when it is quick.

    Args:
        what: is done with them.
        total: how many items there are, where ``len`` does not tell.
    """
    return _Progress(
        items,
        what,
        total,
        leave=False,
        file=_Log(),
        mininterval=SECONDS_BETWEEN_LINES,
        miniters=1,
        delay=SECONDS_BETWEEN_LINES,
        position=0,
        bar_format="{desc}: {n_fmt} of {total_fmt}, {remaining_s:.0f} s left",
    )
