"""Networks are built without drawing random weights, and are the same once theirs are loaded."""

import torch
from torch import nn

from fully_decoupled_ps.utils.unfilled import WithoutRandomWeights
from tests.testing import make_model


def test_nothing_random_is_drawn():
    torch.manual_seed(0)
    state = torch.get_rng_state()
    with WithoutRandomWeights():
        make_model("reid")
        nn.init.trunc_normal_(tensor=torch.empty(3))
    assert torch.equal(torch.get_rng_state(), state)


def test_what_is_not_random_is_as_ever():
    with WithoutRandomWeights():
        norm, layer = nn.BatchNorm2d(3), nn.Linear(2, 2)
        nn.init.constant_(layer.bias, 5)
    assert norm.weight.tolist() == [1, 1, 1] and layer.bias.tolist() == [5, 5]
    assert layer.weight.requires_grad


def test_a_loaded_network_is_bit_equal():
    plain = make_model("reid").eval()
    with WithoutRandomWeights():
        loaded = make_model("reid").eval()
    loaded.load_state_dict(plain.state_dict())
    inputs = [{"image": torch.rand(3, 64, 96) * 255}]
    (ours,), (expected,) = loaded(inputs), plain(inputs)
    ours, expected = ours["instances"], expected["instances"]
    assert len(expected) > 0
    assert torch.equal(ours.pred_boxes.tensor, expected.pred_boxes.tensor)
    assert torch.equal(ours.reid_features, expected.reid_features)
