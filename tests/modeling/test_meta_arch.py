"""The whole network: what each stage computes and trains, and what inference returns."""

import pytest
import torch
from detectron2.modeling import META_ARCH_REGISTRY, build_backbone, build_model
from detectron2.solver import build_optimizer
from detectron2.structures import Boxes, ImageList, Instances
from torch import nn

from fully_decoupled_ps.modeling import FullyDecoupledPersonSearch, ReIDBranch
from fully_decoupled_ps.modeling.feature_tap import FeatureTap
from tests.testing import (
    RESNET18,
    TINY,
    image,
    make_config,
    make_model,
    randomize_norms,
    training_input,
)

# --- what is trained -------------------------------------------------------------------------


def reid_steps(model, num_steps=3):
    """Steps of the re-id stage with the optimiser of a real run; returns the last losses."""
    cfg = make_config("reid", ["SOLVER.BASE_LR", 0.05, "SOLVER.WEIGHT_DECAY", 0.1])
    assert cfg.SOLVER.MOMENTUM > 0
    optimizer = build_optimizer(cfg, model)
    model.train()
    for step in range(num_steps):
        losses = model([training_input([0, -1, step], seed=2 * step + i) for i in range(2)])
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
    return losses


def detections(model, inputs):
    model.eval()
    outputs = [x["instances"] for x in model(inputs)]
    return [t for o in outputs for t in (o.pred_boxes.tensor, o.scores, o.pred_classes)]


def test_the_detector_is_bit_identical_after_the_reid_stage():
    model = make_model("reid")
    inputs = [{"image": image(seed)} for seed in (5, 6)]
    state = {k: v.clone() for k, v in model.state_dict().items()}
    found = detections(model, inputs)
    assert sum(map(len, found)) > 0
    reid_steps(model)
    after = model.state_dict()
    assert any(k.endswith("running_mean") for k in state if k.startswith("detector."))
    for name, value in state.items():
        if name.startswith("detector."):
            assert torch.equal(value, after[name]), name
    assert all(map(torch.equal, found, detections(model, inputs)))
    # what should have learned has: all but the neck's bias, which is frozen at 0
    kept = {k for k in state if k.startswith("reid.") and torch.equal(state[k], after[k])}
    assert kept == {"reid.head.norm.bias"}


def test_the_detector_stays_in_eval_mode_and_the_side_net_trains():
    model = make_model("reid", train=True)
    assert model.training and model.reid.training
    assert not any(m.training for m in model.detector.modules())
    assert not any(p.requires_grad for p in model.detector.parameters())
    frozen = [name for name, p in model.reid.named_parameters() if not p.requires_grad]
    assert frozen == ["head.norm.bias"]
    model.eval()
    assert not any(m.training for m in model.modules())


def test_the_reid_stage_computes_no_detection(monkeypatch):
    model = make_model("reid", train=True)

    def refuse(*args, **kwargs):
        pytest.fail("a part of the detector beyond its bottom-up was run")

    for name in ("proposal_generator", "roi_heads", "backbone"):
        for module in getattr(model.detector, name).modules():
            if name != "backbone":
                module.register_forward_pre_hook(refuse)
    monkeypatch.setattr(model.detector, "forward", refuse)
    monkeypatch.setattr(model.detector, "inference", refuse)
    losses = model([training_input([0, 1])])
    assert set(losses) == {"loss_oim", "loss_triplet"}


def test_only_f_r_is_in_the_autograd_graph():
    model = make_model("reid", train=True)
    seen = []
    model.reid.side_net.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    model([training_input([0, 1])])
    assert list(seen[0]) == ["res2", "res3", "res4"]
    assert not any(x.requires_grad for x in seen[0].values())


@pytest.mark.parametrize(
    "persons",
    [[[0, 1, -1], [1, 2]], [[], []], [[0], []], [[-1, -1], [-1]], [[2], [2]]],
    ids=["usual", "nobody", "one box", "all unlabelled", "one identity"],
)
@pytest.mark.parametrize("copies", [0, 1])
def test_losses_are_finite_and_reach_every_parameter(persons, copies):
    model = make_model("reid", ("MODEL.REID.BOX_NOISE.NUM_COPIES", copies), train=True)
    for seed in range(2):  # with an empty memory, and with what the first step left in it
        model.zero_grad()
        losses = model([training_input(ids, seed=seed + i) for i, ids in enumerate(persons)])
        assert all(loss.isfinite() for loss in losses.values())
        sum(losses.values()).backward()
        for name, p in model.named_parameters():
            assert (p.grad is not None) == p.requires_grad, name
            assert p.grad is None or p.grad.isfinite().all(), name


