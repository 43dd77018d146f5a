"""The maps that f_r learns from are the frozen detector's, whichever way they come."""

import pytest
import torch

from fully_decoupled_ps import UserError
from fully_decoupled_ps.modeling.fold_norms import is_constant
from tests.testing import RESNET18, image, make_model, training_input

LAYERS = ["res2", "res3", "res4"]


class Keeper:
    def __init__(self, dtype=torch.float32):
        self.dtype, self.kept = dtype, {}

    def save(self, name, maps):
        self.kept[name] = maps


def named(seed, size=(64, 96)):
    return {"image": image(seed, size), "maps_name": f"{seed} {size}"}


def kept_items(inputs, keeper):
    return [{"maps": keeper.kept[x["maps_name"]]} for x in inputs]


def equal(maps, others):
    return list(maps) == LAYERS and all(torch.equal(maps[k], others[k]) for k in maps)


def test_one_image_has_the_same_maps_with_a_keeper_and_without():
    model = make_model("reid", train=True)
    plain = model.frozen_maps([named(1)])
    keeper = model.frozen_maps.keeper = Keeper()
    assert equal(model.frozen_maps([named(1)]), plain)
    assert keeper.kept.keys() == {"1 (64, 96)"}
    assert not any(x.requires_grad for x in plain.values())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_maps_that_were_kept_are_those_that_are_made(dtype):
    """To the bit, in any batch; and close to those of a keeper-less batch of one size."""
    model = make_model("reid", train=True)
    inputs = [named(seed) for seed in (1, 2, 3)]
    plain = model.frozen_maps(inputs)
    keeper = model.frozen_maps.keeper = Keeper(dtype)
    made = model.frozen_maps(inputs)
    kept = kept_items(inputs, keeper)
    assert equal(model.frozen_maps(kept), made)
    assert equal(model.frozen_maps([kept[0], inputs[1], kept[2]]), made)
    assert {x.dtype for x in keeper.kept["1 (64, 96)"].values()} == {dtype}
    assert {x.dtype for x in made.values()} == {torch.float32}
    for layer, x in plain.items():
        bound = 1e-5 if dtype == torch.float32 else 2**-11
        assert (x - made[layer]).abs().max() <= bound * x.abs().max()
    rounded = any(not torch.equal(x, made[layer]) for layer, x in plain.items())
    assert rounded or dtype == torch.float32


def test_an_image_is_seen_alone_and_padded_with_zeros():
    model = make_model("reid", train=True)
    keeper = model.frozen_maps.keeper = Keeper()
    small, large = named(1, (48, 64)), named(2)
    alone = model.frozen_maps([small])
    both = model.frozen_maps([large, small])
    for layer, x in alone.items():
        height, width = x.shape[-2:]
        assert torch.equal(both[layer][1, :, :height, :width], x[0])
        assert not both[layer][1, :, height:].any() and not both[layer][1, :, :, width:].any()
        assert both[layer].shape[-1] > width
    assert equal(model.frozen_maps(kept_items([large, small], keeper)), both)


def test_losses_of_kept_maps_are_those_of_their_images(event_storage):
    losses = []
    for use_kept in (False, True):
        model = make_model("reid", train=True)
        keeper = model.frozen_maps.keeper = Keeper(torch.float16)
        inputs = [{**training_input([0, 1], seed), **named(seed)} for seed in (1, 2)]
        if use_kept:
            model.frozen_maps(inputs)
            maps = kept_items(inputs, keeper)
            inputs = [{"instances": x["instances"], **m} for x, m in zip(inputs, maps)]
        torch.manual_seed(0)
        losses.append(model(inputs))
    assert losses[0].keys() == {"loss_oim", "loss_triplet"}
    assert all(torch.equal(losses[0][name], losses[1][name]) for name in losses[0])


def test_a_map_that_float16_can_not_hold_is_refused():
    model = make_model("reid", train=True)
    model.detector.backbone.res4[-1].conv3.norm.bias.data.fill_(1e5)
    model.frozen_maps.keeper = Keeper(torch.float16)
    with pytest.raises(UserError, match=r"reaches 1e\+05, more than float16 holds; say float32"):
        model.frozen_maps([named(1)])
    model.frozen_maps.keeper = Keeper()
    assert model.frozen_maps([named(1)])["res4"].max() > 9e4


# --- folded norms ----------------------------------------------------------------------------


def folds(model):
    """How many norms are folded in what makes its maps."""
    model.frozen_maps([named(1)])
    tap = model.frozen_maps._folded
    return sum(is_constant(m) for m in model.feature_tap.bottom_up.modules()) - sum(
        is_constant(m) for m in tap.bottom_up.modules()
    )


@pytest.mark.parametrize("norm", ["BN", "FrozenBN"])
def test_folded_maps_are_the_detector_s_own(norm):
    model = make_model("reid", ("MODEL.RESNETS.NORM", norm), train=True)
    inputs = [named(1), named(2)]
    own = model.feature_tap.run(model.detector.preprocess_image(inputs).tensor)
    folded = model.frozen_maps(inputs)
    for layer, x in own.items():
        assert (x - folded[layer]).abs().max() <= 1e-5 * x.abs().max()
    assert any(not torch.equal(x, folded[layer]) for layer, x in own.items())
    assert folds(model) == 1 + 3 * (3 + 4 + 6) + 3


def test_group_norms_stay_and_cost_no_copy():
    model = make_model("reid", (*RESNET18, "MODEL.RESNETS.NORM", "GN"), train=True)
    model.frozen_maps([named(1)])
    assert model.frozen_maps._folded is model.feature_tap


def test_a_copy_is_no_part_of_the_network():
    model = make_model("reid", train=True)
    names, numbers = set(model.state_dict()), [p.numel() for p in model.parameters()]
    model.frozen_maps([named(1)])
    assert set(model.state_dict()) == names
    assert [p.numel() for p in model.parameters()] == numbers


def test_weights_that_were_loaded_since_are_seen():
    model, other = make_model("reid", train=True), make_model("reid", train=True)
    for p in other.detector.parameters():
        p.mul_(1.1)
    before, expected = (m.frozen_maps([named(1)]) for m in (model, other))
    copy = model.frozen_maps._folded
    model.frozen_maps([named(1)])
    assert model.frozen_maps._folded is copy  # it is made once
    model.load_state_dict(other.state_dict())
    assert equal(model.frozen_maps([named(1)]), expected)
    assert not equal(before, expected)
