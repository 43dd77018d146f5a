"""RetinaNet and FCOS as f_d: built as the paper's tables count them, and FCOS without persons."""

import pytest
import torch
from detectron2.modeling import build_model

from tests.testing import CONFIGS, FRUGAL, RESNET18, image, make_config, training_input


def build(stage, name, opts=()):
    config_file = CONFIGS / "prw" / f"{name}.yaml"
    return build_model(make_config(stage, [*FRUGAL, *opts], config_file=config_file))


def millions(module):
    return sum(p.numel() for p in module.parameters()) / 1e6


@pytest.mark.parametrize(
    "name, published",
    [
        ("retinanet_R50", 59.6),
        ("retinanet_R34", 50.9),
        ("fcos_R50", 55.3),
        ("fcos_R34", 50.2),
    ],
)
def test_parameters_are_the_papers(name, published):
    model = build("reid", name)
    assert round(millions(model), 1) == published
    assert round(millions(model.reid), 3) == (23.287 if "R50" in name else 21.054)


def test_extra_levels_come_from_conv5_in_retinanet_and_from_p5_in_fcos():
    for name, level, channels in (("retinanet_R50", "res5", 2048), ("fcos_R50", "p5", 256)):
        top_block = build("detection", name).detector.backbone.top_block
        assert (top_block.in_feature, top_block.p6.in_channels) == (level, channels)


@pytest.mark.parametrize("name", ["retinanet_R50", "fcos_R50"])
def test_a_number_of_detections_below_zero_keeps_all(name):
    node = f"MODEL.{name.partition('_')[0].upper()}"
    opts = [*RESNET18, f"{node}.SCORE_THRESH_TEST", 0.0, f"{node}.TOPK_CANDIDATES_TEST", 40]
    found = []
    for number in (-1, 1000, 3):
        torch.manual_seed(0)
        detector = build("detection", name, [*opts, "TEST.DETECTIONS_PER_IMAGE", number]).detector
        torch.nn.init.ones_(detector.head.bbox_pred.bias)  # no box is empty
        (output,) = detector.eval()([{"image": image(1, (64, 96))}])
        found.append(len(output["instances"]))
    assert found[0] == found[1] > found[2] == 3


def test_fcos_takes_its_settings_from_the_config():
    settings = {
        "CENTER_SAMPLING_RADIUS": 2.5,
        "FOCAL_LOSS_ALPHA": 0.5,
        "FOCAL_LOSS_GAMMA": 1.0,
        "SCORE_THRESH_TEST": 0.3,
        "TOPK_CANDIDATES_TEST": 7,
        "NMS_THRESH_TEST": 0.4,
    }
    opts = [part for k, v in settings.items() for part in (f"MODEL.FCOS.{k}", v)]
    opts += ["MODEL.FCOS.NUM_CONVS", 1, "MODEL.FCOS.NORM", "", "MODEL.FCOS.PRIOR_PROB", 0.5]
    opts += ["MODEL.FCOS.IN_FEATURES", ("p3", "p4"), "MODEL.FCOS.NUM_CLASSES", 2]
    opts += ["MODEL.DETECTOR.PERSON_CLASS", 0]
    detector = build("reid", "fcos_R50", [*RESNET18, *opts]).detector
    for name in ("center_sampling_radius", "focal_loss_alpha", "focal_loss_gamma"):
        assert getattr(detector, name) == settings[name.upper()]
    for name in ("score_thresh", "topk_candidates", "nms_thresh"):
        assert getattr(detector, f"test_{name}") == settings[f"{name.upper()}_TEST"]
    assert detector.max_detections_per_image == 5
    assert detector.head_in_features == ("p3", "p4")
    assert detector.num_classes == detector.head.cls_score.out_channels == 2
    assert len(detector.head.cls_subnet) == 2  # one convolution without norm, and its ReLU
    assert torch.all(detector.head.cls_score.bias == 0)  # the logit of 0.5


@pytest.mark.parametrize("name", ["retinanet_R50", "fcos_R50"])
@pytest.mark.parametrize("persons", [((), ()), ((0,), ())], ids=["no person", "one image without"])
def test_images_without_persons_train(name, persons):
    model = build("detection", name, RESNET18).train()
    losses = model([training_input(ids, seed) for seed, ids in enumerate(persons)])
    assert len(losses) == (3 if name.startswith("fcos") else 2)
    assert all(loss.isfinite() for loss in losses.values())
    sum(losses.values()).backward()
    gradients = [p.grad for p in model.parameters() if p.requires_grad]
    assert all(g is not None and g.isfinite().all() for g in gradients)


def test_an_image_without_persons_changes_no_label_of_another_in_fcos():
    detector = build("detection", "fcos_R50", RESNET18).detector
    sizes = ((8, 12), (4, 6), (2, 3), (1, 2), (1, 1))
    anchors = detector.anchor_generator([torch.zeros(1, 1, *size) for size in sizes])
    someone, nobody = (training_input(ids)["instances"] for ids in ((0, 1), ()))
    labels, boxes = detector.label_anchors(anchors, [someone, nobody])
    alone, alone_boxes = detector.label_anchors(anchors, [someone])
    assert torch.equal(labels[0], alone[0])
    assert 0 < int((labels[0] == 0).sum()) < len(labels[0])  # class 0 is the person
    assert torch.all(labels[1] == detector.num_classes)  # background everywhere
    assert len(boxes[1]) == len(alone_boxes[0])
