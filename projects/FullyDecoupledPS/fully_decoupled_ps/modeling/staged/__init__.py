"""Classification networks of other families than Detectron2's ResNet, stage by stage."""

from . import timm_network, torchvision_networks  # noqa: F401, registers them
from .backbone import StagedBackbone
from .network import (
    STAGED_NETWORK_REGISTRY,
    Stage,
    StagedNetwork,
    build_staged_network,
    rename_by_prefix,
)
from .side_net import StagedSideNet

__all__ = [
    "STAGED_NETWORK_REGISTRY",
    "Stage",
    "StagedBackbone",
    "StagedNetwork",
    "StagedSideNet",
    "build_staged_network",
    "rename_by_prefix",
]
