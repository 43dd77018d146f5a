"""Networks are built without drawing random weights, and are the same once theirs are loaded."""

import torch
from detectron2.modeling import build_model
from torch import nn

from fully_decoupled_ps.utils.unfilled import WithoutRandomWeights
from tests.testing import TINY, make_config, make_model

CONFIG = make_config("reid", (*TINY, "MODEL.REID.NUM_IDS", 4))


def test_nothing_random_is_drawn():
    torch.manual_seed(0)
    state = torch.get_rng_state()
    with WithoutRandomWeights():
        build_model(CONFIG)
        nn.init.trunc_normal_(tensor=nn.Parameter(torch.full((3,), 7.0)))
    assert torch.equal(torch.get_rng_state(), state)


def test_what_is_not_random_is_as_ever():
    with WithoutRandomWeights():
        norm, layer = nn.BatchNorm2d(3), nn.Linear(2, 2)
        nn.init.constant_(layer.bias, 5)
    assert norm.weight.tolist() == [1, 1, 1] and layer.bias.tolist() == [5, 5]
    assert layer.weight.requires_grad


def test_a_loaded_network_is_bit_equal():
    plain = make_model("reid")
    with WithoutRandomWeights():
        loaded = build_model(CONFIG).eval()
    loaded.load_state_dict(plain.state_dict())
    inputs = [{"image": torch.rand(3, 64, 96) * 255, "queries": [[4, 6, 30, 60]]}]
    (ours,), (expected,) = loaded(inputs), plain(inputs)
    assert torch.equal(ours["query_features"], expected["query_features"])
    assert torch.equal(ours["instances"].scores, expected["instances"].scores)


class WithProjection(nn.Module):
    """Draws what is in no file of weights."""

    def __init__(self):
        super().__init__()
        self.register_buffer("projection", torch.full((3,), 7.0).normal_(), persistent=False)
        self.plain = nn.init.uniform_(torch.full((3,), 7.0))


def test_what_is_no_parameter_is_drawn():
    torch.manual_seed(0)
    expected = WithProjection()
    torch.manual_seed(0)
    with WithoutRandomWeights():
        found = WithProjection()
    assert torch.equal(found.projection, expected.projection) and found.projection.max() < 7
    assert torch.equal(found.plain, expected.plain) and found.plain.max() <= 1
