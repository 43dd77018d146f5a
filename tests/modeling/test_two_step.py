"""Two-step search: what is cut out, what becomes of it, and what of the network is trained."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from detectron2.modeling import build_model
from PIL import Image

from fully_decoupled_ps import UserError
from fully_decoupled_ps.engine.solver import build_optimizer
from fully_decoupled_ps.modeling import TwoStepPersonSearch
from fully_decoupled_ps.modeling.crop_reid import CropNetwork
from fully_decoupled_ps.modeling.crop_reid.cutting import cut_out, pixel_boxes
from fully_decoupled_ps.modeling.crop_reid.fast_reid import FastReID
from tests.modeling.crop_networks import CROPS, NoResNet
from tests.testing import CONFIGS, TINY, make_config, training_input
from tests.tiny_run import picture

BASE = CONFIGS / "Base-TwoStep.yaml"
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


def build(stage="reid", opts=()):
    """A detector without a ResNet, and the smallest of networks for crops."""
    torch.manual_seed(0)
    opts = (*TINY, *CROPS, "MODEL.DETECTOR.NAME", "NoResNet", "MODEL.REID.NUM_IDS", 4, *opts)
    model = build_model(make_config(stage, opts, config_file=BASE))
    if model.reid is not None:  # statistics that are worth something
        norm = model.reid.network.layers[1]
        norm.running_mean.uniform_(-0.3, 0.3)
        norm.running_var.uniform_(0.5, 2)
    return model.eval()


def original(seed, size):
    """A picture with fine detail, as (H, W, 3) uint8."""
    noise = np.random.default_rng(seed).integers(-30, 30, (*size, 3))
    return (picture(seed, size).astype(int) + noise).clip(0, 255).astype(np.uint8)


def frame(seed, size=(192, 288), queries=None):
    """An input of 64 x 96, of a picture of any size."""
    pixels = original(seed, size)
    small = np.asarray(Image.fromarray(pixels).resize((96, 64), Image.BILINEAR))
    tensor = torch.from_numpy(pixels.copy()).permute(2, 0, 1)
    frame = {"image": torch.from_numpy(small.copy()).permute(2, 0, 1), "original_image": tensor}
    frame.update(height=size[0], width=size[1], pixels=pixels)
    return frame if queries is None else {**frame, "queries": queries}


def by_hand(model, pixels, boxes, swap=False, flip=False):
    """Features of boxes whose edges are whole numbers, with Pillow and one crop at a time."""
    features = []
    for box in boxes:
        crop = Image.fromarray(pixels).crop(tuple(int(edge) for edge in box))
        x = np.asarray(crop.resize((12, 24), Image.BILINEAR), np.float32)
        if swap:
            x = x[:, :, ::-1]
        x = (x - np.array(MEAN, np.float32)) / np.array(STD, np.float32)
        views = [x, x[:, ::-1]] if flip else [x]
        with torch.no_grad():
            rows = [
                model.reid.network(torch.tensor(v.transpose(2, 0, 1).copy())[None]) for v in views
            ]
        features.append(F.normalize(sum(rows) / len(rows))[0])
    return torch.stack(features)


# --- boxes and crops -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "box, expected",
    [
        ((10, 20, 30, 60), (10, 20, 30, 60)),
        ((10.4, 19.6, 30.4, 59.6), (10, 20, 30, 60)),
        ((9.5, 20.5, 30.5, 61.5), (10, 20, 30, 62)),  # from the middle to the even one
        ((-7, -3, 200, 90), (0, 0, 100, 80)),  # over all four borders
        ((10.1, 20.1, 10.3, 20.3), (10, 20, 11, 21)),  # less than a pixel
        ((99.8, 79.9, 100, 80), (99, 79, 100, 80)),
        ((-30, -20, -5, -1), (0, 0, 1, 1)),  # outside
        ((120, 90, 130, 95), (99, 79, 100, 80)),
        ((50, 50, 40, 40), (50, 50, 51, 51)),  # turned round
    ],
)
def test_boxes_become_whole_pixels_in_the_picture(box, expected):
    assert pixel_boxes(torch.tensor([box]), height=80, width=100).tolist() == [list(expected)]


@pytest.mark.parametrize("box", [(10, 20, 30, 60), (0, 0, 100, 80), (40, 3, 41, 4), (5, 5, 8, 70)])
@pytest.mark.parametrize("kind", [torch.uint8, torch.float32])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_a_crop_is_pillows(box, kind, interpolation):
    pixels = original(0, (80, 100))
    picture = torch.from_numpy(pixels).permute(2, 0, 1).to(kind)
    ours = cut_out(picture, torch.tensor([box]), (24, 12), interpolation)
    filters = {"bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC}
    crop = Image.fromarray(pixels).crop(box).resize((12, 24), filters[interpolation])
    crop = np.asarray(crop)
    assert ours.shape == (1, 3, 24, 12) and ours.dtype == kind
    difference = ours[0].permute(1, 2, 0).float() - torch.tensor(crop.astype(np.float32))
    # grey levels; between its two passes Pillow rounds and clips, which a cubic shows more
    assert difference.abs().max() <= (1 if interpolation == "bilinear" else 1.5)


@pytest.mark.parametrize("kind", [torch.uint8, torch.float32])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_a_crop_is_torchvisions_to_the_bit(kind, interpolation):
    from torchvision.transforms.v2.functional import InterpolationMode, resize_image

    picture = torch.from_numpy(original(0, (80, 100))).permute(2, 0, 1).to(kind)
    for x0, y0, x1, y1 in [(10, 20, 30, 60), (0, 0, 100, 80), (40, 3, 41, 4), (5, 5, 17, 29)]:
        ours = cut_out(picture, torch.tensor([[x0, y0, x1, y1]]), (24, 12), interpolation)
        crop = picture[:, y0:y1, x0:x1]
        theirs = resize_image(crop, [24, 12], InterpolationMode(interpolation), antialias=True)
        assert torch.equal(ours[0], theirs.clamp(0, 255))


# --- inference -------------------------------------------------------------------------------


def test_features_are_those_of_crops_cut_by_hand():
    """The detector's boxes are three times as large in the picture, and clipped to it."""
    model = build()
    queries = [[12, 18, 90, 180], [150, 5, 230, 144]]
    x = frame(0, queries=queries)
    (output,) = model([x])
    found = output["instances"]
    boxes = [(12, 18, 90, 180), (121, 0, 188, 150), (180, 60, 288, 186)]
    np.testing.assert_allclose(found.pred_boxes.tensor, np.array(boxes), atol=0.61)
    assert found.image_size == (192, 288) and found.scores.tolist() == pytest.approx(
        [0.9, 0.8, 0.7]
    )
    expected = by_hand(model, x["pixels"], boxes)
    assert torch.pdist(expected).min() > 1e-3  # else an order would not be seen
    torch.testing.assert_close(found.reid_features, expected, atol=2e-3, rtol=0)
    expected = by_hand(model, x["pixels"], queries)
    torch.testing.assert_close(output["query_features"], expected, atol=2e-3, rtol=0)
    assert x["queries"] == queries


