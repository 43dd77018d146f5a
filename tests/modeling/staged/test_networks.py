"""Networks taken apart: the stages give what the whole gives, and what is not fit is refused."""

import re

import pytest
import timm
import torch
import torchvision
from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import nn

from fully_decoupled_ps import UserError
from fully_decoupled_ps.modeling import (
    STAGED_NETWORK_REGISTRY,
    Stage,
    StagedNetwork,
    build_staged_network,
)
from fully_decoupled_ps.modeling.staged.network import STAGES, stride_one_stage
from fully_decoupled_ps.modeling.staged.stride_one import make_stride_one
from fully_decoupled_ps.modeling.staged.timm_pixels import tell_other_pixels
from fully_decoupled_ps.modeling.staged.torchvision_networks import (
    take_convnext_apart,
    take_swin_apart,
)
from fully_decoupled_ps.utils.unfilled import WithoutRandomWeights
from tests.modeling.staged.networks import BLOCKS, CHANNELS, convnext, of_timm, swin
from tests.testing import make_config

CFG = make_config("reid", ["MODEL.DEVICE", "cpu"])


def build(name):
    return build_staged_network(CFG, "MODEL.STAGED.NAME", name)


def run(network, x):
    """The maps of the four stages, and in the end the final norm's."""
    maps, x = [], network.stem.eval()(x)
    for stage in network.stages:
        x = stage.eval()(x)
        maps.append(x)
    return maps


def parameters(network):
    return sum(p.numel() for part in (network.stem, *network.stages) for p in part.parameters())


@pytest.mark.parametrize(
    "make, take_apart", [(convnext, take_convnext_apart), (swin, take_swin_apart)]
)
def test_the_stages_are_the_whole_network_to_the_bit(make, take_apart):
    body = make().eval()
    x = torch.rand(2, 3, 64, 96)
    whole = body(x)
    network = take_apart(body)
    *maps, last = run(network, x)
    assert [tuple(m.shape[-2:]) for m in (*maps, last)] == [(16, 24), (8, 12), (4, 6), (2, 3)]
    if make is convnext:  # which normalises what it has pooled
        stage = network.stages[-1]
        pooled = stage.norm(stage.blocks(stage.entry(maps[-1])).mean((2, 3), keepdim=True))
        assert torch.equal(body.classifier[2](pooled.flatten(1)), whole)
        assert tuple(m.shape[1] for m in (*maps, last)) == CHANNELS
        assert tuple(len(s.blocks) for s in network.stages) == BLOCKS
    else:
        assert torch.equal(body.head(last.mean((2, 3))), whole)


@pytest.mark.parametrize(
    "name, classifier",
    [
        ("convnext_tiny", 769_000),
        ("convnext_base", 1_025_000),
        ("swin_t", 769_000),
    ],
)
def test_parameters_are_torchvision_s_own_less_the_classifier(name, classifier):
    weights = torchvision.models.get_model_weights(name).DEFAULT
    with torch.device("meta"):  # no weights are needed to count them
        body = torchvision.models.get_model(name)
    take_apart = take_swin_apart if name.startswith("swin") else take_convnext_apart
    assert parameters(take_apart(body)) == weights.meta["num_params"] - classifier


TINY = ("test_convnext", "test_resnet", "test_efficientnet", "test_mambaout")


@pytest.mark.parametrize("name", [of_timm(name) for name in TINY])
def test_timm_s_stages_are_its_features(name):
    """With the weights of a file as timm publishes them, by its names."""
    network = build(f"timm:{name}")
    whole = timm.create_model(name, num_classes=3).eval()
    renamed = network.rename_published(whole.state_dict())
    stages = dict(zip(("stem", *STAGES), (network.stem, *network.stages)))
    for part, stage in stages.items():
        names = stage.state_dict().keys()
        stage.load_state_dict({key: renamed.pop(f"{part}.{key}") for key in names})
    assert not [key for key in renamed if key.startswith(tuple(stages))]
    network.stages[-1].norm = None
    x = torch.rand(1, 3, 64, 96)
    theirs = whole.forward_intermediates(x, intermediates_only=True)[-4:]
    for mine, wanted in zip(run(network, x), theirs, strict=True):
        assert torch.equal(mine, wanted)


