"""The network. Importing this package registers its parts with Detectron2."""

from .box_noise import BoxNoise
from .coat import CoatPersonSearch, CoatReIDBranch
from .coat_cascade import CoatROIHeads
from .coupled import CoupledPersonSearch
from .crop_reid import CROP_REID_REGISTRY, CropNetwork, build_crop_network
from .crop_reid.branch import CropReIDBranch
from .fcos import FCOS, build_fcos_resnet_fpn_backbone
from .identity_memory import IdentityMemory
from .ignore_regions import (
    DenseDetectorWithRegions,
    PersonRetinaNet,
    PersonRPN,
    PersonStandardROIHeads,
    ROIHeadsWithRegions,
    RPNWithRegions,
    check_regions_are_known,
)
from .light_detector import check_light_detector
from .losses import REID_LOSS_REGISTRY, OIMLoss, TripletLoss, build_reid_losses
from .meta_arch import FullyDecoupledPersonSearch, ReIDBranch
from .narrow_resnet import build_narrow_resnet_backbone
from .occluded_attention import OccludedAttention
from .osnet import OSNetSideNet
from .reid_head import ReIDHead
from .reid_side_net import REID_SIDE_NET_REGISTRY, ResNetSideNet, SideNet, build_reid_side_net
from .res5_head import PersonRes5ROIHeads
from .side_fusion import SIDE_FUSION_REGISTRY, AlphaBlendFusion, ConvFusion, NoFusion
from .staged import (
    STAGED_NETWORK_REGISTRY,
    Stage,
    StagedBackbone,
    StagedNetwork,
    StagedSideNet,
    build_staged_network,
)
from .two_step import TwoStepPersonSearch

__all__ = [
    "CROP_REID_REGISTRY",
    "REID_LOSS_REGISTRY",
    "REID_SIDE_NET_REGISTRY",
    "SIDE_FUSION_REGISTRY",
    "STAGED_NETWORK_REGISTRY",
    "AlphaBlendFusion",
    "BoxNoise",
    "CoatPersonSearch",
    "CoatROIHeads",
    "CoatReIDBranch",
    "CropNetwork",
    "CropReIDBranch",
    "ConvFusion",
    "DenseDetectorWithRegions",
    "CoupledPersonSearch",
    "FCOS",
    "FullyDecoupledPersonSearch",
    "IdentityMemory",
    "NoFusion",
    "OIMLoss",
    "OSNetSideNet",
    "OccludedAttention",
    "PersonRPN",
    "PersonRes5ROIHeads",
    "PersonRetinaNet",
    "PersonStandardROIHeads",
    "ROIHeadsWithRegions",
    "RPNWithRegions",
    "ReIDBranch",
    "ReIDHead",
    "ResNetSideNet",
    "SideNet",
    "Stage",
    "StagedBackbone",
    "StagedNetwork",
    "StagedSideNet",
    "TripletLoss",
    "TwoStepPersonSearch",
    "build_crop_network",
    "build_fcos_resnet_fpn_backbone",
    "build_narrow_resnet_backbone",
    "build_reid_losses",
    "build_reid_side_net",
    "build_staged_network",
    "check_light_detector",
    "check_regions_are_known",
]
