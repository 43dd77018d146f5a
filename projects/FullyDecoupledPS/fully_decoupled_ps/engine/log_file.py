"""The log file of a run: begun when its config is known to be good; a failing write stops the run.

Detectron2's ``setup_logger`` begins it. What that and Python's handlers do about a write that fails
is to print a traceback to stderr for every record, and go on.
"""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from logging.handlers import MemoryHandler

from detectron2.utils import comm
from detectron2.utils.logger import setup_logger

from ..utils.files import give_up_writing, tell_unwritable
from ..utils.names import take_all_names

PACKAGE = __package__.partition(".")[0]
NEVER = logging.CRITICAL + 1


@contextmanager
def log_begun_after(folder: str) -> Iterator[None]:
    """Begin the log in a folder at the end of the block, with what the package logs in it.

    If the block raises, neither folder nor file is made. The console shows all at once.
    """
    take_all_names(sys.stdout)
    logger = logging.getLogger(PACKAGE)
    held_back = MemoryHandler(capacity=sys.maxsize, flushLevel=NEVER)
    handlers = [held_back]
    if comm.is_main_process() and not logger.handlers:
        console = logging.StreamHandler(sys.stdout)
        form = "[%(asctime)s %(name)s]: %(message)s"
        console.setFormatter(logging.Formatter(form, datefmt="%m/%d %H:%M:%S"))
        handlers.append(console)
    level, propagate = logger.level, logger.propagate
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    for handler in handlers:
        logger.addHandler(handler)
    try:
        yield
    finally:
        for handler in handlers:
            logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate
    for handler in _begin(folder):
        for record in held_back.buffer:
            handler.handle(record)


def _begin(folder: str) -> list[logging.Handler]:
    """Begin the log of this package, Detectron2 and fvcore; returns the handlers of ours."""
    rank = comm.get_rank()
    with tell_unwritable(folder):
        # the calls of default_setup, which therefore add nothing when it repeats them
        libraries = [
            setup_logger(folder, distributed_rank=rank, name="fvcore"),
            setup_logger(folder, distributed_rank=rank),
        ]
        ours = setup_logger(folder, distributed_rank=rank, name=PACKAGE)
    for logger in (*libraries, ours):
        for handler in _file_handlers(logger, folder):
            _stop_on_failure(handler)
            take_all_names(handler.stream)
    return _file_handlers(ours, folder)


def _file_handlers(logger: logging.Logger, folder: str) -> list[logging.Handler]:
    return [
        handler
        for handler in logger.handlers
        if os.path.dirname(str(getattr(getattr(handler, "stream", None), "name", ""))) == folder
    ]


def _stop_on_failure(handler: logging.StreamHandler) -> None:
    # not by a subclass: Detectron2's setup_logger makes the handler, and takes none
    tell = handler.handleError

    def handle_error(record):
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            return tell(record)
        handler.setLevel(NEVER)
        give_up_writing(handler.stream.name, handler.stream.close, error)

    handler.handleError = handle_error
