"""Products of bfloat16 tensors against those of float64, rounded once, and PyTorch's own."""

import pytest
import torch
from torch import nn

from ablation_study.emulated_bfloat16 import EmulatedBfloat16


def rounded_products(layer, x):
    """A layer's output under autocast, and the gradients of a loss of it."""
    layer.zero_grad()
    x = x.clone().requires_grad_(True)
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x)
    (y.float() * torch.arange(y.numel()).reshape(y.shape).remainder(5)).sum().backward()
    return y, x.grad, layer.weight.grad.clone(), layer.bias.grad.clone()


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Conv2d(3, 4, 3, padding=1), (2, 3, 5, 6)),
        (nn.Conv2d(4, 4, 3, stride=2, groups=2), (1, 4, 7, 6)),
        (nn.Linear(7, 5), (6, 7)),
    ],
)
def test_small_whole_numbers_are_as_pytorch_has_them(layer, shape):
    """All sums are exact in float32, and the sums' roundings are those of bfloat16."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for values in layer.parameters():
            values.copy_(torch.randint(-9, 9, values.shape, generator=generator))
    x = torch.randint(-9, 9, shape, generator=generator).float()
    plain = rounded_products(layer, x)
    with EmulatedBfloat16():
        ours = rounded_products(layer, x)
    assert ours[0].dtype == torch.bfloat16
    layer_64, x_64 = layer.double(), x.double()
    assert torch.equal(ours[0], layer_64(x_64).bfloat16())
    for a, b in zip(ours, plain):
        assert a.dtype == b.dtype and torch.allclose(a.float(), b.float(), rtol=2**-7)


def test_factors_are_rounded_and_sums_are_not():
    """257 is 256 in bfloat16; 256 + 1 + 1 is 258, which a sum that is rounded would not reach."""
    a = torch.tensor([[257.0, 1.0, 1.0]])
    with EmulatedBfloat16(), torch.autocast("cpu", torch.bfloat16):
        assert (a @ torch.ones(3, 1)).item() == 258
        assert (torch.ones(1, 1, 3) @ a.reshape(1, 3, 1)).item() == 258


def test_float32_is_left_as_it_is():
    x, layer = torch.randn(1, 3, 5, 5), nn.Conv2d(3, 4, 3)
    plain = layer(x)
    with EmulatedBfloat16():
        ours = layer(x)
    assert torch.equal(ours, plain) and ours.dtype == torch.float32
