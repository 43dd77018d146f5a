"""What is wrong with f_r is told before the detector is trained, not after."""

import pytest
import torch
from detectron2.modeling import build_model

from fully_decoupled_ps import UserError
from fully_decoupled_ps.engine.later_stages import check_reid_beside
from tests.testing import TINY, make_config

ORD = ("MODEL.REID.ORD.ENABLED", True)


def check(*opts):
    cfg = make_config("detection", [*TINY, *opts])
    model = build_model(cfg)
    before = torch.get_rng_state()
    check_reid_beside(model, cfg)
    assert torch.equal(torch.get_rng_state(), before) and model.reid is None


@pytest.mark.parametrize("opts", [(), ORD])
def test_what_can_be_built_is_silent(opts):
    check(*opts)


@pytest.mark.parametrize(
    "opts, said",
    [
        ((*ORD, "MODEL.REID.ORD.CROP_SIZE", (0, 0)), "ORD.CROP_SIZE is"),
        ((*ORD, "MODEL.REID.ORD.WEIGHT", -1.0), "ORD.WEIGHT is -1.0"),
        ((*ORD, "MODEL.REID.ORD.TEMPERATURE", 0.0), "ORD.TEMPERATURE is 0.0"),
        (("MODEL.REID.SIDE_NET.DEPTH", 18), "AlphaBlendFusion needs equal channels"),
        (("MODEL.REID.SIDE_NET.DEPTH", 20), "no ResNet of depth 20"),
        (("MODEL.REID.SIDE_NET.CHECKPOINTING", ("conv3",)), "'conv3' is no stage"),
    ],
)
def test_what_can_t_is_one_line(opts, said):
    with pytest.raises(UserError, match=f"f_r, which follows .*{said}") as error:
        check(*opts)
    assert "\n" not in str(error.value)