@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize("flip", [False, True])
def test_the_order_of_channels_and_the_mirror_image(swap, flip):
    opts = ("MODEL.CROP_REID.FORMAT", "BGR" if swap else "RGB", "MODEL.CROP_REID.FLIP", flip)
    model = build(opts=opts)
    boxes = [[12, 18, 90, 180], [150, 5, 230, 144]]
    x = frame(0, queries=boxes)
    features = model([x])[0]["query_features"]
    expected = by_hand(model, x["pixels"], boxes, swap, flip)
    torch.testing.assert_close(features, expected, atol=2e-3, rtol=0)
    other = by_hand(model, x["pixels"], boxes, not swap, flip)
    assert (features - other).abs().max() > 5e-3
    other = by_hand(model, x["pixels"], boxes, swap, not flip)
    assert (features - other).abs().max() > 5e-3


def test_crops_are_resized_as_the_networks_training_did(monkeypatch):
    """fast-reid's with a bicubic filter, others' with a bilinear one."""
    assert CropNetwork.interpolation == "bilinear" and FastReID.interpolation == "bicubic"
    model, x = build(), frame(0)
    (bilinear,) = model([x])
    monkeypatch.setattr(type(model.reid.network), "interpolation", "bicubic")
    (bicubic,) = model([x])
    difference = bicubic["instances"].reid_features - bilinear["instances"].reid_features
    assert 1e-4 < difference.abs().max() < 0.5


