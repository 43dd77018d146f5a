"""The second stream, of crops: what is cut out, how it is embedded, its losses, what it leaves."""

import math
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from detectron2.modeling import build_model
from detectron2.structures import Boxes
from detectron2.utils.events import EventStorage
from PIL import Image

from fully_decoupled_ps import UserError
from fully_decoupled_ps.modeling import IdentityMemory
from fully_decoupled_ps.modeling.activation_checkpointing import STAGES
from fully_decoupled_ps.modeling.crop_stream import CropStream, maps_as_at_inference
from fully_decoupled_ps.modeling.losses import PrototypeLoss
from tests.testing import (
    BOXES,
    CONFIGS,
    TINY,
    image,
    make_config,
    make_model,
    randomize_norms,
    training_input,
    unit_rows,
)

NODE = "MODEL.REID.ORD."
SIZE = (64, 32)
ORD = (f"{NODE}ENABLED", True, f"{NODE}CROP_SIZE", SIZE)
PLAIN = (f"{NODE}FLIP_PROB", 0.0, f"{NODE}ERASE.PROB", 0.0)
BATCH = [training_input([0, 1, -1], seed=1), training_input([2, 0], seed=2)]
NAMES = {"loss_oim", "loss_triplet", "loss_oim_crops", "loss_triplet_crops"}
NAMES |= {"loss_contrast", "loss_contrast_crops"}


def make_stream(**parts):
    memory = IdentityMemory(num_ids=3, queue_size=2, feature_dim=4)
    parts = {"size": SIZE, "flip_prob": 0.0, "erase_prob": 0.0, **parts}
    return CropStream(memory=memory, contrast=PrototypeLoss(temperature=0.07), **parts)


def train_once(model, batch=BATCH, seed=0):
    """Losses of a batch, whose gradients the parameters then have."""
    model.zero_grad()
    torch.manual_seed(seed)
    with EventStorage():
        losses = model(batch)
    sum(losses.values()).backward()
    return losses


