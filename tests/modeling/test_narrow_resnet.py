"""The narrow ResNet: its shapes and width, its frozen input layer, and what the tap sees of it."""

import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY
from torch import nn

from fully_decoupled_ps.modeling.feature_tap import FeatureTap
from tests.testing import CONFIGS, make_config


def build(*opts):
    config_file = CONFIGS / "synthetic" / "faster_rcnn_R18.yaml"
    cfg = make_config("detection", opts, config_file=config_file)
    return BACKBONE_REGISTRY.get(cfg.MODEL.BACKBONE.NAME)(cfg, ShapeSpec(channels=3))


def test_maps_are_half_as_wide_as_usual():
    backbone = build("MODEL.RESNETS.OUT_FEATURES", ["res2", "res3", "res4", "res5"])
    maps = backbone(torch.rand(2, 3, 64, 96))
    assert {name: tuple(x.shape[1:]) for name, x in maps.items()} == {
        "res2": (32, 16, 24),
        "res3": (64, 8, 12),
        "res4": (128, 4, 6),
        "res5": (256, 2, 3),
    }
    shapes = FeatureTap(nn.Sequential(backbone)).shapes()
    assert {name: (shape.channels, shape.stride) for name, shape in shapes.items()} == {
        "res2": (32, 4),
        "res3": (64, 8),
        "res4": (128, 16),
    }


def test_parameters_by_hand_and_the_frozen_input_layer():
    backbone = build("MODEL.RESNETS.NORM", "BN", "MODEL.BACKBONE.FREEZE_AT", 2)
    frozen = 49 * 3 * 32 + 4 * 9 * 32 * 32  # convolutions of the stem and of res2
    assert sum(p.numel() for p in backbone.parameters() if not p.requires_grad) == frozen
    res3 = 9 * 32 * 64 + 32 * 64 + 3 * 9 * 64 * 64 + 5 * 2 * 64  # and five norms
    trained = sum(p.numel() for p in backbone.res3.parameters() if p.requires_grad)
    assert trained == res3
