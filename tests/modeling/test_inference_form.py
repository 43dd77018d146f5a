"""A network prepared for inference computes what it computed before."""

import copy

import pytest
import torch
from detectron2.layers import FrozenBatchNorm2d, ROIAlign
from detectron2.modeling import build_model
from torch import nn

from fully_decoupled_ps.modeling.inference_form import prepare_for_inference
from fully_decoupled_ps.modeling.threaded_roi_align import ThreadedROIAlign
from tests.modeling.crop_networks import CROPS
from tests.modeling.staged.networks import BUILDERS, of_timm, staged
from tests.testing import CONFIGS, TINY, image, make_config, make_model, randomize_norms

SMALL = (
    *("MODEL.RETINANET.SCORE_THRESH_TEST", 0.0, "MODEL.FCOS.SCORE_THRESH_TEST", 0.0),
    *("MODEL.FPN.OUT_CHANNELS", 64, "MODEL.RETINANET.NUM_CONVS", 1, "MODEL.FCOS.NUM_CONVS", 1),
    *("MODEL.COAT.DIM", 32, "MODEL.COAT.NUM_HEADS", 2, "MODEL.REID.NUM_IDS", 4),
)
NETWORKS = [
    *("faster_rcnn_R50", "faster_rcnn_R50_osnet", "faster_rcnn_fpn_R50", "cascade_rcnn_fpn_R50"),
    *("retinanet_R50", "fcos_R50", "coat_R50", "coupled_faster_rcnn_R50", "two_step_R50"),
]
NORMS = (nn.BatchNorm2d, FrozenBatchNorm2d)


def build(name, opts=()):
    torch.manual_seed(0)
    stage = "joint" if name.startswith("coupled") else "reid"
    cfg = make_config(
        stage, [*TINY, *CROPS, *SMALL, *opts], config_file=CONFIGS / "prw" / f"{name}.yaml"
    )
    model = build_model(cfg)
    randomize_norms(model)
    return cfg, model.eval()


@pytest.mark.parametrize("name", NETWORKS)
def test_the_outputs_are_those_of_the_network_as_it_was(name):
    cfg, model = build(name)
    inputs = [{"image": image(seed), "queries": [[4, 6, 30, 60]]} for seed in (1, 2)]
    expected = copy.deepcopy(model)(inputs)
    prepare_for_inference(model, cfg)
    assert not any(isinstance(m, NORMS) for m in model.modules())
    for x, y in zip(expected, model(inputs)):
        for key in ("pred_boxes", "scores", "reid_features"):
            before, after = (getattr(z["instances"], key) for z in (x, y))
            if key == "pred_boxes":
                before, after = before.tensor, after.tensor
            assert torch.allclose(before, after, atol=1e-2 if key == "pred_boxes" else 1e-5), key
        assert torch.allclose(x["query_features"], y["query_features"], atol=1e-5)
        assert len(x["instances"]) > 0


@pytest.mark.parametrize("name, poolers", [("faster_rcnn_R50", 2), ("faster_rcnn_fpn_R50", 5)])
def test_all_threads_pool(name, poolers):
    cfg, model = build(name)
    prepare_for_inference(model, cfg)
    kinds = [type(m) for m in model.modules() if isinstance(m, ROIAlign)]
    assert kinds == [ThreadedROIAlign] * poolers


@pytest.mark.parametrize("said, is_last", [(None, True), (True, True), (False, False)])
def test_the_memory_format(said, is_last):
    cfg, model = build("faster_rcnn_R50", ("MODEL.CHANNELS_LAST", said))
    prepare_for_inference(model, cfg)
    weight = model.reid.side_net.res3[0].conv2.weight
    assert weight.is_contiguous(memory_format=torch.channels_last) is is_last
    assert weight.is_contiguous() is not is_last


def test_a_prepared_network_refuses_to_be_trained():
    cfg, model = build("faster_rcnn_R50")
    prepare_for_inference(model, cfg)
    with pytest.raises(RuntimeError, match="norms are folded"):
        model.train()
    model.eval()


def test_a_detector_alone_is_prepared_as_well():
    model = make_model("detection")
    expected = model([{"image": image(1)}])[0]["instances"]
    prepare_for_inference(model, make_config("detection", TINY))
    found = model([{"image": image(1)}])[0]["instances"]
    assert not any(isinstance(m, NORMS) for m in model.modules())
    assert torch.allclose(found.scores, expected.scores, atol=1e-5)


@pytest.mark.parametrize("name", [of_timm("resnet18", "timm:"), "NarrowConvNeXt"])
@pytest.mark.parametrize("detector", [*BUILDERS, "prw/coat_R50.yaml"])
def test_a_library_s_network_s_norms_are_folded_too(detector, name):
    """Whatever the detector, and whether or not the network has norms that can be."""
    torch.manual_seed(0)
    opts = [*TINY, *SMALL, *staged(name)]
    opts += ["MODEL.BACKBONE.NAME", BUILDERS.get(detector, "build_staged_backbone")]
    cfg = make_config("reid", opts, config_file=CONFIGS / detector)
    model = build_model(cfg)
    randomize_norms(model)
    if head := getattr(model.detector, "head", None):
        nn.init.ones_(head.bbox_pred.bias)  # boxes that are not empty, whatever the weights
    model.eval()
    inputs = [{"image": image(1, (65, 99)), "queries": [[4, 6, 30, 60]]}]
    (expected,) = copy.deepcopy(model)(inputs)
    prepare_for_inference(model, cfg)
    parts = (model.feature_tap.bottom_up, model.reid)
    assert not any(isinstance(m, NORMS) for part in parts for m in part.modules())
    (found,) = model(inputs)
    assert torch.allclose(found["query_features"], expected["query_features"], atol=1e-5)
    assert len(found["instances"]) == len(expected["instances"]) > 0
    assert torch.allclose(
        found["instances"].reid_features, expected["instances"].reid_features, atol=1e-5
    )