def test_a_box_has_the_same_feature_as_query_and_as_detection():
    model = build()
    x = frame(1)
    (output,) = model([x])
    found = output["instances"]
    x["queries"] = found.pred_boxes.tensor.flip(0)
    (output,) = model([x])
    assert torch.equal(output["query_features"].flip(0), output["instances"].reid_features)


def test_no_crop_is_computed_twice():
    model = build(opts=("MODEL.CROP_REID.BATCH", 4))
    x = frame(1)
    found = model([x])[0]["instances"].pred_boxes.tensor
    sizes = []
    model.reid.network.register_forward_pre_hook(lambda _, args: sizes.append(len(args[0])))
    # detections again as queries, one moved by less than it takes for another pixel, one new
    x["queries"] = torch.cat([found, found[:1] + 0.1, torch.tensor([[1.0, 2, 30, 40]])])
    beside = {**x, "original_image": x["original_image"].flip(-1)}  # other pixels, same boxes
    first, second = model([x, beside])
    assert sizes == [4, 4]
    assert torch.equal(first["query_features"][3], first["query_features"][0])
    assert not torch.allclose(second["query_features"], first["query_features"], atol=1e-3)


def test_frames_of_several_sizes_give_what_each_gives_alone():
    model = build(opts=("MODEL.CROP_REID.BATCH", 5))
    queries = [[3.0, 4, 40, 60]]
    frames = [frame(0), frame(1, (90, 70), queries), frame(2, (400, 500)), frame(3, (66, 99), [])]
    frames[2]["image"] = F.pad(frames[2]["image"], (0, 8))  # another size of input
    for x, together in zip(frames, model(frames), strict=True):
        (alone,) = model([x])
        assert together.keys() == alone.keys()
        a, b = together["instances"], alone["instances"]
        assert len(a) == len(b) == 3 and a.image_size == (x["height"], x["width"])
        assert torch.equal(a.pred_boxes.tensor, b.pred_boxes.tensor)
        torch.testing.assert_close(a.reid_features, b.reid_features, atol=1e-6, rtol=0)
        if "queries" in x:
            assert together["query_features"].shape == (len(x["queries"]), 8)
            torch.testing.assert_close(together["query_features"], alone["query_features"])


def test_without_detections(monkeypatch):
    model = build()
    found = NoResNet.found
    monkeypatch.setattr(NoResNet, "found", lambda self, size: found(self, size)[:0])
    nobody, queried = model([frame(0), frame(1, queries=[[4.0, 4, 30, 60]])])
    assert nobody["instances"].reid_features.shape == (0, 8)
    assert queried["instances"].reid_features.shape == (0, 8)
    assert queried["query_features"].shape == (1, 8)


def test_a_picture_that_was_not_resized_stands_for_itself():
    model = build()
    x = frame(0, (64, 96))
    assert torch.equal(x["image"], x["original_image"])
    (expected,) = model([x])
    (output,) = model([{"image": x["image"]}])
    features = output["instances"].reid_features
    assert torch.equal(features, expected["instances"].reid_features)
    with pytest.raises(ValueError, match="96 x 64 .* picture of 288 x 192, and has no original"):
        model([{"image": x["image"], "height": 192, "width": 288}])


# --- training --------------------------------------------------------------------------------


def steps(model, number, opts=(), ids=((0, 1, -1), (1, 2))):
    cfg = make_config("reid", ["SOLVER.BASE_LR", 0.05, *opts], config_file=BASE)
    optimizer = build_optimizer(cfg, model.train())
    totals = []
    for _ in range(number):
        losses = model([training_input(persons, seed=i) for i, persons in enumerate(ids)])
        total = sum(losses.values())
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        totals.append(total.item())
    return totals


def test_training_reduces_the_loss_and_leaves_the_detector_bit_equal(monkeypatch):
    model = build()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    monkeypatch.setattr(NoResNet, "forward", lambda *args: pytest.fail("the detector was run"))
    totals = steps(model, 30)
    assert sum(totals[-3:]) < 0.5 * sum(totals[1:4])
    after = model.state_dict()
    assert torch.equal(after["detector.weight"], before["detector.weight"])
    assert not model.detector.training and model.reid.network.training
    changed = {name for name in after if not torch.equal(after[name], before[name])}
    assert {name for name in after if ".network.layers." in name} <= changed
    assert {"reid.memory.lookup_table", "reid.memory.queue"} <= changed


