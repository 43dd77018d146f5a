"""Losses of the re-id embeddings: OIM (with its focal form), triplet, prototypes."""

import math

import torch
import torch.nn.functional as F
from detectron2.config import configurable
from detectron2.utils.registry import Registry
from torch import nn

from ..errors import UserError
from .identity_memory import IdentityMemory

REID_LOSS_REGISTRY = Registry("REID_LOSS")
REID_LOSS_REGISTRY.__doc__ = """
Losses of re-id embeddings, named by ``MODEL.REID.LOSSES``. A registered object is called with the
config and returns a module, which is called with

* embeddings: (N, D) float32, L2-normalised, N >= 1;
* person_ids: (N,) int64, -1 for unlabelled persons, else in [0, L);
* memory: the :class:`IdentityMemory`, not yet updated with this batch;

and returns a dict of scalar losses by name. Without a labelled person a loss is zero, and still
connected to the embeddings.

With several processes N counts the persons of all of them: each process is given all embeddings and
computes the same losses, so that a loss needs no communication. The embeddings that are not its own
are constants in a process.
"""


def build_reid_losses(cfg) -> nn.ModuleList:
    """The losses that ``MODEL.REID.LOSSES`` names, in that order."""
    return nn.ModuleList([REID_LOSS_REGISTRY.get(name)(cfg) for name in cfg.MODEL.REID.LOSSES])


@REID_LOSS_REGISTRY.register()
class OIMLoss(nn.Module):
    """Online instance matching: a softmax over the lookup table and the queue (section III-C).

    With p_i the softmax of the similarities over all rows of both, divided by the temperature, and
    y the person's id, the loss is the mean of ``-(1 - p_y)^gamma log p_y`` over labelled persons;
    gamma = 0 is the paper's.
    """

    @configurable
    def __init__(self, *, temperature: float, focal_gamma: float = 0.0):
        """
        Args:
            temperature: above 0.
            focal_gamma: 0 or more.

        Raises:
            UserError: if a value is out of its range.
        """
        super().__init__()
        _check("OIM.TEMPERATURE", temperature, may_be_zero=False)
        _check("OIM.FOCAL_GAMMA", focal_gamma)
        self.temperature = temperature
        self.focal_gamma = focal_gamma

    @classmethod
    def from_config(cls, cfg):
        oim = cfg.MODEL.REID.OIM
        return {"temperature": oim.TEMPERATURE, "focal_gamma": oim.FOCAL_GAMMA}

    def forward(self, embeddings, person_ids, memory: IdentityMemory):
        labelled = person_ids >= 0
        if not labelled.any():
            return {"loss_oim": embeddings.sum() * 0.0}
        logits = memory.similarities(embeddings[labelled]) / self.temperature
        loss = F.cross_entropy(logits, person_ids[labelled], reduction="none")
        if self.focal_gamma:
            loss = (1 - torch.exp(-loss)) ** self.focal_gamma * loss
        return {"loss_oim": loss.mean()}


@REID_LOSS_REGISTRY.register()
class TripletLoss(nn.Module):
    """Triplet loss with the hardest positive and negative (section III-C).

    Anchors are the batch's labelled embeddings; candidates are those and the rows of the lookup
    table that have been seen. The distance is Euclidean. Per anchor the loss is ``max(0, d_p - d_n
    + margin)``, averaged over the anchors that have both a positive and a negative.
    """

    @configurable
    def __init__(self, *, margin: float, weight: float = 1.0):
        """
        Args:
            margin: 0 or more.
            weight: of the loss, 0 or more.

        Raises:
            UserError: if a value is out of its range.
        """
        super().__init__()
        _check("TRIPLET.MARGIN", margin)
        _check("TRIPLET.WEIGHT", weight)
        self.margin = margin
        self.weight = weight

    @classmethod
    def from_config(cls, cfg):
        triplet, two_streams = cfg.MODEL.REID.TRIPLET, cfg.MODEL.REID.ORD
        share = two_streams.TRIPLET_SHARE if two_streams.ENABLED else 1.0
        _check("TRIPLET.WEIGHT", triplet.WEIGHT)  # before two negative ones make a positive one
        _check("ORD.TRIPLET_SHARE", share)
        return {"margin": triplet.MARGIN, "weight": triplet.WEIGHT * share}

    def forward(self, embeddings, person_ids, memory: IdentityMemory):
        labelled = person_ids >= 0
        if not labelled.any():
            return {"loss_triplet": embeddings.sum() * 0.0}
        anchors, ids = embeddings[labelled].float(), person_ids[labelled]
        seen = memory.seen().nonzero().squeeze(1)
        candidates = torch.cat([anchors, memory.lookup_table[seen]])
        same = ids[:, None] == torch.cat([ids, seen])[None, :]
        # Of unit vectors; the small bound keeps the square root's gradient finite at 0.
        squared = 2 - 2 * anchors @ candidates.t()
        distance = squared.clamp(min=1e-12).sqrt()

        itself = torch.zeros_like(same)
        itself[:, : len(ids)].fill_diagonal_(True)
        positive = distance.masked_fill(~same | itself, float("-inf")).amax(dim=1)
        negative = distance.masked_fill(same, float("inf")).amin(dim=1)
        usable = positive.isfinite() & negative.isfinite()
        if not usable.any():
            return {"loss_triplet": embeddings.sum() * 0.0}
        loss = F.relu(positive[usable] - negative[usable] + self.margin).mean()
        return {"loss_triplet": self.weight * loss}


class PrototypeLoss(nn.Module):
    """A softmax over the lookup table of another stream, whose rows are the identities' prototypes.

    The cross-entropy of the similarities, divided by the temperature, averaged over labelled
    persons. As in OIM, an identity that has not been seen yet has a row of zeros.
    """

    def __init__(self, *, temperature: float, weight: float = 1.0):
        """
        Raises:
            UserError: if a value is out of its range.
        """
        super().__init__()
        _check("ORD.TEMPERATURE", temperature, may_be_zero=False)
        _check("ORD.WEIGHT", weight)
        self.temperature = temperature
        self.weight = weight

    def forward(self, embeddings, person_ids, memory: IdentityMemory) -> torch.Tensor:
        """As the losses of ``REID_LOSS_REGISTRY``, of which it is none, but returns a scalar."""
        labelled = person_ids >= 0
        if not labelled.any():
            return embeddings.sum() * 0.0
        # a copy, so that the memory's update does not invalidate the autograd graph
        prototypes = memory.lookup_table.clone()
        logits = embeddings[labelled].float() @ prototypes.t() / self.temperature
        return self.weight * F.cross_entropy(logits, person_ids[labelled])


def _check(key: str, value: float, *, may_be_zero: bool = True) -> None:
    """Refuse a value of ``MODEL.REID`` that turns a loss round, or makes it infinite or nan."""
    if not 0 <= value < math.inf or value == 0 and not may_be_zero:
        least = "0 or more" if may_be_zero else "above 0"
        raise UserError(f"MODEL.REID.{key} is {value}; it must be {least}, and finite")
