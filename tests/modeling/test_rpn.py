"""PersonRPN proposes what Detectron2's RPN does, and has NMS look at fewer boxes for that."""

from functools import partial

import pytest
import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling.proposal_generator import RPN, build_proposal_generator, proposal_utils
from detectron2.structures import ImageList

from tests.testing import FRUGAL, make_config

SIZES = [(320, 480), (300, 460)]
MAPS = {"res4": torch.randn(2, 16, 20, 30, generator=torch.Generator().manual_seed(0))}
ANCHORS = 20 * 30 * 15


def make_rpn(name, pre, post, overlap=0.7):
    opts = [
        *FRUGAL,
        *("MODEL.PROPOSAL_GENERATOR.NAME", name, "MODEL.RPN.NMS_THRESH", overlap),
        *("MODEL.RPN.PRE_NMS_TOPK_TEST", pre, "MODEL.RPN.POST_NMS_TOPK_TEST", post),
    ]
    torch.manual_seed(1)
    shape = {"res4": ShapeSpec(channels=16, stride=16)}
    rpn = build_proposal_generator(make_config("detection", opts), shape).eval()
    torch.nn.init.normal_(rpn.rpn_head.anchor_deltas.weight, std=0.1)
    torch.nn.init.normal_(rpn.rpn_head.objectness_logits.weight, std=0.5)
    return rpn


def propose(rpn, maps=MAPS):
    images = ImageList(torch.zeros(2, 3, *SIZES[0]), SIZES)
    with torch.no_grad():
        found, losses = rpn(images, maps)
    assert not losses
    return found


def round_scores(rpn):
    """Many anchors have the same score, as in reduced precision."""
    rpn.rpn_head.objectness_logits.register_forward_hook(lambda module, inputs, x: (x * 4).round())


@pytest.fixture
def looked_at(monkeypatch):
    """How many boxes each call of NMS got."""
    numbers, nms = [], proposal_utils.batched_nms

    def count(boxes, *args):
        numbers.append(len(boxes))
        return nms(boxes, *args)

    monkeypatch.setattr(proposal_utils, "batched_nms", count)
    return numbers


@pytest.fixture
def stable_sort(monkeypatch):
    """Of equal scores the one of the earlier anchor is first, everywhere."""
    stable = partial(torch.Tensor.sort, stable=True)

    def topk(values, number, dim):  # of Detectron2's main branch
        return tuple(x.narrow(dim, 0, number) for x in stable(values, dim=dim, descending=True))

    monkeypatch.setattr(torch.Tensor, "sort", lambda *args, **kwargs: stable(*args, **kwargs))
    monkeypatch.setattr(torch.Tensor, "topk", topk)


@pytest.mark.parametrize("change", [lambda rpn: None, round_scores])
@pytest.mark.parametrize(
    "pre, post, overlap",
    [
        (6000, 300, 0.7),
        (6000, 300, 0.2),  # which drops so many that the first boxes are not enough
        (6000, 2000, 0.1),  # nor are all
        (100, 300, 0.7),  # fewer are asked for than may be kept
        (ANCHORS + 5, 50, 0.5),
        (500, -1, 0.7),  # all but one
        (6000, ANCHORS, 0.7),
    ],
)
def test_proposals_are_those_of_detectron2_to_the_bit(pre, post, overlap, change, stable_sort):
    ours, theirs = (make_rpn(name, pre, post, overlap) for name in ("PersonRPN", "RPN"))
    assert type(theirs) is RPN
    for rpn in (ours, theirs):
        change(rpn)
    for found, expected in zip(propose(ours), propose(theirs), strict=True):
        assert found.image_size == expected.image_size and len(expected) > 10
        assert torch.equal(found.proposal_boxes.tensor, expected.proposal_boxes.tensor)
        assert torch.equal(found.objectness_logits, expected.objectness_logits)


def test_values_that_are_not_finite_are_left_out_as_in_detectron2():
    maps = {"res4": MAPS["res4"].clone()}
    maps["res4"][0, :, 3:9] = float("nan")
    maps["res4"][1, :, 5] = float("inf")
    ours, theirs = (propose(make_rpn(n, 6000, 300), maps) for n in ("PersonRPN", "RPN"))
    for found, expected in zip(ours, theirs, strict=True):
        assert torch.equal(found.proposal_boxes.tensor, expected.proposal_boxes.tensor)
        assert 0 < len(expected)


def test_nms_looks_at_twice_as_many_boxes_as_are_wanted(looked_at):
    propose(make_rpn("PersonRPN", 6000, 100))
    assert len(looked_at) == 2 and max(looked_at) <= 200


def test_nms_looks_at_more_when_they_are_not_enough(looked_at):
    rpn = make_rpn("PersonRPN", 3000, 100, overlap=0.05)
    found = propose(rpn)
    assert len(found[0]) < 100  # and at all that may be looked at in the end
    sizes = looked_at[: len(looked_at) // 2]
    assert len(sizes) == 5 and sizes == sorted(sizes) and 2500 < sizes[-1] <= 3000


def test_training_looks_at_all_at_once(looked_at):
    rpn = make_rpn("PersonRPN", 6000, 100).train()
    rpn.pre_nms_topk, rpn.post_nms_topk = {True: 3000}, {True: 100}
    logits, deltas = rpn.rpn_head([MAPS["res4"]])
    logits = [logits[0].permute(0, 2, 3, 1).flatten(1)]
    deltas = [deltas[0].view(2, -1, 4, 20, 30).permute(0, 3, 4, 1, 2).flatten(1, -2)]
    anchors = rpn.anchor_generator([MAPS["res4"]])
    assert [len(x) for x in rpn.predict_proposals(anchors, logits, deltas, SIZES)] == [100, 100]
    assert len(looked_at) == 2 and min(looked_at) > 2500
