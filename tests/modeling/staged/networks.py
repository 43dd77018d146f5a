"""Small networks of torchvision's two families, registered as anybody's."""

import pytest
import timm
from torchvision.models.convnext import CNBlockConfig, ConvNeXt
from torchvision.models.swin_transformer import SwinTransformer

from fully_decoupled_ps.modeling import STAGED_NETWORK_REGISTRY
from fully_decoupled_ps.modeling.staged.torchvision_networks import (
    take_convnext_apart,
    take_swin_apart,
)

CHANNELS = (16, 24, 32, 48)
BLOCKS = (2, 2, 3, 2)


def convnext(blocks=BLOCKS):
    channels = (*CHANNELS, None)
    settings = [CNBlockConfig(*channels[i : i + 2], number) for i, number in enumerate(blocks)]
    # a scale as after training, so that blocks matter
    return ConvNeXt(settings, stochastic_depth_prob=0.1, layer_scale=0.5, num_classes=3)


def swin():
    return SwinTransformer(
        patch_size=[4, 4],
        embed_dim=16,
        depths=[2, 1, 1, 2],
        num_heads=[1, 2, 2, 4],
        window_size=[3, 3],
        num_classes=3,
    )


@STAGED_NETWORK_REGISTRY.register()
def NarrowConvNeXt(cfg, variant):
    return take_convnext_apart(convnext())


@STAGED_NETWORK_REGISTRY.register()
def NarrowSwin(cfg, variant):
    return take_swin_apart(swin())


# Options of a config, whatever its detector, for such a network in f_d and f_r.
def staged(name="NarrowConvNeXt"):
    return (
        *("MODEL.STAGED.NAME", name, "MODEL.REID.SIDE_NET.NAME", "StagedSideNet"),
        *("MODEL.FCOS.BOTTOM_UP", "build_staged_backbone", "MODEL.BACKBONE.FREEZE_AT", 2),
        *("MODEL.RETINANET.SCORE_THRESH_TEST", 0.0, "MODEL.FCOS.SCORE_THRESH_TEST", 0.0),
        *("MODEL.RETINANET.NUM_CONVS", 1, "MODEL.FCOS.NUM_CONVS", 1, "MODEL.FPN.OUT_CHANNELS", 64),
    )


# Config of Detectron2's detectors -> their builder on a staged network.
BUILDERS = {
    "Base-FasterRCNN.yaml": "build_staged_backbone",
    "prw/faster_rcnn_fpn_R50.yaml": "build_staged_fpn_backbone",
    "Base-RetinaNet.yaml": "build_retinanet_staged_fpn_backbone",
    "Base-FCOS.yaml": "build_fcos_resnet_fpn_backbone",
}


def of_timm(name, prefix=""):
    """A parameter of a test; timm's smallest networks are younger than its oldest release here."""
    skip = pytest.mark.skipif(not timm.is_model(name), reason=f"this timm has no {name}")
    return pytest.param(f"{prefix}{name}", marks=skip)
