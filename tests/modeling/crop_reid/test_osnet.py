"""OSNet and OSNet-AIN are torchreid's, by their features and by their files' names."""

import json

import pytest
import torch

from fully_decoupled_ps import UserError
from fully_decoupled_ps.modeling.crop_reid import build_crop_network
from tests.modeling.crop_reid.published import (
    FEATURES,
    PUBLISHED,
    SIZES,
    crops,
    made_up_state,
    sample,
)
from tests.testing import make_config

NAMES = ("OSNet", "OSNet:x0_25", "OSNetAIN")


def build(name):
    network = build_crop_network(make_config("reid", ["MODEL.CROP_REID.NAME", name]))
    assert network.name == name
    return network.eval()


@pytest.mark.parametrize("name", NAMES)
def test_features_are_torchreids(name):
    """The reference comes from torchreid's own code: see ``published.py``."""
    network = build(name).double()
    state = network.rename_published(made_up_state(PUBLISHED[name]()))
    incompatible = network.load_state_dict(state, strict=False)
    assert not incompatible.missing_keys
    assert incompatible.unexpected_keys == ["classifier.weight", "classifier.bias"]
    golden = json.loads(FEATURES.read_text())[name]
    for size, expected in zip(SIZES, golden):
        with torch.no_grad():
            features = network(crops(size))
        assert features.shape == (2, network.feature_dim)
        torch.testing.assert_close(
            torch.tensor(sample(features)), torch.tensor(expected), rtol=1e-5, atol=1e-7
        )


@pytest.mark.parametrize(
    "name, parameters", [("OSNet", 2_169_508), ("OSNet:x0_25", 201_864), ("OSNetAIN", 2_169_508)]
)
def test_numbers_of_parameters(name, parameters):
    """By hand for OSNet: torchreid's published 2 193 616 count a block's gate at each of its four
    scales; a gate of m channels has 2 m m / 16 + m / 16 + m, and each width of m has two blocks.
    """
    if name == "OSNet":
        gates = sum(2 * (2 * m * m // 16 + m // 16 + m) for m in (64, 96, 128))
        assert parameters == 2_193_616 - 3 * gates
    assert sum(p.numel() for p in build(name).parameters()) == parameters


@pytest.mark.parametrize("name", ["OSNet:x2", "OSNetAIN:ibn"])
def test_another_width_is_refused(name):
    with pytest.raises(UserError, match=f"is '{name}'; its widths are x1_0, x0_75, x0_5, x0_25"):
        build(name)


def test_an_unknown_network_is_refused_with_all_names():
    # other tests may have registered more
    with pytest.raises(UserError, match="allowed are .*FastReID, OSNet, OSNetAIN, .*timm, torchv"):
        build("HACNN")


def test_it_trains():
    network = build("OSNetAIN:x0_25").train()
    network(torch.rand(2, 3, 64, 32)).sum().backward()
    assert all(p.grad is not None for p in network.parameters())
