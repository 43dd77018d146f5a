"""What a re-id network for crops has to be."""

import torch
from detectron2.utils.registry import Registry
from torch import nn

from ...errors import UserError

CROP_REID_REGISTRY = Registry("CROP_REID")
CROP_REID_REGISTRY.__doc__ = """
Re-id networks for crops, named by ``MODEL.CROP_REID.NAME``. A registered object is called with the
config and what follows the first colon in the name ("" if there is none), and returns a
:class:`CropNetwork`.
"""


def register_as(name: str):
    """Register a class in CROP_REID_REGISTRY by another name than its own."""

    def register(network_class):
        CROP_REID_REGISTRY._do_register(name, network_class)
        return network_class

    return register


class CropNetwork(nn.Module):
    """From crops of persons to their features.

    Attributes:
        feature_dim: D, length of a feature.
        name: ``MODEL.CROP_REID.NAME``, by which messages call it.
        interpolation: "bilinear" or "bicubic": how its training resized crops.
        left_out: regular expression; the names, in published files, of what inference does without,
            such as a classifier. Anything else that has no place in the network is an error.
        is_file: whether the network is the file of ``MODEL.CROP_REID.WEIGHTS`` itself, so that
            there are no weights to load into it, nor any to train.
    """

    feature_dim: int
    name = ""
    interpolation = "bilinear"
    left_out = r"classifier\..*"
    is_file = False

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        """
        Args:
            crops: (N, 3, h, w) float32, N > 0, less the mean and divided by the deviation.

        Returns:
            Tensor: (N, D) features, as the publishing toolbox gives them at inference; not
            L2-normalised.
        """
        raise NotImplementedError

    def rename_published(self, state: dict) -> dict:
        """From the parameter names of a published file to this network's own.

        Names of what this network does not have, such as a classifier's, stay as they are.
        Prefixes of the whole file ("module.") are off already.
        """
        return state


def build_crop_network(cfg) -> CropNetwork:
    """The network that ``MODEL.CROP_REID.NAME`` names.

    Raises:
        UserError: if no such network is registered, or it can't be built.
    """
    name, _, variant = cfg.MODEL.CROP_REID.NAME.partition(":")
    if name not in CROP_REID_REGISTRY:
        known = ", ".join(sorted(key for key, _ in CROP_REID_REGISTRY))
        raise UserError(
            f"MODEL.CROP_REID.NAME is {cfg.MODEL.CROP_REID.NAME!r}; allowed are {known}"
        )
    network = CROP_REID_REGISTRY.get(name)(cfg, variant)
    network.name = cfg.MODEL.CROP_REID.NAME
    return network
