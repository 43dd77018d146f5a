"""The combination with COAT: its cascade as f_d, and its transformer heads on f_r's map."""

import pytest
import torch
from detectron2.modeling import build_model
from detectron2.modeling.roi_heads import CascadeROIHeads
from detectron2.structures import Boxes, pairwise_iou

from fully_decoupled_ps import UserError
from fully_decoupled_ps.checkpoint import PersonSearchCheckpointer, initialize_side_net
from fully_decoupled_ps.engine.solver import build_optimizer
from tests.testing import CONFIGS, TINY, image, make_config, randomize_norms, training_input

SMALL = ("MODEL.COAT.DIM", 32, "MODEL.COAT.NUM_HEADS", 2, "MODEL.BACKBONE.FREEZE_AT", 2)
BATCH = [training_input([0, 1, -1], seed=1), training_input([2, 0], seed=2)]
REID_LOSSES = {f"loss_{n}_stage{s}" for n in ("oim", "triplet") for s in (1, 2)}
DETECTION_LOSSES = {f"loss_{n}_stage{s}" for n in ("cls", "box_reg") for s in (0, 1, 2)}


def build(stage, opts=()):
    opts = [*TINY, *SMALL, "MODEL.REID.NUM_IDS", 4, *opts]
    cfg = make_config(stage, opts, config_file=CONFIGS / "prw" / "coat_R50.yaml")
    torch.manual_seed(0)
    model = build_model(cfg)
    randomize_norms(model)
    return model.train(), cfg


def detect(model, image_seed=3):
    """The detector's own output, with the fields that only the re-id branch reads."""
    with torch.no_grad():
        return model.detector.eval()([{"image": image(image_seed)}])[0]["instances"]


def test_the_detector_has_three_stages_at_rising_thresholds():
    model, cfg = build("detection")
    heads = model.detector.roi_heads
    assert heads.num_cascade_stages == 3
    assert [m.thresholds[1:-1] for m in heads.proposal_matchers] == [[0.5], [0.6], [0.7]]
    assert heads.nms_threshs == (0.4, 0.4, 0.5)
    losses = model(BATCH)
    assert DETECTION_LOSSES < losses.keys()
    sum(losses.values()).backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
    output = model.eval()([{"image": image(3), "height": 128, "width": 192}])[0]["instances"]
    assert set(output.get_fields()) == {"pred_boxes", "scores", "pred_classes"}


def test_without_suppression_it_is_detectron2s_own_cascade():
    keep_all = [
        *("MODEL.COAT.NMS_THRESHS", (1.0, 1.0, 1.0), "MODEL.ROI_HEADS.NMS_THRESH_TEST", 1.0),
        *("TEST.DETECTIONS_PER_IMAGE", -1),
    ]
    model, _ = build("detection", keep_all)
    model.eval()
    seen = []
    hook = model.detector.roi_heads.register_forward_pre_hook(lambda m, args: seen.append(args))
    found = detect(model)
    hook.remove()
    _, features, proposals = seen[0][:3]
    heads = model.detector.roi_heads
    with torch.no_grad():
        (expected,) = CascadeROIHeads._forward_box(heads, features, proposals)
    assert len(found) == len(expected) > 3
    torch.testing.assert_close(found.scores, expected.scores)
    torch.testing.assert_close(found.pred_boxes.tensor, expected.pred_boxes.tensor)


def test_detections_carry_what_their_stages_pooled():
    model, _ = build("detection")
    seen = []
    model.detector.roi_heads.register_forward_pre_hook(lambda m, args: seen.append(args))
    found = detect(model)
    assert found.stage_boxes.shape == (len(found), 2, 4) and len(found) > 1
    maps = list(seen[0][1].values())
    heads = model.detector.roi_heads
    boxes = found.stage_boxes[:, 0]
    expected = (found.stage_boxes[:, 1], found.pred_boxes.tensor)
    for stage in (1, 2):  # what a stage makes of its boxes is what the next one pools
        with torch.no_grad():
            proposals = heads._create_proposals_from_boxes([boxes], [found.image_size])
            predictions = heads._run_stage(maps, proposals, stage)
            (boxes,) = heads.box_predictor[stage].predict_boxes(predictions, proposals)
        clipped = Boxes(boxes.clone())
        clipped.clip(found.image_size)
        boxes = clipped.tensor
        torch.testing.assert_close(boxes, expected[stage - 1], rtol=1e-4, atol=1e-3)


def test_each_stage_suppresses():
    few = build("detection", ["MODEL.COAT.NMS_THRESHS", (0.4, 0.4, 0.3)])[0]
    found = detect(few)
    iou = pairwise_iou(found.pred_boxes, found.pred_boxes).fill_diagonal_(0)
    assert iou.max() <= 0.3
    # an NMS that leaves nothing but one box leaves one in the stages behind it as well
    for threshs in ((0.0, 1.0, 1.0), (1.0, 0.0, 1.0)):
        model, _ = build("detection", ["MODEL.COAT.NMS_THRESHS", threshs])
        seen = []
        model.detector.roi_heads.register_forward_pre_hook(lambda m, args, s=seen: s.append(args))
        assert len(detect(model)) < len(seen[0][2][0])