def test_the_losses_are_of_noisy_boxes_of_the_picture_itself(monkeypatch):
    model = build(opts=("MODEL.REID.BOX_NOISE.NUM_COPIES", 2)).train()
    seen = []
    network = model.reid.network
    network.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    given = {}
    monkeypatch.setattr(
        model.reid.memory, "update", lambda rows, ids: given.update(rows=rows, ids=ids)
    )
    batch = [training_input([0, -1]), training_input([2], seed=1)]
    losses = model(batch)
    assert set(losses) == {"loss_oim", "loss_triplet"}
    assert given["ids"].tolist() == [0, -1, 0, -1, 0, -1, 2, 2, 2]
    assert seen[0].shape == (9, 3, 24, 12)
    torch.testing.assert_close(given["rows"].norm(dim=1), torch.ones(9))
    # the first of each person is of the box itself
    box = batch[0]["instances"].gt_boxes.tensor[1].tolist()
    pixels = batch[0]["image"].byte().permute(1, 2, 0).numpy()
    crop = Image.fromarray(pixels).crop(tuple(map(int, box))).resize((12, 24), Image.BILINEAR)
    x = (np.asarray(crop, np.float32) - MEAN) / STD
    difference = seen[0][1].permute(1, 2, 0) - torch.tensor(x, dtype=torch.float32)
    assert difference.abs().max() < 0.04  # two grey levels of 57
    assert (seen[0][0] - seen[0][2]).abs().max() > 0.05  # and a copy is of another one


@pytest.mark.parametrize(
    "ids",
    [((), ()), ((0,), ()), ((-1, -1), (-1,)), ((2,), (2,))],
    ids=["nobody", "one box", "all unlabelled", "one identity"],
)
@pytest.mark.parametrize("copies", [0, 1])
def test_losses_are_finite_and_reach_every_parameter(ids, copies):
    model = build(opts=("MODEL.REID.BOX_NOISE.NUM_COPIES", copies)).train()
    for seed in range(2):
        model.zero_grad()
        losses = model([training_input(persons, seed=seed + i) for i, persons in enumerate(ids)])
        assert all(loss.isfinite() for loss in losses.values())
        sum(losses.values()).backward()
        for name, p in model.reid.network.named_parameters():
            assert p.grad is not None and p.grad.isfinite().all(), name


def test_a_single_crop_has_no_variance():
    """A neck's batch norm would refuse it in training; it has a gradient all the same."""
    model = build(opts=("MODEL.REID.BOX_NOISE.NUM_COPIES", 0)).train()
    network = model.reid.network
    neck = torch.nn.BatchNorm1d(8)
    network.register_forward_hook(lambda module, args, features: neck(features))
    network.add_module("neck", neck)
    losses = model([training_input([1])])
    sum(losses.values()).backward()
    assert network.layers[0].weight.grad.isfinite().all()
    assert neck.num_batches_tracked == 0
    model([training_input([1, 2])])
    assert neck.num_batches_tracked == 1


def test_stage_detection_is_the_detector_alone():
    model = build("detection").train()
    assert model.reid is None
    assert model([training_input([0])])["loss_weight"].requires_grad
    (output,) = model.eval()([frame(0)])
    assert set(output) == {"instances"} and not output["instances"].has("reid_features")


@pytest.mark.parametrize("stage", ["joint", "hybrid"])
def test_the_two_networks_share_nothing_to_be_trained_together(stage):
    with pytest.raises(UserError, match=f"'{stage}'; .* has detection and reid: .* share nothing"):
        TwoStepPersonSearch(make_config(stage, config_file=BASE))


def test_a_checkpoint_holds_both_and_the_memory():
    model = build()
    steps(model, 1)
    state = copy.deepcopy(model.state_dict())
    assert {name.split(".")[0] for name in state} == {"detector", "reid"}
    assert {name.split(".")[1] for name in state if name.startswith("reid.")} == {
        "network",
        "memory",
    }
