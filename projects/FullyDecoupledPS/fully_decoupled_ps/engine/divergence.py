"""Stopping a training whose loss is no longer finite, with one line that says where it was."""

import logging
import re
from collections.abc import Callable

from torch import nn

from ..errors import UserError

_NOT_FINITE = re.compile(r"'(\w+)': (?:np\.float\d+\()?(nan|-?inf)")


class LatestBatch:
    """Remembers the files of the batch that a network was last called with."""

    def __init__(self, model: nn.Module):
        """
        Args:
            model: called with a list of dicts, as Detectron2's meta-architectures are.
        """
        self.files: list[str] = []
        model.register_forward_pre_hook(self._remember)

    def _remember(self, model: nn.Module, inputs: tuple) -> None:
        self.files = [str(x.get("file_name", "an image without a file")) for x in inputs[0]]


def divergence_error(
    error: FloatingPointError, iteration: int, files: list[str], output_dir: str
) -> UserError:
    """What Detectron2's trainer or RPN raises, with the losses and the images named.

    Args:
        error: its text may hold a dict of losses.
        iteration: from 0, as in the log.
        files: of the batch.
        output_dir: where the checkpoints are.
    """
    losses = ", ".join(f"{name} is {value}" for name, value in _NOT_FINITE.findall(str(error)))
    reason = losses or str(error).splitlines()[0].rstrip("!.")
    return UserError(
        f"training stopped at iteration {iteration}: {reason}, on {', '.join(files)}; lower "
        "SOLVER.BASE_LR, or set SOLVER.CLIP_GRADIENTS.ENABLED True, and go on with --resume "
        f"from the last checkpoint in {output_dir}, which is kept"
    )


class NoTracebackOfUserErrors(logging.Filter):
    """Drops what a training loop logs of an exception that the user is told of in one line.

    That is a UserError, or the FloatingPointError that becomes one (:func:`divergence_error`):
    Detectron2's main branch logs it where it is raised, and again where the training ends.
    """

    def __init__(self, is_reported: Callable[[], bool]):
        """
        Args:
            is_reported: whether another process has met an error of the user's; what this one then
                meets, a lost connection, follows from it.
        """
        super().__init__()
        self.is_reported = is_reported

    def filter(self, record: logging.LogRecord) -> bool:
        if not record.exc_info:
            return True
        is_told = isinstance(record.exc_info[1], (UserError, FloatingPointError))
        return not (is_told or self.is_reported())
