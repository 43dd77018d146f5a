"""Gathering rows of different numbers from all processes."""

import torch
from detectron2.utils import comm
from torch import distributed as dist


def gather_rows(*tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Concatenate each tensor's rows over all processes, in the order of the ranks.

    Args:
        tensors: each of shape (N, ...), N the same for all tensors of one process, and free to
            differ between processes, 0 included. Gradients do not flow through.

    Returns:
        The tensors, of shape (sum of all N, ...); as given where there is one process only.
    """
    world_size = comm.get_world_size()
    if world_size == 1:
        return tensors
    own = tensors[0].new_full((1,), len(tensors[0]), dtype=torch.int64)
    counts = [torch.empty_like(own) for _ in range(world_size)]
    dist.all_gather(counts, own)
    counts = [int(c) for c in counts]
    return tuple(_gather_padded(t, counts) for t in tensors)


def _gather_padded(rows: torch.Tensor, counts: list[int]) -> torch.Tensor:
    # all_gather wants equal shapes: pad to the longest, then cut.
    padded = rows.new_zeros(max(counts), *rows.shape[1:])
    padded[: len(rows)] = rows.detach()
    gathered = [torch.empty_like(padded) for _ in counts]
    dist.all_gather(gathered, padded)
    return torch.cat([g[:n] for g, n in zip(gathered, counts, strict=True)])
