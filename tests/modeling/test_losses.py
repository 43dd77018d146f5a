"""The losses against plain loops in float64, and against values worked by hand."""

import math

import pytest
import torch

from fully_decoupled_ps import UserError
from fully_decoupled_ps.modeling import IdentityMemory, OIMLoss, TripletLoss, build_reid_losses
from fully_decoupled_ps.modeling.crop_stream import CropStream
from tests.testing import make_config, unit_rows


def make_memory(table, queue=()):
    """A memory that holds the given rows."""
    table, queue = torch.as_tensor(table).float(), torch.as_tensor(queue).float()
    dim = table.shape[1]
    memory = IdentityMemory(num_ids=len(table), queue_size=len(queue), feature_dim=dim)
    memory.lookup_table.copy_(table)
    memory.queue.copy_(queue.reshape(-1, dim))
    return memory


def half_full_memory():
    """Table of 6 rows, of which 1 and 4 were never seen; queue of 4, of which two are filled."""
    table, queue = unit_rows(6, 8, seed=1), unit_rows(4, 8, seed=2)
    table[[1, 4]] = 0
    queue[2:] = 0
    return make_memory(table, queue)


def batch(person_ids, dim=8):
    return unit_rows(len(person_ids), dim).requires_grad_(), torch.tensor(person_ids)


def numeric_gradient(loss_of, embeddings, step=1e-5):
    """Central differences of a function of nested lists."""
    rows = embeddings.detach().double().tolist()
    gradient = torch.zeros(len(rows), len(rows[0]))
    for i, row in enumerate(rows):
        for j, value in enumerate(row):
            row[j] = value + step
            above = loss_of(rows)
            row[j] = value - step
            gradient[i, j] = (above - loss_of(rows)) / (2 * step)
            row[j] = value
    return gradient


def oim_by_loop(rows, person_ids, memory, temperature, gamma):
    losses = []
    candidates = memory.lookup_table.tolist() + memory.queue.tolist()
    for row, person_id in zip(rows, person_ids, strict=True):
        if person_id == -1:
            continue
        scores = [
            math.exp(sum(a * b for a, b in zip(row, candidate, strict=True)) / temperature)
            for candidate in candidates
        ]
        p = scores[person_id] / sum(scores)
        losses.append(-((1 - p) ** gamma) * math.log(p))
    return sum(losses) / len(losses)


IDS = [3, -1, 1, 3, 0, -1, 5]  # one twice, one (1) whose row is zero, two unlabelled


@pytest.mark.parametrize("gamma", [0.0, 2.0])
@pytest.mark.parametrize("temperature", [1 / 30, 0.5])
def test_oim_equals_a_plain_loop_in_value_and_gradient(gamma, temperature):
    memory = half_full_memory()
    embeddings, person_ids = batch(IDS)

    def by_loop(rows):
        return oim_by_loop(rows, IDS, memory, temperature, gamma)

    criterion = OIMLoss(temperature=temperature, focal_gamma=gamma)
    loss = criterion(embeddings, person_ids, memory)["loss_oim"]
    assert loss.item() == pytest.approx(by_loop(embeddings.tolist()), rel=1e-5)

    loss.backward()
    expected = numeric_gradient(by_loop, embeddings)
    torch.testing.assert_close(embeddings.grad, expected, rtol=1e-3, atol=1e-4)
    assert embeddings.grad[person_ids == -1].eq(0).all()


def test_oim_by_hand():
    """Similarities 1, 0 and 0 at temperature 1: p = e / (e + 2)."""
    memory = make_memory([[1.0, 0.0], [0.0, 1.0]], [[0.0, -1.0]])
    embeddings, person_ids = torch.tensor([[1.0, 0.0]]), torch.tensor([0])
    p = math.e / (math.e + 2)

    plain = OIMLoss(temperature=1.0)(embeddings, person_ids, memory)["loss_oim"]
    assert plain.item() == pytest.approx(-math.log(p), rel=1e-6)
    focal = OIMLoss(temperature=1.0, focal_gamma=2.0)(embeddings, person_ids, memory)["loss_oim"]
    assert focal.item() == pytest.approx(-((1 - p) ** 2) * math.log(p), rel=1e-6)


