"""fast-reid's networks: what is published of them, said again with plain functions of tensors."""

import pytest
import torch
import torch.nn.functional as F
import torchvision

from fully_decoupled_ps import UserError
from fully_decoupled_ps.checkpoint import load_crop_weights
from fully_decoupled_ps.modeling.crop_reid import build_crop_network
from tests.modeling.crop_reid.published import (
    SIZES,
    crops,
    made_up,
    made_up_state,
    norm_shapes,
)
from tests.testing import make_config

BLOCKS = (3, 4, 6, 3)
# Non-local blocks behind the last blocks of layer2 and layer3: their number and channels.
NON_LOCAL = {2: (2, 512), 3: (3, 1024)}


@pytest.fixture(scope="module", autouse=True)
def numbers_are_kept_for_this_module():
    yield
    made_up.cache_clear()


def build(variant):
    return build_crop_network(
        make_config("reid", ["MODEL.CROP_REID.NAME", f"FastReID:{variant}"])
    ).eval()


def published_shapes(variant, num_ids=7):
    """A file of fast-reid 1.x: 318 tensors of torchvision's ResNet-50, and what it adds."""
    shapes = {
        f"backbone.{name}": tuple(value.shape)
        for name, value in torchvision.models.resnet50().state_dict().items()
        if not name.startswith("fc.")
    }
    if variant.endswith("-ibn"):
        for layer, width in ((1, 64), (2, 128), (3, 256)):
            for i in range(BLOCKS[layer - 1]):
                norm = f"backbone.layer{layer}.{i}.bn1"
                for tensor in norm_shapes(norm, width):
                    del shapes[tensor]
                shapes |= norm_shapes(f"{norm}.IN", width // 2, of_a_batch=False)
                shapes |= norm_shapes(f"{norm}.BN", width // 2)
    if not variant.startswith("bot"):
        for layer, (number, channels) in NON_LOCAL.items():
            for i in range(number):
                block = f"backbone.NL_{layer}.{i}"
                for name in ("g", "theta", "phi"):
                    shapes[f"{block}.{name}.weight"] = (1, channels, 1, 1)
                    shapes[f"{block}.{name}.bias"] = (1,)
                shapes[f"{block}.W.0.weight"] = (channels, 1, 1, 1)
                shapes[f"{block}.W.0.bias"] = (channels,)
                shapes |= norm_shapes(f"{block}.W.1", channels)
    if variant.startswith("sbs"):
        shapes["heads.pool_layer.p"] = (1,)
    shapes |= norm_shapes("heads.bottleneck.0", 2048)
    return shapes | {"heads.weight": (num_ids, 2048)}


def published_state(variant):
    state = made_up_state(published_shapes(variant))
    if variant.startswith("sbs"):
        state["heads.pool_layer.p"] = torch.tensor([2.5], dtype=torch.float64)
    return state


def published_features(state, x, variant):
    """(N, 3, h, w) -> (N, 2048)."""

    def conv(name, x, **options):
        return F.conv2d(x, state[f"{name}.weight"], state.get(f"{name}.bias"), **options)

    def affine(name):
        return {"weight": state[f"{name}.weight"], "bias": state[f"{name}.bias"]}

    def batch_norm(name, x):
        statistics = state[f"{name}.running_mean"], state[f"{name}.running_var"]
        return F.batch_norm(x, *statistics, **affine(name))

    def first_norm(name, x):
        if f"{name}.IN.weight" not in state:
            return batch_norm(name, x)
        half = x.shape[1] // 2
        instance = F.instance_norm(x[:, :half], **affine(f"{name}.IN"))
        return torch.cat([instance, batch_norm(f"{name}.BN", x[:, half:])], dim=1)

    def block(name, x, stride):
        y = F.relu(first_norm(f"{name}.bn1", conv(f"{name}.conv1", x)))
        y = F.relu(batch_norm(f"{name}.bn2", conv(f"{name}.conv2", y, stride=stride, padding=1)))
        y = batch_norm(f"{name}.bn3", conv(f"{name}.conv3", y))
        if f"{name}.downsample.0.weight" in state:
            x = conv(f"{name}.downsample.0", x, stride=stride)
            x = batch_norm(f"{name}.downsample.1", x)
        return F.relu(x + y)

    def non_local(name, x):
        # every place's similarity to every place, divided by their number
        theta, phi, g = (conv(f"{name}.{part}", x).flatten(2) for part in ("theta", "phi", "g"))
        similarity = torch.einsum("nci,ncj->nij", theta, phi) / phi.shape[2]
        y = torch.einsum("nij,ncj->nci", similarity, g).unflatten(2, x.shape[2:])
        return batch_norm(f"{name}.W.1", conv(f"{name}.W.0", y)) + x

    x = F.relu(batch_norm("backbone.bn1", conv("backbone.conv1", x, stride=2, padding=3)))
    if "heads.bnneck.weight" in state:  # of version 0.1.1
        x, neck = F.max_pool2d(x, 3, stride=2, padding=1), "heads.bnneck"
    else:
        x, neck = F.max_pool2d(x, 3, stride=2, ceil_mode=True), "heads.bottleneck.0"
    for layer, number in enumerate(BLOCKS, start=1):
        behind = NON_LOCAL.get(layer, (0, 0))[0] if not variant.startswith("bot") else 0
        for i in range(number):
            # the last stage keeps the resolution
            stride = 2 if i == 0 and layer in (2, 3) else 1
            x = block(f"backbone.layer{layer}.{i}", x, stride)
            if i >= number - behind:
                x = non_local(f"backbone.NL_{layer}.{i - (number - behind)}", x)
    if variant.startswith("bot"):
        pooled = x.mean(dim=(2, 3))
    else:
        power = state.get("heads.pool_layer.p", 3.0)
        pooled = x.clamp(min=1e-6).pow(power).mean(dim=(2, 3)).pow(1 / power)
    return batch_norm(neck, pooled)


def of_version_0_1_1(state, variant):
    """A file of fast-reid's model zoo: other names, and a trained power in AGW as in SBS."""
    state = {n.replace("heads.bottleneck.0.", "heads.bnneck."): v for n, v in state.items()}
    state["heads.classifier.weight"] = state.pop("heads.weight")
    if not variant.startswith("bot"):
        state["heads.pool_layer.p"] = torch.tensor([2.5], dtype=torch.float64)
    mean, std = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
    pixels = {"pixel_mean": mean, "pixel_std": std}
    return state | {name: torch.tensor(v).view(1, 3, 1, 1) for name, v in pixels.items()}


VARIANTS = ["bot_R50", "bot_R50-ibn", "agw_R50", "agw_R50-ibn", "sbs_R50", "sbs_R50-ibn"]


@pytest.mark.parametrize("is_older", [False, True])
@pytest.mark.parametrize("variant", VARIANTS)
def test_features_are_those_of_the_published_formulas(tmp_path, variant, is_older):
    state, network = published_state(variant), build(variant).double()
    if is_older:
        state = of_version_0_1_1(state, variant)
    torch.save({"model": state, "epoch": 3}, tmp_path / "a.pth")
    load_crop_weights(network, str(tmp_path / "a.pth"))
    for size in SIZES:
        with torch.no_grad():
            expected = published_features(state, crops(size), variant)
            features = network(crops(size))
        assert features.shape == (2, network.feature_dim) == (2, 2048)
        torch.testing.assert_close(features, expected, rtol=1e-5, atol=1e-5)
    # a checkpoint of this project has one set of names, and gives the same
    again = build(variant).double()
    again.load_state_dict(network.state_dict())
    with torch.no_grad():
        assert torch.equal(again(crops(size)), features)


@pytest.mark.parametrize("variant", VARIANTS)
def test_names_are_the_published_ones(variant):
    """318 of the backbone and 5 of the neck; IBN-a has 2 more in each of 13 blocks, a non-local
    block 6 + 2 + 5, and SBS its power. What no file has: how the stem pools, and AGW's power.
    """
    state = build(variant).state_dict()
    del state["backbone.maxpool.pads_all_sides"]
    if variant.startswith("agw"):
        assert state.pop("heads.pool_layer.p").tolist() == [3.0]
    shapes = published_shapes(variant)
    del shapes["heads.weight"]
    assert {name: tuple(value.shape) for name, value in state.items()} == shapes
    non_local = 0 if variant.startswith("bot") else 5 * 13
    assert len(state) == (
        318 + 5 + 26 * variant.endswith("-ibn") + non_local + variant.startswith("sbs")
    )


@pytest.mark.parametrize("older", ["heads.bnneck.", "heads.bottleneck.0."])
def test_older_names_of_the_neck_and_the_classifier(tmp_path, older):
    state = made_up_state(published_shapes("bot_R50"))
    state["heads.classifier.weight"] = state.pop("heads.weight")
    state["pixel_mean"] = torch.tensor([123.675, 116.28, 103.53]).view(1, 3, 1, 1)
    renamed = {name.replace("heads.bottleneck.0.", older): value for name, value in state.items()}
    torch.save(renamed, tmp_path / "a.pth")
    network = build("bot_R50")
    load_crop_weights(network, str(tmp_path / "a.pth"))
    expected = state["heads.bottleneck.0.running_var"].float()
    assert torch.equal(network.heads.bottleneck[0].running_var, expected)


@pytest.mark.parametrize("name", ["pixel_mean", "pixel_std"])
def test_a_file_that_says_another_mean_or_deviation_is_refused(tmp_path, name):
    state = made_up_state(published_shapes("bot_R50")) | {name: torch.full((1, 3, 1, 1), 127.5)}
    torch.save(state, tmp_path / "a.pth")
    told = rf"trained with {name} \[127.5, 127.5, 127.5\], but MODEL.CROP_REID.{name.upper()} is \["
    with pytest.raises(UserError, match=told):
        load_crop_weights(build("bot_R50"), str(tmp_path / "a.pth"))


def test_crops_of_another_size_than_fast_reids_are_told(caplog):
    build("sbs_R50")
    assert "trains sbs on crops of 384 x 128; MODEL.CROP_REID.SIZE is (256, 128)" in caplog.text
    caplog.clear()
    build("bot_R50")
    assert not caplog.text


def test_resnet101():
    """layer3 has 17 blocks more, of 3 x 6 tensors, 9 of 23 with a non-local block behind."""
    assert len(build("sbs_R101-ibn").state_dict()) == 318 + 17 * 18 + 5 + 30 * 2 + 11 * 13 + 2


def test_the_necks_bias_is_not_trained():
    network = build("bot_R50").train()
    network(torch.rand(2, 3, 64, 32)).square().sum().backward()
    frozen = [name for name, p in network.named_parameters() if not p.requires_grad]
    assert frozen == ["heads.bottleneck.0.bias"]
    assert all(p.grad is not None for p in network.parameters() if p.requires_grad)


@pytest.mark.parametrize("variant", ["", "bot_S50", "mgn_R50-ibn"])
def test_another_variant_is_refused(variant):
    with pytest.raises(UserError, match=rf"'FastReID:{variant}'; of fast-reid there are bot_R50, "):
        build(variant)
