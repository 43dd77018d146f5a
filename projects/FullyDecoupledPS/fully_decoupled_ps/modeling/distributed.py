"""The rows of all processes as one batch, so that what is computed from them is the same in all."""

import torch
from detectron2.layers import NaiveSyncBatchNorm
from detectron2.utils import comm
from torch import distributed as dist
from torch import nn


def gather_rows(rows: torch.Tensor, counts: list[int]) -> torch.Tensor:
    """Concatenate the rows of all processes, in the order of the ranks.

    It is meant for a loss that every process computes from all rows. There each process needs the
    gradient of its own rows only, so the others' are constants, and no gradient is communicated.
    DistributedDataParallel then takes the mean over the processes, although together they have one
    loss: gradients of the own rows are multiplied by the number of processes, so that the mean is
    the gradient that one process with all rows would have.

    Args:
        rows: (N, ...), N free to differ between processes, 0 included; one dtype in all of them.
        counts: N of each process, in the order of the ranks.

    Returns:
        Tensor: (sum of all N, ...); ``rows`` itself where there is one process.
    """
    if len(counts) == 1:
        return rows
    # all_gather wants equal shapes: pad to the longest, then cut
    padded = rows.new_zeros(max(counts), *rows.shape[1:])
    padded[: len(rows)] = rows.detach()
    gathered = [torch.empty_like(padded) for _ in counts]
    dist.all_gather(gathered, padded)
    parts = [part[:count] for part, count in zip(gathered, counts, strict=True)]
    if rows.requires_grad:
        own = rows.view_as(rows)  # a node of its own, so that other uses of the rows see no factor
        own.register_hook(lambda gradient: gradient * len(counts))
        parts[comm.get_rank()] = own
    return torch.cat(parts)


def has_synchronized_norm(module: nn.Module) -> bool:
    """Whether the processes wait for each other in a module's norms while it trains."""
    kinds = (nn.SyncBatchNorm, NaiveSyncBatchNorm)
    return any(isinstance(m, kinds) for m in module.modules())
