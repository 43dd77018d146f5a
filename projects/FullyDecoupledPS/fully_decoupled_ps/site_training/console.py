"""What a training prints: its own lines and warnings. The rest of the log goes into its files."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

from detectron2.utils import logger as detectron2_logger

PACKAGE = __package__.partition(".")[0]
LOGGERS = ("detectron2", "fvcore", PACKAGE)
# Whose lines that are no warnings are shown as well.
SHOWN = (__package__, f"{PACKAGE}.utils.progress")


class _ToConsole(logging.Handler):
    """Hands on what is to be shown to the handlers of whoever runs the command."""

    def __init__(self, least: int):
        super().__init__()
        self._least = least

    def emit(self, record: logging.LogRecord) -> None:
        # an exception that ends a training is told by the command, and its traceback in the file
        if record.exc_info or not self._is_shown(record):
            return
        for handler in logging.getLogger().handlers:
            handler.handle(record)

    def _is_shown(self, record: logging.LogRecord) -> bool:
        if record.name.startswith("fvcore") and "\n" in record.getMessage():
            return False  # lists of tensors; what does not fit and should is refused
        is_shown = record.levelno >= logging.WARNING or record.name.startswith(SHOWN)
        return is_shown and record.levelno >= self._least


@contextmanager
def quiet_console(least: int = logging.INFO) -> Iterator[None]:
    """Within the block the log of this package and of Detectron2 is shown in part.

    Args:
        least: level of what is shown.

    Each stage begins log files of its own; afterwards, all loggers are what they were before.
    """
    loggers = [logging.getLogger(name) for name in LOGGERS]
    before = [(logger.level, logger.propagate, list(logger.handlers)) for logger in loggers]
    console = _ToConsole(least)
    for logger in loggers:
        logger.propagate = False
        logger.handlers = [console]
        logger.setLevel(logging.INFO)
    _forget_log_files()
    try:
        with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
            yield
    finally:
        for logger, (level, propagate, handlers) in zip(loggers, before, strict=True):
            for handler in set(logger.handlers) - {console, *handlers}:
                handler.close()
            logger.handlers, logger.propagate = handlers, propagate
            logger.setLevel(level)
        _forget_log_files()


def _forget_log_files() -> None:
    """Detectron2 remembers whose log files it has begun, and would not begin them again."""
    detectron2_logger.setup_logger.cache_clear()
    detectron2_logger._cached_log_stream.cache_clear()