@pytest.mark.parametrize("name", ["timm:resnet18", "torchvision:convnext_tiny"])
def test_a_network_is_built_without_weights(name):
    """Those to be loaded are zero, with which no network's maps could be told from another's."""
    torch.use_deterministic_algorithms(True)  # fills new memory with nan
    try:
        with WithoutRandomWeights():
            network = build(name)
    finally:
        torch.use_deterministic_algorithms(False)
    assert not next(network.stem.parameters()).any()
    assert not WithoutRandomWeights.is_on()


@pytest.mark.parametrize("order", ["RGB", "BGR"])
def test_other_pixels_than_those_of_timm_s_weights_are_told(order, caplog):
    """ImageNet's statistics by timm's own constants; others have halves."""
    mean, std = (
        [255 * x for x in values] for values in (IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD)
    )
    if order == "BGR":
        mean, std = mean[::-1], std[::-1]
    opts = ["INPUT.FORMAT", order, "MODEL.PIXEL_MEAN", mean, "MODEL.PIXEL_STD", std]
    cfg = make_config("detection", opts)
    for name in ("timm:resnet18", "torchvision:swin_t", "NarrowConvNeXt", "timm:unknown"):
        tell_other_pixels(cfg, name)
    assert not caplog.records
    tell_other_pixels(cfg, "timm:tf_efficientnet_lite0")
    assert "MODEL.PIXEL_MEAN [127.5, 127.5, 127.5]" in caplog.text
    caplog.clear()
    cfg.MODEL.PIXEL_STD = [1.0, 1.0, 1.0]
    tell_other_pixels(cfg, "timm:resnet18")
    assert "resnet18 were trained" in caplog.text


def test_swin_of_timm_takes_pictures_of_any_size():
    network = build("timm:swin_tiny_patch4_window7_224")
    assert [m.shape[-2:] for m in run(network, torch.rand(1, 3, 70, 50))] == [
        (18, 13),
        (9, 7),
        (5, 4),
        (3, 2),
    ]


def test_sizes_are_rounded_up_as_a_resnet_s_and_no_batch_is_a_map_of_none():
    network = take_convnext_apart(convnext())
    sizes = [tuple(m.shape[-2:]) for m in run(network, torch.rand(1, 3, 65, 99))]
    assert sizes == [(17, 25), (9, 13), (5, 7), (3, 4)]
    for make, take_apart in ((convnext, take_convnext_apart), (swin, take_swin_apart)):
        last = take_apart(make()).stages[-1]
        channels = CHANNELS[2] if make is convnext else 64
        nothing = last(torch.zeros(0, channels, 16, 8))
        assert nothing.shape == (0, last.out_channels, 8, 4)
        nothing.sum().backward()
        assert all((p.grad == 0).all() for p in last.parameters())


def test_stride_one_of_a_convnext_by_hand():
    """Stride 1, dilation 2, padding 1: each place sees the four places around it."""
    network = take_convnext_apart(convnext())
    norm, conv = network.stages[-1].entry
    stage = stride_one_stage(network, "K", "n").eval()
    assert (conv.stride, conv.dilation, conv.padding) == ((1, 1), (2, 2), (1, 1))
    x = torch.rand(1, CHANNELS[2], 4, 3)
    y = stage.entry(x)
    padded = nn.functional.pad(norm(x), (1, 1, 1, 1))
    for i in range(4):
        for j in range(3):
            wanted = conv.bias.clone()
            for a in range(2):
                for b in range(2):
                    wanted += conv.weight[:, :, a, b] @ padded[0, :, i + 2 * a, j + 2 * b]
            assert torch.allclose(y[0, :, i, j], wanted, atol=1e-5)
    whole = stage(x)
    assert torch.equal(whole, stage.norm(stage.blocks(y)))
    assert whole.shape == (1, CHANNELS[3], 4, 3)


def test_stride_one_of_a_swin_by_hand():
    """Its patches' order is torchvision's: top left, bottom left, top right, bottom right."""
    network = take_swin_apart(swin())
    merging = network.stages[-1].entry
    x = torch.rand(1, 64, 4, 3)
    stage = stride_one_stage(network, "K", "n").eval()
    y = stage.entry(x.permute(0, 2, 3, 1))
    assert stage(x).shape == (1, 128, 4, 3)
    padded = nn.functional.pad(x, (1, 1, 1, 1))[0]
    corners = [padded[:, 1 + a, 2 + b] for b in (0, 2) for a in (0, 2)]  # around (1, 2)
    assert torch.allclose(
        y[0, 1, 2], merging.reduction(merging.norm(torch.cat(corners))), atol=1e-5
    )


