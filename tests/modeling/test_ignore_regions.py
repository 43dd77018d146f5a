"""Regions to ignore: no detector learns them as background, and nothing else is changed.

Shares are worked out by hand: a box of 20 x 10 whose left half lies in a region has a share of 0.5.
"""

import copy
import functools

import pytest
import torch
from detectron2.modeling import META_ARCH_REGISTRY, build_model
from detectron2.modeling.meta_arch import RetinaNet
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage

from fully_decoupled_ps import UserError
from fully_decoupled_ps.modeling import check_regions_are_known
from fully_decoupled_ps.modeling.ignore_regions import (
    InstancesWithRegions,
    attach_regions,
    lies_in_regions,
)
from tests.testing import BOXES, CONFIGS, FRUGAL, RESNET18, make_config, training_input

WHOLE = torch.tensor([[0.0, 0.0, 96.0, 64.0]])  # of the image
SMALL = ("MODEL.COAT.DIM", 32, "MODEL.COAT.NUM_HEADS", 2, "MODEL.BACKBONE.FREEZE_AT", 2)
DETECTORS = ["faster_rcnn_R50", "retinanet_R50", "fcos_R50", "coat_R50"]
# The parts of the losses that only negative examples have a share in.
BACKGROUND = {
    "faster_rcnn_R50": ("loss_rpn_cls", "loss_cls"),
    "retinanet_R50": ("loss_cls",),
    "fcos_R50": ("loss_fcos_cls",),
    "coat_R50": ("loss_rpn_cls", "loss_cls_stage0", "loss_cls_stage1", "loss_cls_stage2"),
}


@functools.lru_cache(maxsize=None)  # nobody changes it
def build(name):
    opts = [*RESNET18, *FRUGAL, *SMALL]
    cfg = make_config("detection", opts, config_file=CONFIGS / "prw" / f"{name}.yaml")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build_model(cfg).train()


def losses(model, batch):
    """Of a copy: dense detectors keep a running mean of the number of positive examples."""
    with EventStorage(), torch.random.fork_rng():
        torch.manual_seed(1)  # of the sampling
        return copy.deepcopy(model)(batch)


def frame(regions=None, ids=(0,)):
    x = training_input(list(ids))
    return x if regions is None else {**x, "ignore_regions": regions}


def test_the_share_is_of_the_box():
    boxes = torch.tensor(
        [[0.0, 0, 20, 10], [1, 0, 21, 10], [0, 0, 4, 4], [50, 50, 60, 60], [-20, 0, 20, 10]]
    )
    regions = torch.tensor([[0.0, 0, 10, 10], [40, 40, 55, 60]])
    image = InstancesWithRegions((64, 96), regions)
    # 10 of 20, 9 of 20, all of it, 5 of 10 in the second region, 10 of the 20 in the image
    assert lies_in_regions(boxes, image).tolist() == [True, False, True, True, True]
    assert lies_in_regions(boxes, Instances((64, 96))) is None


def test_regions_go_where_the_instances_go():
    (x,) = attach_regions([frame(WHOLE)])
    moved = x["instances"].to("cpu")
    assert torch.equal(moved._ignore_regions, WHOLE) and len(moved) == 1
    assert moved.gt_boxes.tensor.tolist() == [list(BOXES[0])]
    plain = frame()
    assert attach_regions([plain])[0] is plain


@pytest.mark.parametrize("name", DETECTORS)
def test_nobody_in_an_image_that_is_one_region_costs_nothing(name):
    """Without a person and a negative example, there is nothing to learn, but no failure either."""
    model = build(name)
    found = losses(model, [frame(WHOLE, ids=())])
    assert {k: v.item() for k, v in found.items() if v.item() != 0} == {}
    without = losses(model, [frame(ids=())])
    assert all(without[k] > 0 for k in BACKGROUND[name])


@pytest.mark.parametrize("name", DETECTORS)
def test_a_region_away_from_everything_changes_nothing(name):
    model = build(name)
    expected = losses(model, [frame()])
    # too small for any box to lie half in it
    actual = losses(model, [frame(torch.tensor([[95.0, 63, 95.5, 63.5]]))])
    assert all(torch.equal(actual[k], v) for k, v in expected.items())


@pytest.mark.parametrize("name", DETECTORS)
def test_a_person_in_a_region_is_still_learned(name):
    """All negative examples are gone; what is left are those of the person."""
    model = build(name)
    found, expected = losses(model, [frame(WHOLE)]), losses(model, [frame()])
    # RoI heads take a mean over their examples; the others divide by a number that stays
    summed = [k for k in BACKGROUND[name] if name == "retinanet_R50" or k != "loss_cls"]
    assert all(0 < found[k] < expected[k] for k in summed)
    boxes = [k for k in expected if "reg" in k or "loc" in k]
    assert boxes and any(found[k] > 0 for k in boxes)


class Recorder:
    """Notes the proposals that the classification losses are computed from."""

    def __init__(self, predictor):
        self.seen = []
        losses = predictor.losses  # of the network's class

        def record(predictions, proposals):
            self.seen += proposals
            return losses(predictions, proposals)

        predictor.losses = record


@pytest.mark.parametrize("name", ["faster_rcnn_R50", "coat_R50"])
def test_proposals_in_a_region_are_no_background(name):
    model = copy.deepcopy(build(name))
    heads = model.detector.roi_heads
    predictors = heads.box_predictor if name == "coat_R50" else [heads.box_predictor]
    recorders = [Recorder(predictor) for predictor in predictors]
    region = torch.tensor([[30.0, 0, 96, 64]])  # right of the person
    losses(model, [frame(region)])
    for recorder in recorders:
        (proposals,) = recorder.seen
        negative = proposals.gt_classes == 1
        x0, _, x1, _ = proposals.proposal_boxes.tensor[negative].unbind(1)
        in_region = (x1.clamp(max=96) - x0.clamp(min=30)).clamp(min=0) / (x1 - x0)
        assert (in_region < 0.5).all()


def test_anchors_in_a_region_are_not_sampled():
    rpn = build("faster_rcnn_R50").detector.proposal_generator
    # two of the four lie in the region; one of these is the person's
    anchors = [Boxes(torch.tensor([[4.0, 6, 30, 60], [40, 0, 60, 60], [70, 0, 90, 60]]))]
    (x,) = attach_regions([frame(torch.tensor([[0.0, 0, 66, 64]]))])
    labels, _ = rpn.label_and_sample_anchors(anchors, [x["instances"], frame()["instances"]])
    assert [label.tolist() for label in labels] == [[1, -1, 0], [1, 0, 0]]


def test_a_detector_that_would_learn_regions_as_background_is_refused():
    for name in DETECTORS:
        check_regions_are_known(build(name).detector)
    cfg = make_config("detection", [*RESNET18, *FRUGAL, "MODEL.PROPOSAL_GENERATOR.NAME", "RPN"])
    with pytest.raises(UserError, match="which RPN would learn as background; say MODEL.PROPO"):
        check_regions_are_known(build_model(cfg).detector)
    config_file = CONFIGS / "prw" / "retinanet_R50.yaml"
    opts = [*RESNET18, *FRUGAL, "MODEL.DETECTOR.NAME", "RetinaNet"]
    cfg = make_config("detection", opts, config_file=config_file)
    assert type(META_ARCH_REGISTRY.get("RetinaNet")(cfg)) is RetinaNet
    with pytest.raises(UserError, match="which RetinaNet would learn"):
        check_regions_are_known(build_model(cfg).detector)
    with pytest.raises(UserError, match="which Linear would learn"):
        check_regions_are_known(torch.nn.Linear(1, 1))
