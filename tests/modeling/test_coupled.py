"""The coupled models: what they share, how they train, and that both kinds of feature are alike."""

import copy

import pytest
import torch
from detectron2.modeling import build_model
from detectron2.structures import Boxes

from fully_decoupled_ps import UserError
from fully_decoupled_ps.engine.solver import build_optimizer
from fully_decoupled_ps.modeling.reid_head import PersonROIPooler
from tests.testing import CONFIGS, TINY, image, make_config, randomize_norms, training_input

DETECTORS = ["faster_rcnn", "retinanet", "fcos"]
PREDICTION = {
    "faster_rcnn": "roi_heads.box_predictor",
    "retinanet": "head.cls_score",
    "fcos": "head.cls_score",
}


def build(detector, opts=(), stage="joint"):
    opts = [
        *("MODEL.RETINANET.SCORE_THRESH_TEST", 0.0, "MODEL.FCOS.SCORE_THRESH_TEST", 0.0),
        *("MODEL.BACKBONE.FREEZE_AT", 2, "MODEL.REID.NUM_IDS", 4),
        *opts,
    ]
    config_file = CONFIGS / "prw" / f"coupled_{detector}_R50.yaml"
    cfg = make_config(stage, [*TINY, *opts], config_file=config_file)
    model = build_model(cfg)
    randomize_norms(model)
    return model, cfg


@pytest.mark.parametrize("detector", DETECTORS)
def test_both_losses_train_the_one_network(detector):
    model, cfg = build(detector)
    model.train()
    assert not any(name.startswith("reid.head.conv5") for name in model.state_dict())
    own = {name for name, _ in model.reid.named_parameters()}
    assert own == {"head.norm.weight", "head.norm.bias"}

    losses = model([training_input([0, 1, -1], 1), training_input([2, 0], 2)])
    assert all(loss.isfinite() for loss in losses.values())
    reid_loss = losses["loss_oim"] + losses["loss_triplet"]
    shared = model.feature_tap.module[-2 if detector != "faster_rcnn" else -1]
    weight = shared.conv2.weight if detector == "faster_rcnn" else shared.weight
    for loss in (reid_loss, sum(losses.values()) - reid_loss):
        (gradient,) = torch.autograd.grad(loss, [weight], retain_graph=True)
        assert gradient.abs().sum() > 0
    sum(losses.values()).backward()
    trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
    assert all(p.grad is not None and p.grad.isfinite().all() for p in trained.values())
    rates = {group["lr"] for group in build_optimizer(cfg, model).param_groups}
    assert rates == {cfg.SOLVER.BASE_LR}


@pytest.mark.parametrize("detector", DETECTORS)
def test_embeddings_come_from_what_the_predictions_use(detector):
    """The maps (behind RoIAlign and conv5, in Faster R-CNN) are the predictions' own inputs."""
    model, _ = build(detector)
    model.eval()
    inputs, pooled = [], []
    prediction = model.detector.get_submodule(PREDICTION[detector])
    prediction.register_forward_pre_hook(lambda module, args: inputs.append(args[0]))
    hook = model.reid.head.pooling.register_forward_pre_hook(lambda m, args: pooled.append(args[0]))
    with torch.no_grad(), model.feature_tap.record() as maps:
        model.detector([{"image": image(3)}])
    if detector == "faster_rcnn":
        twin = copy.deepcopy(model)
        assert twin.reid.head.conv5 is twin.detector.roi_heads.res5
        proposals = [Boxes(torch.tensor([[4.0, 6.0, 40.0, 60.0]]))]
        heads = model.detector.roi_heads
        with torch.no_grad():
            model.reid(maps, proposals)
            expected = heads._shared_roi_transform(maps, proposals)
        assert torch.equal(pooled[0], expected)
    else:
        assert len(maps) == 5 and all(a is b for a, b in zip(maps, inputs, strict=True))
    hook.remove()


@pytest.mark.parametrize("detector", DETECTORS)
def test_a_query_and_a_detection_of_the_same_box_have_the_same_feature(detector):
    model, _ = build(detector)
    x = {"image": image(3), "height": 128, "width": 192}
    with torch.no_grad():
        found = model.eval()([x])[0]["instances"]
        assert len(found) > 0
        output = model([{**x, "queries": found.pred_boxes.tensor}])[0]
    features = output["query_features"]
    torch.testing.assert_close(features, found.reid_features, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(features.norm(dim=1), torch.ones(len(features)))


@pytest.mark.parametrize("detector", DETECTORS)
def test_images_without_persons_and_without_detections(detector):
    model, _ = build(detector, ["MODEL.ROI_HEADS.SCORE_THRESH_TEST", 1.0])
    losses = model.train()([training_input([]), training_input([-1])])
    losses.update({"nobody": model([training_input([])])["loss_oim"]})
    assert all(loss.isfinite() for loss in losses.values())
    output = model.eval()([{"image": image(3), "queries": torch.zeros(0, 4)}])[0]
    assert output["query_features"].shape == (0, 256)
    assert output["instances"].reid_features.shape == (len(output["instances"]), 256)


def test_wrong_use_is_one_line():
    with pytest.raises(UserError, match="SOLVER.STAGE is 'reid'; CoupledPersonSearch .* joint"):
        build("faster_rcnn", stage="reid")
    with pytest.raises(UserError, match="COUPLED.FEATURES: GeneralizedRCNN has no .*'neck'"):
        build("faster_rcnn", ["MODEL.COUPLED.FEATURES", "neck"])
    with pytest.raises(UserError, match="COUPLED.CONV5: FCOS has no module 'res5'"):
        build("fcos", ["MODEL.COUPLED.CONV5", "res5"])


def test_tall_rois_of_several_maps_are_pooled_each_from_its_level():
    strides = (8, 16, 32)
    maps = [torch.rand(2, 3, 256 // s, 256 // s) for s in strides]
    small, large, middle = [0, 0, 40, 80], [10, 10, 250, 250], [30, 20, 130, 220]
    boxes = [Boxes(torch.tensor([large, small]).float()), Boxes(torch.tensor([middle]).float())]

    def pooler(strides):
        scales = [1 / s for s in strides]
        return PersonROIPooler((4, 2), scales, sampling_ratio=0, pooler_type="ROIAlignV2")

    pooled = pooler(strides)(maps, boxes)
    assert pooled.shape == (3, 3, 4, 2)
    # the areas' roots are 240, 57 and 141 pixels; 224 and more belong to stride 16 (p4)
    for row, image_index, level in ((0, 0, 1), (1, 0, 0), (2, 1, 0)):
        one = pooler(strides[level : level + 1])([maps[level]], boxes)
        assert torch.equal(pooled[row], one[row]), image_index