def test_oim_of_an_empty_memory_is_the_log_of_its_rows():
    memory = IdentityMemory(num_ids=7, queue_size=5, feature_dim=8)
    loss = OIMLoss(temperature=1 / 30)(*batch([0, 6, -1]), memory)["loss_oim"]
    assert loss.item() == pytest.approx(math.log(12), rel=1e-6)


@pytest.mark.parametrize("criterion", [OIMLoss(temperature=0.1), TripletLoss(margin=0.3)])
def test_losses_leave_the_memory_alone(criterion):
    memory = half_full_memory()
    before = {name: value.clone() for name, value in memory.state_dict().items()}
    embeddings, person_ids = batch(IDS)
    (loss,) = criterion(embeddings, person_ids, memory).values()
    loss.backward()
    for name, value in memory.state_dict().items():
        assert torch.equal(value, before[name]), name
        assert not value.requires_grad, name


@pytest.mark.parametrize("criterion", [OIMLoss(temperature=0.1), TripletLoss(margin=0.3)])
@pytest.mark.parametrize("memory", [half_full_memory(), make_memory(torch.zeros(3, 8))])
@pytest.mark.parametrize("num_persons", [1, 3])
def test_without_labelled_persons_losses_are_zero_and_connected(criterion, memory, num_persons):
    embeddings, person_ids = batch([-1] * num_persons)
    (loss,) = criterion(embeddings, person_ids, memory).values()
    assert loss.item() == 0
    loss.backward()
    assert embeddings.grad.eq(0).all()


def triplet_by_loop(rows, person_ids, memory, margin):
    def distance(a, b):
        return math.sqrt(sum((p - q) ** 2 for p, q in zip(a, b, strict=True)))

    table = enumerate(memory.lookup_table.tolist())
    labelled = [(i, row) for i, row in zip(person_ids, rows, strict=True) if i != -1]
    seen = [(i, row) for i, row in table if any(row)]
    losses = []
    for n, (person_id, anchor) in enumerate(labelled):
        others = labelled[:n] + labelled[n + 1 :] + seen
        positives = [distance(anchor, row) for i, row in others if i == person_id]
        negatives = [distance(anchor, row) for i, row in others if i != person_id]
        if positives and negatives:
            losses.append(max(0.0, max(positives) - min(negatives) + margin))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("margin", [0.0, 0.3, 2.0])
def test_triplet_equals_a_plain_loop_in_value(margin):
    memory = half_full_memory()
    embeddings, person_ids = batch(IDS)
    loss = TripletLoss(margin=margin)(embeddings, person_ids, memory)["loss_triplet"]
    expected = triplet_by_loop(embeddings.tolist(), IDS, memory, margin)
    assert expected > 0
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_triplet_equals_a_plain_loop_in_gradient():
    """The network normalises its embeddings, so what the rows' lengths would change is cut out."""
    memory = half_full_memory()
    embeddings, person_ids = batch(IDS)
    TripletLoss(margin=0.3)(embeddings, person_ids, memory)["loss_triplet"].backward()
    rows = embeddings.detach()

    def tangential(gradient):
        return gradient - (gradient * rows).sum(1, keepdim=True) * rows

    expected = numeric_gradient(lambda r: triplet_by_loop(r, IDS, memory, 0.3), rows)
    torch.testing.assert_close(
        tangential(embeddings.grad), tangential(expected), rtol=1e-3, atol=1e-4
    )
    assert embeddings.grad[person_ids == -1].eq(0).all()


def on_circle(*degrees):
    angles = torch.tensor(degrees).deg2rad()
    return torch.stack([angles.cos(), angles.sin()], dim=1)


def chord(degrees):
    return 2 * math.sin(math.radians(degrees) / 2)


def test_triplet_by_hand_takes_the_hardest():
    """Person 0 at 0, 20 and 50 degrees, person 1 at 80; nobody in the table.

    Hardest positives of 0, 20, 50 degrees are 50, 30 and 50 degrees away, their negatives 80, 60
    and 30; person 1 has no positive and is no anchor.
    """
    memory = make_memory(torch.zeros(2, 2))
    loss = TripletLoss(margin=0.3)(on_circle(0, 20, 50, 80), torch.tensor([0, 0, 0, 1]), memory)[
        "loss_triplet"
    ]
    terms = [
        max(0, chord(positive) - chord(negative) + 0.3)
        for positive, negative in ((50, 80), (30, 60), (50, 30))
    ]
    assert loss.item() == pytest.approx(sum(terms) / 3, rel=1e-5)


