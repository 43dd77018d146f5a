"""Stopping a training whose loss is no longer finite, with one line that says where it was."""

import logging
import math
from collections.abc import Callable

import torch
from torch import nn

from ..errors import UserError


class LatestBatch:
    """Remembers the files and the losses of the batch that a network was last called with."""

    def __init__(self, model: nn.Module):
        """
        Args:
            model: called with a list of dicts, as Detectron2's meta-architectures are.
        """
        self.files: list[str] = []
        self.losses: dict[str, torch.Tensor] = {}
        model.register_forward_pre_hook(self._begin)
        model.register_forward_hook(self._end)

    def _begin(self, model: nn.Module, inputs: tuple) -> None:
        self.files = [str(x.get("file_name", "an image without a file")) for x in inputs[0]]
        self.losses = {}

    def _end(self, model: nn.Module, inputs: tuple, outputs) -> None:
        if isinstance(outputs, dict):  # else it was not called in training
            self.losses = {name: loss.detach() for name, loss in outputs.items()}

    def divergence_error(
        self, error: FloatingPointError, iteration: int, output_dir: str
    ) -> UserError:
        """What Detectron2's trainer or RPN raises, with the losses and the images named.

        Args:
            error: its text is given where no loss of this process is to blame.
            iteration: from 0, as in the log.
            output_dir: where the checkpoints are.
        """
        losses = {name: float(loss) for name, loss in self.losses.items()}
        named = [f"{name} is {loss}" for name, loss in losses.items() if not math.isfinite(loss)]
        reason = ", ".join(named) or " ".join(str(error).split()).rstrip("!.")
        return UserError(
            f"training stopped at iteration {iteration}: {reason}, on {', '.join(self.files)}; "
            "lower SOLVER.BASE_LR, or set SOLVER.CLIP_GRADIENTS.ENABLED True, and go on with "
            f"--resume from the last checkpoint in {output_dir}, which is kept"
        )


class NoTracebackOfUserErrors(logging.Filter):
    """Drops what a training loop logs of an exception that the user is told of in one line.

    That is a UserError, or the FloatingPointError that becomes one (:class:`LatestBatch`):
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
