"""OSNet as a side-net: built as published, loaded from the published names, in step with f_d."""

import pytest
import torch
from detectron2.layers import ShapeSpec

from fully_decoupled_ps.modeling.osnet import ChannelGate, OmniScaleBlock, OSNetSideNet
from tests.testing import make_config

SHAPES = {f"res{i}": ShapeSpec(channels=64 * 2 ** (i - 2), stride=2**i) for i in (2, 3, 4)}


def side_net(fusion="ConvFusion", shapes=SHAPES):
    cfg = make_config("detection", ["MODEL.REID.FUSION.NAME", fusion])
    return OSNetSideNet(cfg, shapes).eval()


def count(module):
    return sum(p.numel() for p in module.parameters())


def test_osnet_x1_0_has_the_published_number_of_parameters():
    net = side_net("NoFusion")
    conv2 = [OmniScaleBlock(64, 256, "BN"), OmniScaleBlock(256, 256, "BN")]
    stem = 3 * 64 * 7 * 7 + 2 * 64
    transition = 256 * 256 + 2 * 256
    embedding = 512 * 512 + 512 + 2 * 512
    total = (
        stem + sum(map(count, conv2)) + transition + count(net) - count(net.side_ada) + embedding
    )
    # the published figure counts a block's gate at each of the four scales that share it
    gates = [m for part in (*conv2, net) for m in part.modules() if isinstance(m, ChannelGate)]
    assert len(gates) == 6
    assert total + 3 * sum(map(count, gates)) == 2_193_616


def published_tensors():
    """Names and shapes of ``osnet_x1_0`` behind conv2, as the published files have them."""
    shapes = {}

    def conv_bn(name, out_channels, in_channels):
        shapes[f"{name}.conv.weight"] = (out_channels, in_channels, 1, 1)
        norm(f"{name}.bn", out_channels)

    def norm(name, channels):
        for tensor in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.{tensor}"] = (channels,)

    def light(name, channels):
        shapes[f"{name}.conv1.weight"] = (channels, channels, 1, 1)
        shapes[f"{name}.conv2.weight"] = (channels, 1, 3, 3)
        norm(f"{name}.bn", channels)

    def block(name, in_channels, out_channels):
        mid = out_channels // 4
        conv_bn(f"{name}.conv1", mid, in_channels)
        light(f"{name}.conv2a", mid)
        for letter, depth in (("b", 2), ("c", 3), ("d", 4)):
            for i in range(depth):
                light(f"{name}.conv2{letter}.{i}", mid)
        for fc, (out, into) in {"fc1": (mid // 16, mid), "fc2": (mid, mid // 16)}.items():
            shapes[f"{name}.gate.{fc}.weight"] = (out, into, 1, 1)
            shapes[f"{name}.gate.{fc}.bias"] = (out,)
        conv_bn(f"{name}.conv3", out_channels, mid)
        if in_channels != out_channels:
            conv_bn(f"{name}.downsample", out_channels, in_channels)

    block("conv3.0", 256, 384)
    block("conv3.1", 384, 384)
    conv_bn("conv3.2.0", 384, 384)
    block("conv4.0", 384, 512)
    block("conv4.1", 512, 512)
    conv_bn("conv5", 512, 512)
    return {name: torch.rand(shape) for name, shape in shapes.items()}


@pytest.mark.parametrize("prefix", ["", "module."])
def test_published_names_fill_conv3_to_conv5(prefix):
    net, published = side_net(), published_tensors()
    state = net.rename_published({f"{prefix}{name}": v for name, v in published.items()})
    incompatible = net.load_state_dict(state, strict=False)
    assert not incompatible.unexpected_keys
    new = {name.split(".")[0] for name in incompatible.missing_keys if "num_batches" not in name}
    assert new == {"side_ada", "fusions"}
    assert torch.equal(net.res3[1].conv1.weight, published["conv3.0.conv1.conv.weight"])
    assert torch.equal(net.res3[2].scales[0][0][1].norm.bias, published["conv3.1.conv2a.bn.bias"])
    assert torch.equal(net.res4[0].norm.running_var, published["conv3.2.0.bn.running_var"])
    fourth = net.res4[2].scales[3][3]
    assert torch.equal(fourth[0].weight, published["conv4.0.conv2d.3.conv1.weight"])
    assert torch.equal(fourth[1].weight, published["conv4.0.conv2d.3.conv2.weight"])
    assert torch.equal(net.res4[2].shortcut.weight, published["conv4.0.downsample.conv.weight"])
    assert torch.equal(net.res5.weight, published["conv5.conv.weight"])


@pytest.mark.parametrize("height, width", [(57, 25), (56, 24), (58, 27)])
def test_maps_have_the_detectors_sizes_even_where_they_are_odd(height, width):
    def halves(size):
        return -(-size // 2)  # a convolution of stride 2 and padding 1 rounds up

    sizes = {"res2": (height, width), "res3": (halves(height), halves(width))}
    sizes["res4"] = (halves(sizes["res3"][0]), halves(sizes["res3"][1]))
    maps = {name: torch.rand(1, SHAPES[name].channels, *size) for name, size in sizes.items()}
    net = side_net()
    out = net(maps)
    assert out.shape == (1, 512, *sizes["res4"])
    assert net.res5(out[:, :, :4, :2]).shape == (1, 512, 4, 2)


def test_a_block_is_the_gated_sum_of_four_scales():
    block = OmniScaleBlock(8, 64, "BN").eval()
    x = torch.rand(2, 8, 9, 5)
    reduced = block.conv1(x)
    blended = 0
    for depth, scale in enumerate(block.scales, start=1):
        assert len(scale) == depth
        y = reduced
        for pointwise, depthwise in scale:
            assert pointwise.kernel_size == (1, 1) and depthwise.groups == 16
            y = torch.relu(
                depthwise.norm(torch.conv2d(pointwise(y), depthwise.weight, padding=1, groups=16))
            )
        mean = y.mean(dim=(2, 3), keepdim=True)
        blended = blended + y * torch.sigmoid(block.gate.fc2(torch.relu(block.gate.fc1(mean))))
    expected = torch.relu(block.conv3(blended) + block.shortcut(x))
    torch.testing.assert_close(block(x), expected)
    assert OmniScaleBlock(64, 64, "BN").shortcut(x) is x
