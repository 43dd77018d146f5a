"""Stopping a training whose loss is no longer finite, with one line that says where it was."""

import math

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
