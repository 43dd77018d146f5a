"""Activation checkpointing: a side-net whose blocks are computed again rather than remembered."""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from contextlib import contextmanager, nullcontext
from types import MethodType

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from ..errors import UserError
from .staged.network import Stage

STAGES = ("res3", "res4", "res5")


class CheckpointedSequential(nn.Sequential):
    """A stage that keeps only its blocks' inputs for the backward pass, and runs each block again.

    Names of parameters, outputs, gradients and running statistics are those of the stage that it is
    made of.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self:
            if self.training and torch.is_grad_enabled():
                x = checkpoint(
                    block,
                    x,
                    use_reentrant=False,
                    context_fn=lambda block=block: (nullcontext(), kept_statistics(block)),
                )
            else:
                x = block(x)
        return x


def checkpoint_stages(side_net: nn.Module, names: Sequence[str]) -> None:
    """Make stages of a side-net :class:`CheckpointedSequential`.

    A stage that is no sequence of blocks, as OSNet's conv5 of one layer, or one that runs them in a
    way of its own, stays as it is.

    Args:
        side_net: has ``res3``, ``res4``, ``res5``; changed in place.
        names: of the stages.

    Raises:
        UserError: if a name is unknown.
    """
    check_stage_names("MODEL.REID.SIDE_NET.CHECKPOINTING", names)
    for name in names:
        holder, stage = side_net, getattr(side_net, name)
        if isinstance(stage, Stage):
            holder, name, stage = stage, "blocks", stage.blocks
        if _is_plain(stage):
            blocks = OrderedDict(stage.named_children())  # whose names checkpoints have
            setattr(holder, name, CheckpointedSequential(blocks))


def check_stage_names(key: str, names: Sequence[str]) -> None:
    """
    Args:
        key: of the config, which the names are from.

    Raises:
        UserError: if a name is none of :data:`STAGES`.
    """
    for name in names:
        if name not in STAGES:
            raise UserError(
                f"{key}: {name!r} is no stage of the side-net; stages are {', '.join(STAGES)}"
            )


def _is_plain(stage: nn.Module | None) -> bool:
    return isinstance(stage, nn.Sequential) and type(stage).forward is nn.Sequential.forward


@contextmanager
def checkpointed(stages: Iterable[nn.Module]):
    """Within the context, plain sequences of blocks run as :class:`CheckpointedSequential` does."""
    stages = [stage.blocks if isinstance(stage, Stage) else stage for stage in stages]
    plain = [stage for stage in stages if _is_plain(stage)]
    for stage in plain:
        stage.forward = MethodType(CheckpointedSequential.forward, stage)
    try:
        yield
    finally:
        for stage in plain:
            del stage.forward


@contextmanager
def kept_statistics(module: nn.Module):
    """Within the context, batch norms don't count a batch into their running statistics."""
    norms = [m for m in module.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    kept = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
        norm.num_batches_tracked = norm.num_batches_tracked.clone()  # which counts, and is dropped
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, kept, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, count
