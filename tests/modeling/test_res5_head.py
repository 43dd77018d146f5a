"""The C4 detector's RoI head for basic blocks and for tall RoIs."""

import pytest
import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling.roi_heads import Res5ROIHeads
from detectron2.structures import Boxes, Instances

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


def some_proposals(numbers, seed=0):
    """Proposals of several images, and one map for all of these."""
    generator = torch.Generator().manual_seed(seed)
    proposals = []
    for number in numbers:
        corners = torch.rand(number, 2, generator=generator) * 200
        sizes = 20 + torch.rand(number, 2, generator=generator) * 100
        instances = Instances((256, 384))
        instances.proposal_boxes = Boxes(torch.cat([corners, corners + sizes], dim=1))
        instances.objectness_logits = torch.arange(number, 0, -1.0)
        proposals.append(instances)
    maps = {"res4": torch.rand(len(numbers), 256, 16, 24, generator=generator)}
    return maps, proposals


def set_scores(heads, persons):
    """The scores of proposals in the order in which they are looked at: (place, score)."""
    seen = 0

    def replace(module, inputs, outputs):
        nonlocal seen
        rows = torch.arange(seen, seen + len(outputs[0]))
        seen += len(rows)
        logits = torch.tensor([[-9.0, 0.0]]).repeat(len(rows), 1)
        for place, score in persons:
            logits[rows == place, 0] = torch.tensor(score).logit()
        return logits, torch.zeros_like(outputs[1])

    heads.box_predictor.register_forward_hook(replace)
    return lambda: seen


def in_turns(step, opts=()):
    opts = ["MODEL.DETECTOR.PROPOSALS_AT_A_TIME", step, "TEST.DETECTIONS_PER_IMAGE", -1, *opts]
    return build(PersonRes5ROIHeads, 18, 256, ["MODEL.RESNETS.RES2_OUT_CHANNELS", 64, *opts])


@pytest.mark.parametrize(
    "persons, looked_at",
    [
        ([], 10),  # the first ten have nobody
        ([(3, 0.9)], 20),
        ([(3, 0.9), (12, 0.8)], 30),
        ([(3, 0.9), (12, 0.8), (29, 0.7), (34, 0.6)], 45),  # somebody new each time, to the end
        ([(3, 0.9), (25, 0.8)], 20),  # what comes after a turn that changed nothing is not seen
        ([(3, 0.4)], 10),  # below the threshold
    ],
)
def test_turns_end_with_the_first_one_that_changes_nothing(persons, looked_at):
    heads = in_turns(10, ["MODEL.ROI_HEADS.SCORE_THRESH_TEST", 0.5])
    maps, (proposals,) = some_proposals([45])
    # far from each other, so that NMS takes none
    x = torch.arange(45.0)[:, None] * 8
    proposals.proposal_boxes = Boxes(torch.cat([x, x * 0, x + 4, x * 0 + 9], dim=1))
    count = set_scores(heads, persons)
    (found,), _ = heads(None, maps, [proposals])
    assert count() == looked_at
    expected = [(place, score) for place, score in persons if place < looked_at and score > 0.5]
    assert torch.allclose(found.scores, torch.tensor([score for _, score in expected]))
    places = (found.pred_boxes.tensor[:, 0] / 8).round().long().tolist()
    assert places == [place for place, _ in expected]


def test_a_better_box_of_a_known_person_is_a_change():
    heads = in_turns(10, ["MODEL.ROI_HEADS.SCORE_THRESH_TEST", 0.5])
    maps, (proposals,) = some_proposals([40])
    proposals.proposal_boxes = Boxes(torch.tensor([[8.0, 8.0, 60.0, 160.0]]).repeat(40, 1))
    count = set_scores(heads, [(2, 0.8), (15, 0.9), (25, 0.85)])
    (found,), _ = heads(None, maps, [proposals])
    assert count() == 30 and torch.allclose(found.scores, torch.tensor([0.9]))


@pytest.mark.parametrize("numbers", [[45], [45, 7, 0], [10, 11]])
def test_what_is_found_is_what_detectron2_finds_with_the_proposals_that_were_looked_at(numbers):
    heads = in_turns(10, ["MODEL.ROI_HEADS.SCORE_THRESH_TEST", 0.5])
    torch.nn.init.normal_(heads.box_predictor.cls_score.weight, std=0.5)
    maps, proposals = some_proposals(numbers)
    sizes = []
    hook = heads.pooler.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[1][0])))
    with torch.no_grad():
        found, _ = heads(None, maps, proposals)
        hook.remove()
        heads.proposals_at_a_time = 0
        for i, (image, x) in enumerate(zip(found, proposals, strict=True)):
            turns = 1
            while True:  # until Detectron2's own finds no change
                map_of_image = {"res4": maps["res4"][i : i + 1]}
                (own,), _ = heads(None, map_of_image, [x[: 10 * turns]])
                (before,), _ = heads(None, map_of_image, [x[: 10 * (turns - 1)]])
                is_same = len(own) == len(before) and torch.equal(own.scores, before.scores)
                if is_same or 10 * turns >= len(x):
                    break
                turns += 1
            assert len(image) == len(own)
            assert torch.allclose(image.pred_boxes.tensor, own.pred_boxes.tensor, atol=1e-3)
            assert torch.allclose(image.scores, own.scores, atol=1e-5)
            assert [min(10, max(len(x) - 10 * k, 0)) for k in range(turns)] == sizes[:turns]
            del sizes[:turns]
    assert not sizes


def test_training_takes_all_at_once(monkeypatch):
    heads = in_turns(10).train()
    monkeypatch.setattr(Res5ROIHeads, "forward", lambda *args: ([], {"all": args[3]}))
    maps, proposals = some_proposals([45])
    assert heads(None, maps, proposals, ["targets"]) == ([], {"all": proposals})