def test_noisy_boxes_keep_their_persons(event_storage):
    """Images of persons (0, -1) and (2,), two copies: ids repeat image by image."""
    model = make_model("reid", ("MODEL.REID.BOX_NOISE.NUM_COPIES", 2), train=True)
    given = {}
    memory_update = model.reid.memory.update

    def update(embeddings, person_ids):
        given.update(embeddings=embeddings, person_ids=person_ids)
        memory_update(embeddings, person_ids)

    model.reid.memory.update = update
    boxes = []
    model.reid.head.register_forward_pre_hook(lambda _, args: boxes.extend(args[1]))
    model([training_input([0, -1]), training_input([2], seed=1)])
    assert given["person_ids"].tolist() == [0, -1, 0, -1, 0, -1, 2, 2, 2]
    assert [len(b) for b in boxes] == [6, 3]
    assert len(given["embeddings"]) == 9
    gt = training_input([0, -1])["instances"].gt_boxes.tensor
    assert torch.equal(boxes[0].tensor[:2], gt)
    scalars = {name: value for name, (value, _) in event_storage.latest().items()}
    assert scalars == {
        "alpha/res3": 0.5,
        "alpha/res4": 0.5,
        "memory/lookup_seen": 0.5,  # ids 0 and 2 of four
        "memory/queue_fill": pytest.approx(0.6),  # three of five
    }


def test_the_memory_is_updated_after_the_loss():
    model = make_model("reid", train=True)
    losses = model([training_input([0, 1])])
    assert losses["loss_oim"].item() == pytest.approx(torch.tensor(9.0).log().item())  # 4 + 5 rows
    assert model.reid.memory.seen().tolist() == [True, True, False, False]


# --- the detection stage ---------------------------------------------------------------------


def test_the_detection_stage_is_the_detector_alone():
    model = make_model("detection", train=True)
    assert model.reid is None
    batch = [training_input([0, 1]), training_input([2], seed=1)]
    torch.manual_seed(0)
    losses = model(batch)
    torch.manual_seed(0)
    expected = model.detector(batch)
    assert losses.keys() == expected.keys() and len(losses) == 4
    assert all(torch.equal(losses[name], expected[name]) for name in losses)
    sum(losses.values()).backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)

    (output,) = model.eval()([{"image": image(0), "queries": torch.ones(1, 4)}])
    assert set(output) == {"instances"} and not output["instances"].has("reid_features")


def test_the_input_layer_is_frozen_in_the_detection_stage_too():
    """conv1 and conv2, as the shipped configs say."""
    detector = make_model("detection", ("MODEL.BACKBONE.FREEZE_AT", 2), train=True).detector
    frozen = {n.split(".")[1] for n, p in detector.named_parameters() if not p.requires_grad}
    assert frozen == {"stem", "res2"}
    assert all(p.requires_grad for p in detector.backbone.res3.parameters())


def count(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    "depth, published, reid_side",
    [(50, 56.3, 23.287), (34, 42.9, 21.054)],
)
def test_parameters_are_the_papers(depth, published, reid_side):
    width = 64 if depth < 50 else 256
    opts = ["MODEL.RESNETS.DEPTH", depth, "MODEL.RESNETS.RES2_OUT_CHANNELS", width]
    model = build_model(make_config("reid", ["MODEL.DEVICE", "cpu", *opts]))
    assert round(count(model) / 1e6, 1) == published
    assert round(count(model.reid) / 1e6, 3) == reid_side
    assert count(model.detector) == count(model) - count(model.reid)


# --- inference -------------------------------------------------------------------------------


def test_boxes_are_the_detectors_own_in_original_coordinates():
    model = make_model("reid")
    inputs = [
        {"image": image(0), "height": 128, "width": 288},
        {"image": image(1, (48, 64)), "height": 24, "width": 32},
    ]
    for x, output in zip(inputs, model(inputs), strict=True):
        ours, own = output["instances"], model.detector([x])[0]["instances"]
        assert ours.image_size == own.image_size
        assert len(ours) == len(own) > 0
        torch.testing.assert_close(ours.pred_boxes.tensor, own.pred_boxes.tensor)
        assert torch.equal(ours.scores, own.scores)
        assert ours.reid_features.shape == (len(ours), 256)
        assert ours.reid_features.dtype == torch.float32
        torch.testing.assert_close(ours.reid_features.norm(dim=1), torch.ones(len(ours)))


def distinct(features):
    """No two rows are the same, so that a wrong order would be seen."""
    return len(features) < 2 or torch.pdist(features).min() > 1e-3


def test_a_box_has_the_same_feature_as_query_and_as_detection():
    """Two images of different sizes, scaled differently; queries in the reverse order."""
    model = make_model("reid")
    inputs = [
        {"image": image(0), "height": 128, "width": 288},
        {"image": image(1, (48, 64)), "height": 24, "width": 32},
    ]
    for x, output in zip(inputs, model(inputs), strict=True):
        x["queries"] = output["instances"].pred_boxes.tensor.flip(0)
    queries = [x["queries"].clone() for x in inputs]
    for x, given, output in zip(inputs, queries, model(inputs), strict=True):
        features = output["instances"].reid_features
        assert len(features) > 1 and distinct(features)
        torch.testing.assert_close(output["query_features"].flip(0), features, rtol=0, atol=1e-4)
        assert torch.equal(x["queries"], given)  # the evaluator reads them after the model