def snapshot(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def assert_equal(first, second):
    assert first.keys() == second.keys()
    assert [n for n, value in first.items() if not torch.equal(value, second[n])] == []


# --- cutting ---------------------------------------------------------------------------------


def test_crops_are_pillows_in_the_order_of_the_boxes():
    pictures = [image(1).byte(), image(2, (60, 90)).byte()]
    boxes = [BOXES[:2], BOXES[2:]]
    crops = make_stream().cut(pictures, [Boxes(torch.tensor(b)) for b in boxes])
    assert crops.shape == (3, 3, *SIZE) and crops.dtype == torch.uint8
    expected = []
    for picture, some in zip(pictures, boxes, strict=True):
        whole = Image.fromarray(picture.permute(1, 2, 0).numpy())
        # whole pixels of the picture: the last box is cut at its border
        inside = [(x0, y0, min(x1, whole.width), min(y1, whole.height)) for x0, y0, x1, y1 in some]
        expected += [whole.crop(b).resize(SIZE[::-1], Image.BILINEAR) for b in inside]
    for crop, other in zip(crops, expected, strict=True):
        difference = crop.permute(1, 2, 0).int().numpy() - np.asarray(other, dtype=int)
        assert abs(difference).max() <= 1


@pytest.mark.parametrize(
    "box",
    [
        (5.0, 5.0, 5.0, 5.0),
        (-20.0, -9.0, -10.0, -5.0),
        (200.0, 90.0, 300.0, 95.0),
        (7.4, 3, 7.3, 9),
    ],
)
def test_a_box_without_a_pixel_is_cut_from_the_nearest(box):
    crops = make_stream().cut([image(1)], [Boxes(torch.tensor([box]))])
    assert crops.shape == (1, 3, *SIZE) and crops.isfinite().all()
    assert 0 < crops.max() <= 255


def test_without_a_box_there_is_one_black_crop():
    crops = make_stream().cut([image(1), image(2)], [Boxes(torch.zeros(0, 4))] * 2)
    assert crops.shape == (1, 3, *SIZE) and not crops.any()


def test_crops_are_mirrored_as_often_as_is_said():
    pictures, boxes = [image(1)], [Boxes(torch.tensor(BOXES[:1]).repeat(200, 1))]
    (plain,) = make_stream().cut(pictures, [boxes[0][:1]])
    assert not torch.equal(plain, plain.flip(-1))
    for prob, allowed in ((0.0, {0}), (1.0, {200}), (0.5, set(range(70, 131)))):
        torch.manual_seed(0)
        crops = make_stream(flip_prob=prob).cut(pictures, boxes)
        mirrored = [torch.equal(crop, plain.flip(-1)) for crop in crops]
        assert sum(mirrored) in allowed
        assert all(m or torch.equal(crop, plain) for m, crop in zip(mirrored, crops))


def test_a_black_rectangle_of_the_right_area_and_aspect():
    pictures = [image(1).clamp(min=1.0)]
    boxes = [Boxes(torch.tensor(BOXES[:1]).repeat(100, 1))]
    torch.manual_seed(0)
    (plain,) = make_stream().cut(pictures, [boxes[0][:1]])
    crops = make_stream(erase_prob=1.0, erase_area=(0.1, 0.2), erase_aspect=(0.5, 3.0)).cut(
        pictures, boxes
    )
    areas = []
    for crop in crops:
        black = crop.eq(0).all(dim=0)
        rows, columns = black.any(dim=1).sum().item(), black.any(dim=0).sum().item()
        assert black.sum() == rows * columns  # it is one rectangle
        assert torch.equal(crop[:, ~black], plain[:, ~black])
        areas.append(rows * columns / (SIZE[0] * SIZE[1]))
        assert 0.45 < rows / columns < 3.4  # in whole pixels
    assert 0.09 < min(areas) < 0.12 and 0.18 < max(areas) < 0.21
    torch.manual_seed(0)
    crops = make_stream(erase_prob=0.5).cut(pictures, boxes)
    assert 35 <= sum(not torch.equal(crop, plain) for crop in crops) <= 65


# --- embedding -------------------------------------------------------------------------------


@pytest.mark.parametrize("base, sides", [("FasterRCNN", 1), ("RetinaNet", 32)])
def test_a_crop_goes_through_all_weights(base, sides):
    """Layer by layer, on crops whose sides are no multiples of 32, which a pyramid pads."""
    opts = [*TINY, f"{NODE}ENABLED", True, f"{NODE}CROP_SIZE", (72, 40), *PLAIN]
    torch.manual_seed(0)
    model = build_model(make_config("reid", opts, config_file=CONFIGS / f"Base-{base}.yaml")).eval()
    randomize_norms(model)
    reid, bottom_up = model.reid, model.feature_tap.bottom_up
    assert (model.detector.backbone.size_divisibility or 1) == sides
    pictures, boxes = [x["image"] for x in BATCH], [x["instances"].gt_boxes for x in BATCH]
    maps_of = partial(maps_as_at_inference, model.detector, model.feature_tap)
    found = reid.crop_stream.embed(reid, maps_of, pictures, boxes, [5])
    with torch.no_grad():
        x = reid.crop_stream.cut(pictures, boxes)
        x = (x - model.detector.pixel_mean) / model.detector.pixel_std
        x_d = bottom_up.res2(bottom_up.stem(x))
        x_s, side_net = x_d, reid.side_net
        for name in ("res3", "res4"):
            x_d = getattr(bottom_up, name)(x_d)
            alpha = side_net.fusions[name].alpha_logit.sigmoid()
            x_s = alpha * x_d + (1 - alpha) * getattr(side_net, name)(x_s)
        assert x_s.shape[2:] == (5, 3)
        pooled, norm = reid.head.conv5(x_s).mean(dim=(2, 3)), reid.head.norm
        embeddings = (pooled - norm.running_mean) / (norm.running_var + norm.eps).sqrt()
        expected = F.normalize(embeddings * norm.weight + norm.bias)
    assert found.shape == (5, 256) and torch.pdist(expected).min() > 1e-3
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_each_noisy_copy_is_cut_out_where_the_maps_are_pooled():
    model = make_model("reid", (*ORD, "MODEL.REID.BOX_NOISE.NUM_COPIES", 2), train=True)
    stream, given = model.reid.crop_stream, []
    stream.cut, cut = lambda *args: given.append(args) or cut(*args), stream.cut
    pooled = []
    model.reid.head.register_forward_pre_hook(lambda _, args: pooled.extend(args[1]))
    train_once(model)
    ((pictures, boxes),) = given
    assert all(map(torch.equal, pictures, [x["image"] for x in BATCH]))
    assert [len(b) for b in boxes] == [9, 6]
    assert all(torch.equal(b.tensor, p.tensor) for b, p in zip(boxes, pooled, strict=True))


@pytest.mark.parametrize("stage", ["reid", "joint", "detached", "hybrid"])
def test_f_d_and_running_statistics_know_nothing_of_crops(stage):
    """With and without: f_d's gradients, all statistics, boxes, f_r's own losses of maps."""
    found = []
    for opts in ((), ORD):
        model = make_model(stage, opts, train=True)
        modes = [m.training for m in model.detector.modules()]
        losses = train_once(model)
        assert [m.training for m in model.detector.modules()] == modes
        gradients = {n: p.grad for n, p in model.detector.named_parameters() if p.requires_grad}
        state = {n: v for n, v in model.state_dict().items() if "crop_stream" not in n}
        found.append((losses, gradients, state))
    (losses, gradients, state), (with_crops, other_gradients, other_state) = found
    assert NAMES <= with_crops.keys() and with_crops.keys() - losses.keys() == {
        name for name in NAMES if name not in ("loss_oim", "loss_triplet")
    }
    torch.testing.assert_close(with_crops["loss_triplet"], losses["loss_triplet"] / 2)
    assert all(with_crops[n] == v for n, v in losses.items() if n != "loss_triplet")
    assert_equal(state, other_state)  # the running statistics, and the maps' memory, among them
    if stage == "detached":  # in the others the triplet loss, halved, reaches f_d
        assert_equal(gradients, other_gradients)


def test_crops_have_statistics_of_their_own_and_train_the_weights():
    model = make_model("reid", ORD, train=True)
    stream, seen = model.reid.crop_stream, []
    model.reid.head.norm.register_forward_hook(lambda _, args, out: seen.append(out.detach()))
    losses = train_once(model)
    assert [len(x) for x in seen] == [10, 10]
    for normed in seen:  # each stream has zero mean by itself
        torch.testing.assert_close(normed.mean(dim=0), torch.zeros(256), atol=1e-5, rtol=0)
    assert stream.memory.seen().tolist() == [True, True, True, False]
    assert not torch.equal(stream.memory.lookup_table, model.reid.memory.lookup_table)
    model.zero_grad()
    with EventStorage():
        losses = model(BATCH)
    (losses["loss_oim_crops"] + losses["loss_contrast_crops"]).backward()
    reached = [n for n, p in model.reid.named_parameters() if p.requires_grad and p.grad.any()]
    assert {"head.norm.weight", "side_net.fusions.res3.alpha_logit"} <= set(reached)
    assert any(n.startswith("side_net.res3") for n in reached)
    assert any(n.startswith("head.conv5") for n in reached)


# --- losses ----------------------------------------------------------------------------------


def dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


def cross_entropy(row, rows, own, temperature):
    logits = [dot(row, other) / temperature for other in rows]
    top = max(logits)
    return top + math.log(sum(math.exp(v - top) for v in logits)) - logits[own]


def losses_by_loop(embeddings, ids, table, queue, other_table, margin, share):
    """OIM, triplet and classification among the other table's rows, of one stream."""
    labelled = [k for k, i in enumerate(ids) if i >= 0]
    oim = [cross_entropy(embeddings[k], table + queue, ids[k], 1 / 30) for k in labelled]
    contrast = [cross_entropy(embeddings[k], other_table, ids[k], 0.07) for k in labelled]
    triplet = []
    for k in labelled:
        candidates = [(embeddings[j], ids[j]) for j in labelled if j != k]
        candidates += [(row, i) for i, row in enumerate(table) if any(row)]
        distances = {True: [], False: []}
        for row, person in candidates:
            distances[person == ids[k]].append(math.sqrt(max(2 - 2 * dot(embeddings[k], row), 0)))
        if distances[True] and distances[False]:
            triplet.append(max(0, max(distances[True]) - min(distances[False]) + margin))
    return [
        sum(oim) / len(oim),
        share * sum(triplet) / len(triplet),
        sum(contrast) / len(contrast),
    ]


def test_losses_are_those_of_plain_loops():
    """In the second step, when the memories hold some identities and differ."""
    opts = (*ORD, "MODEL.REID.TRIPLET.WEIGHT", 3.0, "MODEL.REID.BOX_NOISE.NUM_COPIES", 1)
    model = make_model("reid", opts, train=True)
    train_once(model, [training_input([1, -1, 2], seed=5)])
    memories = model.reid.memory, model.reid.crop_stream.memory
    rows = [(m.lookup_table.tolist(), m.queue.tolist()) for m in memories]
    given = []
    for memory in memories:
        memory.update = lambda x, ids, memory=memory: given.append(
            (memory, x.tolist(), ids.tolist())
        )
    losses = {name: loss.item() for name, loss in train_once(model).items()}
    given.sort(key=lambda x: x[0] is memories[1])
    assert given[0][2] == given[1][2] == [0, 1, -1, 0, 1, -1, 2, 0, 2, 0]
    assert len(given) == 2 and given[0][1] != given[1][1]
    for this, suffix in ((0, ""), (1, "_crops")):
        _, embeddings, ids = given[this]
        expected = losses_by_loop(embeddings, ids, *rows[this], rows[1 - this][0], 0.3, 1.5)
        found = [losses[name + suffix] for name in ("loss_oim", "loss_triplet", "loss_contrast")]
        assert found == pytest.approx(expected, rel=1e-4)


def test_prototypes_by_hand():
    """Similarities 1, 0 and 0 (a row that was not seen) at temperature 1: p = e / (e + 2)."""
    memory = IdentityMemory(num_ids=3, queue_size=1, feature_dim=2)
    memory.lookup_table[:2] = torch.eye(2)
    memory.queue[:] = 5.0  # takes no part
    rows, ids = torch.tensor([[1.0, 0.0], [0.6, 0.8]]), torch.tensor([0, -1])
    p = math.e / (math.e + 2)
    loss = PrototypeLoss(temperature=1.0, weight=2.0)(rows, ids, memory)
    assert loss.item() == pytest.approx(-2 * math.log(p), rel=1e-6)


def test_prototypes_are_constants_that_an_update_may_change():
    memory = IdentityMemory(num_ids=2, queue_size=0, feature_dim=4)
    memory.lookup_table[:] = unit_rows(2, 4, seed=1)
    rows = unit_rows(2, 4).requires_grad_()
    table = memory.lookup_table.clone()
    loss = PrototypeLoss(temperature=0.5)(rows, torch.tensor([0, 1]), memory)
    memory.update(rows, torch.tensor([0, 1]))
    loss.backward()
    p = (rows @ table.t() / 0.5).softmax(dim=1).detach()
    torch.testing.assert_close(rows.grad, (p - torch.eye(2)) @ table / 0.5 / 2)


@pytest.mark.parametrize(
    "opts",
    [
        (),
        ("MODEL.REID.SIDE_NET.NAME", "OSNetSideNet", "MODEL.REID.FUSION.NAME", "ConvFusion"),
        ("MODEL.REID.POOLING", "gem", "MODEL.REID.FUSION.NAME", "NoFusion"),
    ],
    ids=["blend", "osnet", "gem"],
)
@pytest.mark.parametrize(
    "persons",
    [[[], []], [[0], []], [[-1, -1], [-1]], [[2], [2]]],
    ids=["nobody", "one box", "all unlabelled", "one identity"],
)
def test_losses_are_finite_and_reach_every_parameter(persons, opts):
    opts = (*ORD, *opts, "MODEL.REID.BOX_NOISE.NUM_COPIES", 0)
    model = make_model("reid", opts, train=True)
    for seed in range(2):  # with an empty memory, and with what the first step left in it
        batch = [training_input(ids, seed=seed + i) for i, ids in enumerate(persons)]
        losses = train_once(model, batch)
        assert losses.keys() == (NAMES if any(persons) else {"loss_oim"})
        assert all(loss.isfinite() for loss in losses.values())
        if persons == [[-1, -1], [-1]]:
            assert not any(losses.values())
            assert model.reid.crop_stream.memory.queue.any()
        for name, p in model.named_parameters():
            assert (p.grad is not None) == p.requires_grad, name
            assert p.grad is None or p.grad.isfinite().all(), name


def test_in_reduced_precision_losses_are_in_float32():
    model = make_model("reid", (*ORD, "SOLVER.AMP.ENABLED", True), train=True)
    assert model.training_dtype == torch.bfloat16
    losses = train_once(model)
    assert losses.keys() == NAMES
    assert all(loss.dtype == torch.float32 and loss.isfinite() for loss in losses.values())


# --- what it costs ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "opts",
    [(), ("MODEL.REID.SIDE_NET.NAME", "OSNetSideNet", "MODEL.REID.FUSION.NAME", "ConvFusion")],
    ids=["resnet", "osnet"],
)
def test_crops_are_computed_again_with_equal_results(opts):
    found = []
    for stages in ((), STAGES):
        model = make_model("reid", (*ORD, *opts, f"{NODE}CHECKPOINTING", stages), train=True)
        kinds = [type(m) for m in model.modules()]
        remembered = set()

        def keep(tensor, remembered=remembered):
            if tensor.ndim == 4:
                remembered.add((tensor.data_ptr(), tensor.numel()))
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
            losses = train_once(model)
        gradients = {n: p.grad for n, p in model.named_parameters() if p.requires_grad}
        assert [type(m) for m in model.modules()] == kinds
        assert not any("forward" in vars(m) for m in model.modules())
        found.append((losses, gradients, model.state_dict(), sum(n for _, n in remembered)))
    plain, again = found
    assert again[3] < 0.9 * plain[3]
    for mine, other in zip(plain[:3], again[:3]):
        assert_equal(mine, other)


