"""The C4 detector's RoI head for basic blocks and for tall RoIs."""

import pytest
import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling.roi_heads import Res5ROIHeads
from detectron2.structures import Boxes

from fully_decoupled_ps.modeling import PersonRes5ROIHeads
from tests.testing import FRUGAL, make_config


def build(kind, depth, channels, opts=()):
    cfg = make_config("detection", [*FRUGAL, "MODEL.RESNETS.DEPTH", depth, *opts])
    return kind(cfg, {"res4": ShapeSpec(channels=channels, stride=16)}).eval()


@pytest.mark.parametrize("depth, channels, dim", [(18, 256, 512), (34, 256, 512), (50, 1024, 2048)])
def test_conv5_fits_the_resnet(depth, channels, dim):
    width = ["MODEL.RESNETS.RES2_OUT_CHANNELS", channels // 4]
    heads = build(PersonRes5ROIHeads, depth, channels, width)
    pooled = heads.res5(torch.zeros(3, channels, 16, 8))
    assert pooled.shape == (3, dim, 8, 4)
    logits, _ = heads.box_predictor(pooled.mean(dim=(2, 3)))
    assert logits.shape == (3, 2)  # person and background


def test_rois_are_tall_by_default():
    heads = build(PersonRes5ROIHeads, 18, 256, ["MODEL.DETECTOR.POOLER_RESOLUTION", (16, 8)])
    boxes = Boxes([[0.0, 0.0, 64.0, 128.0]])
    assert heads.pooler([torch.zeros(1, 256, 8, 8)], [boxes]).shape == (1, 256, 16, 8)


def test_nothing_else_differs_from_detectron2_s_own():
    opts = ["MODEL.DETECTOR.POOLER_RESOLUTION", (6, 6), "MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION", 6]
    ours = build(PersonRes5ROIHeads, 50, 1024, opts)
    own = build(Res5ROIHeads, 50, 1024, opts)
    own.load_state_dict(ours.state_dict())
    maps = torch.rand(1, 1024, 4, 4)
    boxes = Boxes([[0.0, 3.0, 40.0, 60.0]])
    pooled = [heads._shared_roi_transform([maps], [boxes]) for heads in (ours, own)]
    assert torch.equal(*pooled)
