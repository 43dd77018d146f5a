"""Every detector with every side-net, fusion and stage: what trains, what stays, what comes out."""

import pytest
import torch
from detectron2.modeling import build_model

from fully_decoupled_ps import UserError
from fully_decoupled_ps.checkpoint import PersonSearchCheckpointer
from fully_decoupled_ps.engine.solver import build_optimizer
from tests.testing import (
    CONFIGS,
    RESNET18,
    TINY,
    image,
    make_config,
    randomize_norms,
    training_input,
)

DETECTORS = ["faster_rcnn_R50", "retinanet_R50", "fcos_R50"]
DETECTRON2S_OWN = ["faster_rcnn_fpn_R50", "cascade_rcnn_fpn_R50"]
HOMOGENEOUS = [("ResNetSideNet", f) for f in ("AlphaBlendFusion", "ConvFusion", "NoFusion")]
HETEROGENEOUS = [("OSNetSideNet", f) for f in ("ConvFusion", "NoFusion")]
PAIRS = [
    *((detector, pair) for detector in DETECTORS for pair in HOMOGENEOUS + HETEROGENEOUS),
    *((detector, HOMOGENEOUS[0]) for detector in DETECTRON2S_OWN),
]
DETECTOR_LR = 0.002

SMALL = (
    *("MODEL.RETINANET.SCORE_THRESH_TEST", 0.0, "MODEL.FCOS.SCORE_THRESH_TEST", 0.0),
    *("SOLVER.BASE_LR", 0.01, "SOLVER.HYBRID_DETECTOR_LR", DETECTOR_LR),
    # narrow pyramids and heads
    *("MODEL.FPN.OUT_CHANNELS", 64, "MODEL.ROI_BOX_HEAD.FC_DIM", 32),
    *("MODEL.RETINANET.NUM_CONVS", 1, "MODEL.FCOS.NUM_CONVS", 1),
    # the input layer stays frozen, as in every shipped config
    *("MODEL.BACKBONE.FREEZE_AT", 2, "MODEL.REID.NUM_IDS", 4),
)


def build(stage, detector, side_net=HOMOGENEOUS[0], opts=()):
    """A tiny network in training mode, and its config."""
    parts = ("MODEL.REID.SIDE_NET.NAME", side_net[0], "MODEL.REID.FUSION.NAME", side_net[1])
    config_file = CONFIGS / "prw" / f"{detector}.yaml"
    cfg = make_config(stage, [*TINY, *SMALL, *parts, *opts], config_file=config_file)
    model = build_model(cfg)
    randomize_norms(model)
    if "fcos" in detector:  # whose random boxes may all be empty: two strides each way
        torch.nn.init.constant_(model.detector.head.bbox_pred.bias, 2.0)
    return model.train(), cfg


