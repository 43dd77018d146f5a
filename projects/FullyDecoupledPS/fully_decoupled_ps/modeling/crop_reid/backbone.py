"""A classification network of a library, without its classifier."""

import torch
from detectron2.config import configurable
from torch import nn

from ...errors import UserError
from .crop_network import CropNetwork


class BackboneNetwork(CropNetwork):
    """A network of a library as it is; subclasses say of which, and build it from a config."""

    @configurable
    def __init__(self, *, body: nn.Module, feature_dim: int, left_out: str):
        """
        Args:
            body: (N, 3, h, w) -> (N, D); its parameters have the published names.
            feature_dim, left_out: as in :class:`CropNetwork`.
        """
        super().__init__()
        self.body = body
        self.feature_dim = feature_dim
        self.left_out = left_out

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        """(N, 3, h, w) -> (N, D)."""
        return self.body(crops)

    def rename_published(self, state: dict) -> dict:
        own = self.body.state_dict()
        return {f"body.{name}" if name in own else name: value for name, value in state.items()}


def probe_feature_dim(body: nn.Module, cfg) -> int:
    """D, found by a run for one crop of ``MODEL.CROP_REID.SIZE``.

    Raises:
        UserError: if the network does not take crops of that size, or gives no vector.
    """
    name, (height, width) = cfg.MODEL.CROP_REID.NAME, cfg.MODEL.CROP_REID.SIZE
    body.eval()
    try:
        with torch.no_grad():
            features = body(torch.zeros(1, 3, height, width))
    except (RuntimeError, AssertionError, ValueError) as error:
        raise UserError(
            f"{name} does not take crops of MODEL.CROP_REID.SIZE ({height}, {width}): "
            f"{' '.join(str(error).split())}; set the size that it was trained for"
        ) from error
    if features.ndim != 2:
        raise UserError(
            f"{name} gives an output of shape {tuple(features.shape)} for one crop, where (1, D) "
            "is expected; take a network that ends in a vector"
        )
    body.train()
    return features.shape[1]