@pytest.mark.parametrize("name", ["resnet26d", of_timm("test_efficientnet")])
def test_stride_one_of_residual_blocks(name):
    if name == "resnet26d":  # whose shortcuts pool
        layer = timm.create_model(name, layers=(1, 1, 1, 1)).layer4
        stage, channels = Stage(blocks=layer, out_channels=2048, stride=2), 1024
        network = StagedNetwork(stem=None, stages=[Stage(out_channels=channels), stage])
    else:
        network = build(f"timm:{name}")
        channels = network.stages[-2].out_channels
    stage = stride_one_stage(network, "K", name)
    assert stage(torch.rand(2, channels, 6, 3)).shape[-2:] == (6, 3)


def test_a_frozen_stage_stays_as_it_is():
    stage = build("timm:resnet18").stages[0]
    stage.freeze()
    before = {name: value.clone() for name, value in stage.state_dict().items()}
    nn.ModuleList([stage]).train()
    stage(torch.rand(2, 64, 8, 8))
    assert all(torch.equal(value, before[name]) for name, value in stage.state_dict().items())
    assert not any(p.requires_grad for p in stage.parameters())


def test_stochastic_depth_is_the_config_s():
    for rate, last in ((-1.0, 0.1), (0.3, 0.3)):
        cfg = make_config("reid", ["MODEL.DEVICE", "cpu", "MODEL.STAGED.DROP_PATH", rate])
        network = build_staged_network(cfg, "K", "torchvision:convnext_tiny")
        assert network.stages[-1].blocks[-1].stochastic_depth.p == pytest.approx(last)


@STAGED_NETWORK_REGISTRY.register()
def OfStrideTwo(cfg, variant):
    conv = nn.Conv2d(3, 4, 3, stride=2, padding=1)
    stages = [Stage(out_channels=4) for _ in range(3 if variant == "three" else 4)]
    return StagedNetwork(stem=Stage(entry=conv, stride=4), stages=stages)


@pytest.mark.parametrize(
    "name, said",
    [
        ("", r"MODEL.STAGED.NAME: '' is not registered.*registered are .*timm, torchvision"),
        ("resnet50", "'resnet50' is not registered"),
        ("torchvision:resnet50", "of torchvision there are convnext_base, "),
        ("timm:convnext_tinny", "timm has no network of that name, but convnext_tiny"),
        (
            "timm:vit_tiny_patch16_224",
            "'timm:vit_tiny_patch16_224'; .* any size|strides 16, 16, 16",
        ),
        ("timm:hrnet_w18", "no sequence"),
        ("timm:", "timm has no network of that name, but convnext_tiny, resnet18 and others"),
        ("timm:resnet18.none", r"'timm:resnet18.none'; timm can't make it: .*tag \(none\)"),
        ("OfStrideTwo", r"map of \(1, 4, 32, 48\), where \(1, 4, 16, 24\) is needed"),
        ("OfStrideTwo:three", "it has 3 stages, and 4 are needed"),
    ],
)
def test_what_is_not_fit_is_one_line(name, said):
    with pytest.raises(UserError) as error:
        build(name)
    assert re.search(said, str(error.value)) and "\n" not in str(error.value)


def test_stochastic_depth_of_a_network_without_it_is_one_line():
    cfg = make_config("reid", ["MODEL.DEVICE", "cpu", "MODEL.STAGED.DROP_PATH", 0.1])
    with pytest.raises(UserError, match="ghostnet_050'; it has no .* MODEL.STAGED.DROP_PATH out"):
        build_staged_network(cfg, "MODEL.STAGED.NAME", "timm:ghostnet_050")


@pytest.mark.parametrize("ceil", [False, True])
@pytest.mark.parametrize("size", [2, 3, (2, 2)])
def test_max_pooling_of_stride_one_sees_both_sides(size, ceil):
    stage = nn.Sequential(nn.MaxPool2d(size, stride=2, ceil_mode=ceil))
    make_stride_one(stage)
    x = torch.tensor([1.0, 2.0, 0.0, 9.0]).expand(1, 1, 4, 4)
    assert stage(x)[0, 0, 0].tolist() == [2, 2, 9, 9]


def test_a_last_stage_that_can_t_have_stride_one_is_refused():
    pool = Stage(entry=nn.LPPool2d(2, 2), out_channels=4, stride=2)
    network = StagedNetwork(stem=None, stages=[Stage(out_channels=4), pool])
    with pytest.raises(UserError, match=r"K is 'mine', whose last stage .* \(make_stride_one\)"):
        stride_one_stage(network, "K", "mine")