def test_queries_are_scaled_from_the_original_size():
    model = make_model("reid")
    box = torch.tensor([[10.0, 8.0, 50.0, 60.0]])
    (network,) = model([{"image": image(0), "queries": box}])
    stretched = box * torch.tensor([3.0, 2.0, 3.0, 2.0])
    (original,) = model([{"image": image(0), "height": 128, "width": 288, "queries": stretched}])
    torch.testing.assert_close(original["query_features"], network["query_features"])
    (wrong,) = model([{"image": image(0), "queries": stretched.clamp(max=60)}])
    assert not torch.allclose(wrong["query_features"], network["query_features"], atol=1e-3)


def test_query_features_are_there_exactly_where_queries_are():
    model = make_model("reid")
    inputs = [
        {"image": image(0)},
        {"image": image(1), "queries": torch.tensor([[4.0, 4.0, 30.0, 60.0]])},
        {"image": image(2), "queries": torch.zeros(0, 4)},
        {"image": image(3), "queries": [[4, 4, 30, 60], [30, 4, 60, 60]]},
    ]
    outputs = model(inputs)
    assert [set(o) - {"instances"} for o in outputs] == [set()] + [{"query_features"}] * 3
    assert [o["query_features"].shape for o in outputs[1:]] == [(1, 256), (0, 256), (2, 256)]


def test_without_detections_queries_still_have_features():
    model = make_model("reid", ("MODEL.ROI_HEADS.SCORE_THRESH_TEST", 1.1))
    query = {"image": image(1), "queries": torch.tensor([[4.0, 4, 30, 60]])}
    nobody, queried = model([{"image": image(0)}, query])
    assert nobody["instances"].reid_features.shape == (0, 256)
    assert queried["instances"].reid_features.shape == (0, 256)
    assert queried["query_features"].shape == (1, 256)
    (nobody,) = model([{"image": image(0)}])
    assert nobody["instances"].reid_features.shape == (0, 256)


def test_inference_needs_no_gradient_and_changes_nothing():
    model = make_model("reid")
    state = {k: v.clone() for k, v in model.state_dict().items()}
    (output,) = model([{"image": image(0), "queries": torch.tensor([[4.0, 4, 30, 60]])}])
    assert not output["instances"].reid_features.requires_grad
    assert not output["query_features"].requires_grad
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())


class FixedBoxes(nn.Module):
    """Not one of Detectron2's detectors: it finds the same boxes in every image, unclipped."""

    BOXES = ((5.0, 5.0, 30.0, 60.0), (200.0, 5.0, 230.0, 60.0), (50.0, 5.0, 90.0, 60.0))

    def __init__(self, cfg):
        super().__init__()
        self.backbone = build_backbone(cfg)

    device = torch.device("cpu")

    def preprocess_image(self, batched_inputs):
        return ImageList.from_tensors([x["image"] for x in batched_inputs])

    def forward(self, batched_inputs):
        images = self.preprocess_image(batched_inputs)
        self.backbone(images.tensor)
        return [{"instances": self.found(size)} for size in images.image_sizes]

    def found(self, size):
        instances = Instances(size)
        instances.pred_boxes = Boxes(torch.tensor(self.BOXES))
        instances.scores = torch.tensor([0.9, 0.8, 0.7])
        instances.pred_classes = torch.zeros(3, dtype=torch.int64)
        return instances


def test_any_detector_and_features_follow_boxes_that_are_filtered():
    """The second box lies outside the image, and postprocessing drops it."""
    cfg = make_config("reid", [*TINY, "MODEL.REID.NUM_IDS", 2])
    detector = FixedBoxes(cfg)
    model = FullyDecoupledPersonSearch(
        detector=detector, reid=ReIDBranch(cfg, FeatureTap(detector).shapes()), stage="reid"
    ).eval()
    randomize_norms(model)
    kept = torch.tensor(FixedBoxes.BOXES)[[0, 2]]
    x = {"image": image(0), "height": 128, "width": 192, "queries": kept * 2}
    (output,) = model([x])
    instances = output["instances"]
    assert instances.scores.tolist() == pytest.approx([0.9, 0.7])
    torch.testing.assert_close(instances.pred_boxes.tensor, kept * 2)
    assert distinct(instances.reid_features)
    torch.testing.assert_close(instances.reid_features, output["query_features"])


def test_the_detector_is_built_by_name(monkeypatch):
    monkeypatch.setitem(META_ARCH_REGISTRY._obj_map, "FixedBoxes", FixedBoxes)
    model = build_model(make_config("detection", [*RESNET18, "MODEL.DETECTOR.NAME", "FixedBoxes"]))
    assert isinstance(model, FullyDecoupledPersonSearch)
    assert isinstance(model.detector, FixedBoxes)