def test_stage_reid_trains_the_heads_and_leaves_the_detector():
    model, cfg = build("reid")
    before = {n: v.clone() for n, v in model.state_dict().items()}
    optimizer = build_optimizer(cfg, model)
    losses = model(BATCH)
    assert losses.keys() == REID_LOSSES
    assert all(loss.isfinite() for loss in losses.values())
    sum(losses.values()).backward()
    trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
    assert all(name.startswith("reid.") for name in trained)
    assert all(p.grad is not None for p in trained.values())
    optimizer.step()
    changed = {n for n, v in model.state_dict().items() if not torch.equal(v, before[n])}
    assert not any(name.startswith("detector.") for name in changed)
    for stage in (0, 1):
        assert f"reid.stages.{stage}.memory.lookup_table" in changed
    first, second = (s.memory.lookup_table for s in model.reid.stages)
    assert not torch.equal(first, second)


def test_features_are_both_heads_embeddings_of_the_stages_boxes():
    model, _ = build("reid")
    model.eval()
    found = detect(model)
    queries = torch.tensor([[4.0, 6.0, 40.0, 60.0]])
    with torch.no_grad():
        (output,) = model([{"image": image(3), "queries": queries}])
        maps = model._frozen_maps([{"image": image(3)}])
        reid_map = model.reid.side_net(maps)
        heads = model.reid.stages
        gallery = [head(reid_map, [Boxes(found.stage_boxes[:, i])]) for i, head in enumerate(heads)]
        query = [head(reid_map, [Boxes(queries)]) for head in heads]
    for features, parts in (
        (output["instances"].reid_features, gallery),
        (output["query_features"], query),
    ):
        assert features.shape[1] == 64
        torch.testing.assert_close(features, torch.cat(parts, dim=1) / 2**0.5)
        torch.testing.assert_close(features.norm(dim=1), torch.ones(len(features)))
    assert not output["instances"].has("stage_boxes")


def test_stage_joint_reaches_the_detector_through_the_fusions():
    model, _ = build("joint")
    losses = model(BATCH)
    assert REID_LOSSES | DETECTION_LOSSES < losses.keys()
    reid_loss = sum(losses[name] for name in REID_LOSSES)
    weight = model.feature_tap.bottom_up.res4[-1].conv2.weight
    own = model.detector.roi_heads.box_head[1].attention.tokens[0].weight
    gradients = torch.autograd.grad(reid_loss, [weight, own], allow_unused=True)
    assert gradients[0].abs().sum() > 0 and gradients[1] is None


@pytest.mark.parametrize("ids", [[[], []], [[-1], [-1, -1]], [[1, 1], [1]]])
def test_odd_batches_train(ids):
    model, _ = build("reid")
    losses = model([training_input(person_ids, seed) for seed, person_ids in enumerate(ids)])
    assert all(loss.isfinite() for loss in losses.values())
    sum(losses.values()).backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)


def test_no_detection_and_no_query():
    model, _ = build("reid", ["MODEL.ROI_HEADS.SCORE_THRESH_TEST", 1.0])
    with torch.no_grad():
        (output,) = model.eval()([{"image": image(3), "queries": torch.zeros(0, 4)}])
    assert output["instances"].reid_features.shape == (0, 64)
    assert output["query_features"].shape == (0, 64)


def test_a_checkpoint_holds_both_memories_and_tells_their_size(tmp_path):
    model, _ = build("reid")
    model(BATCH)
    PersonSearchCheckpointer(model, str(tmp_path)).save("model")
    other, _ = build("reid", ["MODEL.REID.NUM_IDS", 0])
    PersonSearchCheckpointer(other).load_trained(str(tmp_path / "model.pth"))
    expected = model.state_dict()
    assert all(torch.equal(v, expected[n]) for n, v in other.state_dict().items())
    wrong, _ = build("reid", ["MODEL.REID.NUM_IDS", 5])
    with pytest.raises(UserError, match="trained on 4 identities"):
        PersonSearchCheckpointer(wrong).load(str(tmp_path / "model.pth"))


def test_the_side_net_has_no_conv5_and_starts_from_the_detectors_layers():
    model, _ = build("reid")
    side_net = model.reid.side_net
    assert {n.split(".")[0] for n, _ in side_net.named_parameters()} == {"res3", "res4", "fusions"}
    initialize_side_net(model.reid, "detector", model.detector)
    bottom_up = model.feature_tap.bottom_up.state_dict()
    for name, value in side_net.state_dict().items():
        if name.startswith("res"):
            assert torch.equal(value, bottom_up[name]), name


def test_wrong_use_is_one_line():
    with pytest.raises(UserError, match="'PersonRes5ROIHeads' .* needs CoatROIHeads"):
        build("reid", ["MODEL.ROI_HEADS.NAME", "PersonRes5ROIHeads"])
    with pytest.raises(UserError, match="NMS_THRESHS has 1 values for the 3 stages"):
        build("reid", ["MODEL.COAT.NMS_THRESHS", (0.5,)])