def test_triplet_takes_candidates_from_the_table():
    """An anchor alone in its batch: its own row is the positive, another's the negative."""
    memory = make_memory(torch.cat([on_circle(40), torch.zeros(1, 2), on_circle(-30)]))
    loss = TripletLoss(margin=0.3, weight=2.0)(on_circle(0), torch.tensor([0]), memory)
    assert loss["loss_triplet"].item() == pytest.approx(2 * (chord(40) - chord(30) + 0.3), rel=1e-5)


def test_triplet_ignores_rows_never_seen():
    """A zero row would be nearer, at distance sqrt(2), than the true negative at 180 degrees."""
    memory = make_memory(torch.cat([on_circle(60), torch.zeros(1, 2), on_circle(180)]))
    loss = TripletLoss(margin=0.9)(on_circle(0), torch.tensor([0]), memory)["loss_triplet"]
    assert loss.item() == 0  # 1.0 - 2.0 + 0.9 < 0; a zero row would make it 1.0 - 1.41 + 0.9 > 0
    # nor is the anchor's own zero row a positive
    unseen = TripletLoss(margin=0.9)(on_circle(0), torch.tensor([1]), memory)["loss_triplet"]
    assert unseen.item() == 0


def test_triplet_of_one_identity_is_zero_and_connected():
    memory = make_memory(torch.cat([on_circle(60), torch.zeros(1, 2)]))
    embeddings = on_circle(0, 90).requires_grad_()
    loss = TripletLoss(margin=0.3)(embeddings, torch.tensor([0, 0]), memory)["loss_triplet"]
    assert loss.item() == 0
    loss.backward()
    assert embeddings.grad.eq(0).all()


def test_triplet_of_equal_embeddings_has_a_finite_gradient():
    memory = make_memory(torch.zeros(2, 2))
    embeddings = on_circle(10, 10, 10).requires_grad_()
    loss = TripletLoss(margin=0.3)(embeddings, torch.tensor([0, 0, 1]), memory)["loss_triplet"]
    assert loss.item() == pytest.approx(0.3, abs=1e-3)
    loss.backward()
    assert embeddings.grad.isfinite().all()


def test_losses_are_built_from_the_config():
    opts = ["MODEL.REID.LOSSES", ("TripletLoss", "OIMLoss"), "MODEL.REID.TRIPLET.MARGIN", 0.7]
    opts += ["MODEL.REID.TRIPLET.WEIGHT", 0.25, "MODEL.REID.OIM.FOCAL_GAMMA", 2.0]
    triplet, oim = build_reid_losses(make_config("reid", opts))
    assert (triplet.margin, triplet.weight) == (0.7, 0.25)
    assert (oim.temperature, oim.focal_gamma) == (pytest.approx(1 / 30), 2.0)


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf"), 0.0])
@pytest.mark.parametrize(
    "key, may_be_zero",
    [
        *[("OIM.TEMPERATURE", False), ("OIM.FOCAL_GAMMA", True)],
        *[("TRIPLET.MARGIN", True), ("TRIPLET.WEIGHT", True), ("ORD.TRIPLET_SHARE", True)],
        *[("ORD.TEMPERATURE", False), ("ORD.WEIGHT", True)],
    ],
)
def test_values_out_of_range_are_refused(key, may_be_zero, value):
    """A negative weight would reverse a loss without a word."""
    cfg = make_config("reid", [f"MODEL.REID.{key}", value, "MODEL.REID.ORD.ENABLED", True])

    def build():
        build_reid_losses(cfg)
        CropStream(cfg, 8)

    if value == 0 and may_be_zero:
        build()
        return
    least = "0 or more" if may_be_zero else "above 0"
    with pytest.raises(UserError, match=f"MODEL.REID.{key} is {value}; it must be {least}"):
        build()