def snapshot(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def differing(module, before):
    return {n for n, value in module.state_dict().items() if not torch.equal(value, before[n])}


def step(model, optimizer, batch):
    losses = model(batch)
    assert all(loss.isfinite() for loss in losses.values()), losses
    optimizer.zero_grad()
    sum(losses.values()).backward()
    optimizer.step()
    return losses


def all_have_gradients(module):
    trained = [(n, p) for n, p in module.named_parameters() if p.requires_grad]
    assert trained
    without = [n for n, p in trained if p.grad is None or not p.grad.isfinite().all()]
    return not without, without


BATCH = [training_input([0, 1, -1], seed=1), training_input([2, 0], seed=2, size=(60, 90))]
REID_LOSSES = {"loss_oim", "loss_triplet"}


def check_output(model):
    """One image with queries, one without; boxes and unit features for all of them."""
    inputs = [
        {"image": image(3), "height": 128, "width": 192, "queries": torch.rand(2, 4) * 20},
        {"image": image(4)},
    ]
    inputs[0]["queries"][:, 2:] += 60
    with torch.no_grad():
        outputs = model.eval()(inputs)
    assert [tuple(o["instances"].image_size) for o in outputs] == [(128, 192), (64, 96)]
    assert ["query_features" in o for o in outputs] == [True, False]
    features = [outputs[0]["query_features"]]
    for output in outputs:
        instances = output["instances"]
        assert len(instances) > 0
        assert instances.pred_boxes.tensor.isfinite().all()
        assert len(instances.reid_features) == len(instances.scores) == len(instances)
        features.append(instances.reid_features)
    features = torch.cat(features)
    assert features.shape[1] == model.reid.head.feature_dim
    torch.testing.assert_close(features.norm(dim=1), torch.ones(len(features)))


@pytest.mark.parametrize("detector", [*DETECTORS, *DETECTRON2S_OWN])
def test_stage_detection(detector):
    model, cfg = build("detection", detector)
    before = snapshot(model)
    optimizer = build_optimizer(cfg, model)
    losses = step(model, optimizer, BATCH)
    assert len(losses) >= 2 and not REID_LOSSES & losses.keys()
    assert all_have_gradients(model) == (True, [])
    assert any("res4" in name for name in differing(model, before))
    output = model.eval()([{"image": image(3)}])[0]
    assert output.keys() == {"instances"} and len(output["instances"]) > 0


@pytest.mark.parametrize("detector, side_net", PAIRS)
def test_stage_reid(detector, side_net):
    model, cfg = build("reid", detector, side_net)
    detector_before, reid_before = snapshot(model.detector), snapshot(model.reid)
    losses = step(model, build_optimizer(cfg, model), BATCH)
    assert losses.keys() == REID_LOSSES
    assert not any(p.requires_grad or p.grad is not None for p in model.detector.parameters())
    assert all_have_gradients(model.reid) == (True, [])
    assert not differing(model.detector, detector_before)
    changed = differing(model.reid, reid_before)
    assert {"memory.lookup_table", "memory.queue", "memory.queue_head"} <= changed
    assert any(name.startswith("side_net.res3") for name in changed)
    check_output(model)
    assert not differing(model.detector, detector_before)


@pytest.mark.parametrize("detector, side_net", PAIRS)
def test_stages_that_train_both(detector, side_net):
    """Joint and hybrid: one network, with different learning rates."""
    model, cfg = build("joint", detector, side_net)
    losses = model(BATCH)
    assert REID_LOSSES < losses.keys()
    # Re-id gradients reach f_d through the fusions, and only through them.
    layers = [getattr(model.feature_tap.bottom_up, name) for name in ("res3", "res4")]
    weights = [layer[-1].conv2.weight for layer in layers]
    reid_loss = losses["loss_oim"] + losses["loss_triplet"]
    gradients = torch.autograd.grad(reid_loss, weights, retain_graph=True, allow_unused=True)
    for gradient in gradients:
        assert (gradient is None) == (side_net[1] == "NoFusion")
        assert gradient is None or gradient.abs().sum() > 0

    sum(losses.values()).backward()
    assert all_have_gradients(model) == (True, [])
    check_output(model)
    for stage, expected in (("joint", 0.01), ("detached", 0.01), ("hybrid", DETECTOR_LR)):
        cfg.SOLVER.STAGE = stage
        groups = build_optimizer(cfg, model).param_groups
        rates = {id(p): group["lr"] for group in groups for p in group["params"]}
        assert len(rates) == sum(p.requires_grad for p in model.parameters())
        for part, rate in ((model.detector, expected), (model.reid, 0.01)):
            assert {rates[id(p)] for p in part.parameters() if p.requires_grad} == {rate}


def gradients_of(stage, detector, state, opts):
    """Of all losses on one batch by the parameters' names, the losses, and the network."""
    model, _ = build(stage, detector, opts=opts)
    assert not model.load_state_dict(state, strict=False).missing_keys
    torch.manual_seed(3)  # the same proposals are drawn, and the same noise
    losses = model(BATCH)
    sum(losses.values()).backward()
    return {n: p.grad for n, p in model.named_parameters() if p.requires_grad}, losses, model


WITH_CROPS = ("MODEL.REID.ORD.ENABLED", True, "MODEL.REID.ORD.CROP_SIZE", (64, 32))


@pytest.mark.parametrize(
    "detector, opts",
    [
        *((detector, ()) for detector in [*DETECTORS, *DETECTRON2S_OWN, "coat_R50"]),
        *((detector, WITH_CROPS) for detector in DETECTORS),
    ],
)
def test_detached_gives_each_net_the_gradients_of_its_own_losses(detector, opts):
    """f_d those of stage detection, f_r those of stage joint, bit by bit.

    Of f_d the input layer is trained here too, and its norms see the batch.
    """
    opts = [*opts, "MODEL.BACKBONE.FREEZE_AT", 0, "MODEL.COAT.DIM", 32, "MODEL.COAT.NUM_HEADS", 2]
    start = snapshot(build("joint", detector, opts=opts)[0])
    alone, detection_losses, detection = gradients_of("detection", detector, start, opts)
    found, losses, detached = gradients_of("detached", detector, start, opts)
    joint, joint_losses, _ = gradients_of("joint", detector, start, opts)
    assert {name: losses[name] for name in detection_losses} == detection_losses
    assert losses == joint_losses and len(losses) > len(detection_losses)

    assert any(".stem." in n for n in alone) and any(".res2." in n for n in alone)
    assert alone.keys() == {n for n in found if n.startswith("detector.")}
    assert all(torch.equal(found[n], gradient) for n, gradient in alone.items())
    # the running statistics of the norms, which have seen the batch, as well
    assert not differing(detection.detector, detached.detector.state_dict())
    seen = {n for n in differing(detached, start) if n.startswith("detector.")}
    assert seen and all("running_" in n or "num_batches" in n for n in seen)

    of_reid = found.keys() - alone.keys()
    assert all(torch.equal(found[n], joint[n]) for n in of_reid)
    assert all_have_gradients(detached) == (True, [])
    # which joint training does not leave to f_d's own losses
    changed = {n for n in alone if not torch.equal(alone[n], joint[n])}
    assert all(any(part in n for n in changed) for part in (".stem.", ".res2.", ".res3.", ".res4."))


def test_a_step_of_hybrid_moves_each_net_at_its_own_rate():
    model, cfg = build("hybrid", "faster_rcnn_R50", opts=["SOLVER.WEIGHT_DECAY", 0.0])
    optimizer = build_optimizer(cfg, model)
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    step(model, optimizer, BATCH)
    for name, p in model.named_parameters():
        if p.requires_grad:
            rate = DETECTOR_LR if name.startswith("detector.") else 0.01
            torch.testing.assert_close(before[name] - rate * p.grad, p.detach(), msg=name)


@pytest.mark.parametrize("stage", ["reid", "joint"])
@pytest.mark.parametrize("detector", DETECTORS)
@pytest.mark.parametrize(
    "ids", [[[], []], [[-1, -1], [-1]], [[1, 1], [1]]], ids=["nobody", "unlabelled", "one identity"]
)
def test_odd_batches_train(stage, detector, ids):
    model, cfg = build(stage, detector)
    batch = [training_input(person_ids, seed) for seed, person_ids in enumerate(ids)]
    step(model, build_optimizer(cfg, model), batch)
    # several processes wait for the gradient of every trained parameter
    assert all_have_gradients(model) == (True, [])


@pytest.mark.parametrize("detector", DETECTORS)
def test_no_detection_at_all(detector):
    threshold = [
        *("MODEL.ROI_HEADS.SCORE_THRESH_TEST", 1.0, "MODEL.FCOS.SCORE_THRESH_TEST", 1.0),
        *("MODEL.RETINANET.SCORE_THRESH_TEST", 1.0),
    ]
    model, _ = build("reid", detector, opts=threshold)
    query = {"image": image(3), "queries": torch.tensor([[10.0, 10.0, 40.0, 60.0]])}
    for queries in ({}, query):
        with torch.no_grad():
            output = model.eval()([{"image": image(3), **queries}])[0]
        assert len(output["instances"]) == 0
        assert output["instances"].reid_features.shape == (0, 256)
    assert output["query_features"].shape == (1, 256)


@pytest.mark.parametrize("stage", ["reid", "joint", "hybrid"])
def test_a_checkpoint_resumes(stage, tmp_path):
    """A step, a checkpoint, a step; and the same from the checkpoint in a new network."""
    model, cfg = build(stage, "retinanet_R50", opts=["MODEL.REID.BOX_NOISE.NUM_COPIES", 0])
    model.detector.loss_normalizer = 50.0
    optimizer = build_optimizer(cfg, model)
    step(model, optimizer, BATCH)
    PersonSearchCheckpointer(model, str(tmp_path), optimizer=optimizer).save("model_0000000")
    # The running mean that normalises RetinaNet's losses is not saved by Detectron2.
    normalizer = model.detector.loss_normalizer
    step(model, optimizer, BATCH)

    resumed, cfg = build(stage, "retinanet_R50", opts=["MODEL.REID.BOX_NOISE.NUM_COPIES", 0])
    optimizer = build_optimizer(cfg, resumed)
    checkpointer = PersonSearchCheckpointer(resumed, str(tmp_path), optimizer=optimizer)
    checkpointer.resume_or_load("", resume=True)
    resumed.detector.loss_normalizer = normalizer
    step(resumed, optimizer, BATCH)
    assert checkpointer.has_loaded_reid
    assert not differing(resumed, model.state_dict())


def test_a_blend_of_unequal_channels_is_refused():
    with pytest.raises(UserError, match="equal channels .* 64 and 384; .* ConvFusion") as excinfo:
        build("reid", "faster_rcnn_R50", ("OSNetSideNet", "AlphaBlendFusion"))
    assert "\n" not in str(excinfo.value)


def test_a_side_net_of_another_depth_has_a_convolution_as_side_ada():
    pair = "ResNetSideNet", "ConvFusion"
    opts = [*RESNET18, "MODEL.REID.SIDE_NET.DEPTH", 50]
    side_net = build("reid", "retinanet_R50", pair, opts)[0].reid.side_net
    assert side_net.side_ada.weight.shape == (256, 64, 1, 1)
    assert side_net.fusions["res3"].conv.weight.shape == (512, 128, 1, 1)
    assert side_net.fusions["res4"].conv.weight.shape == (1024, 256, 1, 1)
    x_d, x_r = torch.rand(2, 256, 4, 3), torch.rand(2, 1024, 4, 3)
    conv = side_net.fusions["res4"].conv
    expected = torch.einsum("nchw,kc->nkhw", x_d, conv.weight[:, :, 0, 0]) + x_r  # the bias is 0
    torch.testing.assert_close(side_net.fusions["res4"](x_d, x_r), expected)
