"""The memory of OIM: a lookup table of labelled persons and a circular queue of the others."""

import torch
import torch.nn.functional as F
from detectron2.config import configurable
from torch import nn

from ..errors import UserError


class IdentityMemory(nn.Module):
    """Lookup table and circular queue of OIM, as buffers, so that checkpoints hold them.

    Attributes:
        lookup_table: (L, D) one L2-normalised feature per training identity; a row is zero until
            its identity has been seen.
        queue: (Q, D) L2-normalised features of unlabelled persons, the oldest replaced first; a row
            is zero until it has been filled.
        queue_head: () int64, the row of the queue that is replaced next.

    The memory is written by :meth:`update` alone, which takes no part in autograd.
    """

    @configurable
    def __init__(self, *, num_ids: int, queue_size: int, feature_dim: int, momentum: float = 0.5):
        """
        Args:
            num_ids: L, the number of training identities; their ids are 0 to L - 1.
            queue_size: Q, 0 for no queue.
            feature_dim: D.
            momentum: share of the old row in the new one, in [0, 1).

        Raises:
            UserError: if the momentum or the queue's size is out of its range.
        """
        super().__init__()
        if not 0 <= momentum < 1:
            raise UserError(f"OIM.MOMENTUM is {momentum}; it must be in [0, 1)")
        if queue_size < 0:
            raise UserError(f"OIM.QUEUE_SIZE is {queue_size}; it must be 0 (no queue) or more")
        self.momentum = momentum
        self.register_buffer("lookup_table", torch.zeros(num_ids, feature_dim))
        self.register_buffer("queue", torch.zeros(queue_size, feature_dim))
        self.register_buffer("queue_head", torch.zeros((), dtype=torch.int64))

    @classmethod
    def from_config(cls, cfg, feature_dim: int):
        oim = cfg.MODEL.REID.OIM
        return {
            "num_ids": cfg.MODEL.REID.NUM_IDS,
            "queue_size": oim.QUEUE_SIZE,
            "feature_dim": feature_dim,
            "momentum": oim.MOMENTUM,
        }

    @property
    def num_ids(self) -> int:
        return len(self.lookup_table)

    def resize_lookup_table(self, num_ids: int) -> None:
        """Make room, in a memory of no ids, for the table of a checkpoint."""
        self.lookup_table = self.lookup_table.new_zeros(num_ids, self.lookup_table.shape[1])

    def seen(self) -> torch.Tensor:
        """(L,) bool: whether an identity's row has been written yet."""
        return self.lookup_table.ne(0).any(dim=1)

    def occupancy(self) -> dict[str, torch.Tensor]:
        """Scalar shares in [0, 1]: of the table's rows seen, and of the queue's rows filled."""
        rows = {"lookup_seen": self.seen(), "queue_fill": self.queue.ne(0).any(dim=1)}
        return {name: share.float().mean() for name, share in rows.items() if len(share)}

    def similarities(self, embeddings: torch.Tensor) -> torch.Tensor:
        """(N, D) embeddings -> (N, L + Q) cosine similarities to the table and the queue."""
        # The memory is cloned by cat, so that update() does not invalidate the autograd graph.
        return embeddings.float() @ torch.cat([self.lookup_table, self.queue]).t()

    @torch.no_grad()
    def update(self, embeddings: torch.Tensor, person_ids: torch.Tensor) -> None:
        """Write a batch into the memory; call it after the loss.

        With several processes each has a copy of the memory. The copies stay equal if each is given
        the persons of all, in the order of the ranks.

        Args:
            embeddings: (N, D) L2-normalised.
            person_ids: (N,) in [-1, L); -1 is an unlabelled person, which enters the queue.
        """
        embeddings = embeddings.detach().float()
        labelled = person_ids >= 0
        self._update_lookup_table(embeddings[labelled], person_ids[labelled])
        self._enqueue(embeddings[~labelled])

    def _update_lookup_table(self, embeddings: torch.Tensor, person_ids: torch.Tensor) -> None:
        # A row is blended with its persons one after the other, in the batch's order. The k-th
        # person of every identity can be blended at once, which takes as many rounds as the most
        # frequent identity has persons, instead of one round per person.
        same = person_ids[:, None] == person_ids[None, :]
        earlier = same.tril(diagonal=-1).sum(dim=1)
        for k in range(int(earlier.max()) + 1 if len(earlier) else 0):
            ids, new = person_ids[earlier == k], embeddings[earlier == k]
            blend = self.momentum * self.lookup_table[ids] + (1 - self.momentum) * new
            self.lookup_table[ids] = F.normalize(blend)

    def _enqueue(self, embeddings: torch.Tensor) -> None:
        size = len(self.queue)
        if size == 0 or len(embeddings) == 0:
            return
        # Of more persons than rows, the last ones would overwrite the first.
        start = max(len(embeddings) - size, 0)
        positions = torch.arange(start, len(embeddings), device=embeddings.device)
        self.queue[(self.queue_head + positions) % size] = embeddings[start:]
        self.queue_head.copy_((self.queue_head + len(embeddings)) % size)
