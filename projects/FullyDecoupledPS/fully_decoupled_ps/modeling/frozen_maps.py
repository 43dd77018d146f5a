"""The maps of a frozen detector that f_r learns from: made with less work, or only once."""

import copy
import itertools
from collections.abc import Mapping
from functools import partial
from typing import Protocol

import torch
from torch import nn

from ..errors import UserError
from .feature_tap import TAPPED_LAYERS, FeatureTap
from .fold_norms import fold_norms, fold_norms_that_follow, is_constant

LAYERS = ("stem", *TAPPED_LAYERS)


class MapKeeper(Protocol):
    """What keeps maps for the next time."""

    dtype: torch.dtype  # that maps are kept in

    def save(self, name: str, maps: Mapping[str, torch.Tensor]) -> None:
        """
        Args:
            name: of the image, and of what was done to it.
            maps: by layer, (C, H, W) each, of ``dtype``.
        """


class FrozenMaps:
    """A frozen detector's maps of conv2, conv3 and conv4, and nothing of the detector beyond.

    They come from a copy of these layers in which batch norms are folded into the convolutions. It
    takes the memory of their weights once more, and is no part of the network's state.

    Attributes:
        keeper: keeps the maps of every image, if it is set. Then they are those of the image as it
            is alone, rounded to the keeper's type: what an image gives does not depend on what
            stands beside it in a batch, nor on whether its maps were kept before.
    """

    def __init__(self, detector: nn.Module, tap: FeatureTap):
        self._detector = detector
        self._tap = tap
        self.keeper: MapKeeper | None = None
        self._folded = tap
        self._folded_of: list[tuple[int, int]] = []  # what the copy was made of

    @torch.no_grad()
    def __call__(self, batched_inputs: list[dict]) -> dict[str, torch.Tensor]:
        """
        Args:
            batched_inputs: B dicts with ``image``; or, if there is a keeper, with ``maps``, and
                those without them may have ``maps_name``, by which theirs are kept.

        Returns:
            dict: as :meth:`FeatureTap.run`. Smaller images are padded to the largest of them, or if
            there is a keeper, their maps are, with zeros.
        """
        if self.keeper is None:
            return self._run(batched_inputs)
        found = [x["maps"] if "maps" in x else self._of_one(x) for x in batched_inputs]
        return {layer: self._batch([maps[layer] for maps in found]) for layer in found[0]}

    def _of_one(self, x: dict) -> dict[str, torch.Tensor]:
        """(C, H, W) maps of one image, which are kept if they have a name."""
        maps = {layer: self._rounded(x[0]) for layer, x in self._run([x]).items()}
        if "maps_name" in x:
            self.keeper.save(x["maps_name"], maps)
        return maps

    def _run(self, batched_inputs: list[dict]) -> dict[str, torch.Tensor]:
        images = self._detector.preprocess_image(batched_inputs).tensor
        layers = [getattr(self._tap.bottom_up, name) for name in LAYERS]
        tensors = itertools.chain(*(x for m in layers for x in (m.parameters(), m.buffers())))
        # weights that were loaded, or moved to another device, since the last time
        state = [(x.data_ptr(), x._version) for x in tensors]
        if state != self._folded_of:
            self._folded, self._folded_of = fold_tap(self._tap, images), state
        return self._folded.run(images)

    def _rounded(self, x: torch.Tensor) -> torch.Tensor:
        rounded = x.to(self.keeper.dtype)
        if not rounded.isfinite().all() and x.isfinite().all():
            raise UserError(
                f"MODEL.REID.MAP_CACHE.DTYPE: a map reaches {x.abs().max().item():.3g}, more than "
                "float16 holds; say float32"
            )
        return rounded

    def _batch(self, maps: list[torch.Tensor]) -> torch.Tensor:
        """B maps (C, H, W) as one (B, C, H', W') in float32, H' and W' the largest."""
        height, width = (max(x.shape[d] for x in maps) for d in (1, 2))
        device = self._detector.device
        batch = torch.zeros(len(maps), maps[0].shape[0], height, width, device=device)
        for place, x in zip(batch, maps):
            place[:, : x.shape[1], : x.shape[2]] = x
        return batch


def fold_tap(tap: FeatureTap, images: torch.Tensor) -> FeatureTap:
    """One that runs a copy with folded norms; ``tap`` itself, if there is nothing to fold.

    Args:
        images: (B, 3, H, W), to see which norm follows which convolution of a library's network.
    """
    copies = nn.ModuleDict({name: getattr(tap.bottom_up, name) for name in LAYERS})
    if not any(map(is_constant, copies.modules())):
        return tap
    folded = copy.copy(tap)
    folded.bottom_up = copies = copy.deepcopy(copies)
    fold_norms(copies)
    if any(map(is_constant, copies.modules())):
        fold_norms_that_follow(copies, partial(folded.run, images[:1]))
    return folded