def test_inference_is_that_of_a_network_without(monkeypatch):
    monkeypatch.setattr(CropStream, "embed", lambda *args: pytest.fail("a crop was embedded"))
    model, plain = make_model("reid", ORD), make_model("reid")
    surplus = model.state_dict().keys() - plain.state_dict().keys()
    assert {n.removeprefix("reid.crop_stream.memory.") for n in surplus} == {
        "lookup_table",
        "queue",
        "queue_head",
    }
    assert list(model.reid.crop_stream.parameters()) == []
    plain.load_state_dict({n: v for n, v in model.state_dict().items() if n not in surplus})
    x = {"image": image(3), "queries": torch.tensor(BOXES[:2])}
    (found,), (expected,) = model([x]), plain([x])
    assert torch.equal(found["query_features"], expected["query_features"])
    assert len(found["instances"]) > 0
    for name, value in expected["instances"].get_fields().items():
        other = found["instances"].get(name)
        assert torch.equal(*(getattr(v, "tensor", v) for v in (value, other)))


# --- what is refused -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "key, value, message",
    [
        ("CROP_SIZE", (256,), r"CROP_SIZE is \[256\]; .* height and width"),
        ("CROP_SIZE", (256, 16), r"CROP_SIZE is \[256, 16\]; .* 32 or more"),
        ("FLIP_PROB", 1.5, r"FLIP_PROB is 1.5; it must be in \[0, 1\]"),
        ("ERASE.PROB", -0.5, r"ERASE.PROB is -0.5; it must be in \[0, 1\]"),
        ("ERASE.AREA", (0.3, 0.1), r"ERASE.AREA is \[0.3, 0.1\]; .* no more than 1"),
        ("ERASE.ASPECT", (0.0, 3.3), r"ERASE.ASPECT is \[0.0, 3.3\]; .* above 0"),
        ("TEMPERATURE", 0.0, "TEMPERATURE is 0.0; it must be above 0"),
        ("WEIGHT", -1.0, "WEIGHT is -1.0; it must be 0 or more"),
        ("CHECKPOINTING", ("conv3",), "CHECKPOINTING: 'conv3' .* res3, res4, res5"),
    ],
)
def test_values_out_of_range_are_refused(key, value, message):
    with pytest.raises(UserError, match=rf"\AMODEL\.REID\.ORD\.{message}"):
        make_model("reid", (*ORD[:2], NODE + key, value))
