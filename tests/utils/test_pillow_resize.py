"""Resizing tensors of bytes as Pillow resizes pictures."""

import numpy as np
import pytest
import torch
from PIL import Image

from fully_decoupled_ps.utils.pillow_resize import resize_bytes

SIZES = [
    ((1080, 1920), (844, 1500)),  # Full HD as the paper's networks see it
    ((270, 480), (390, 693)),
    ((64, 96), (64, 48)),
    ((64, 96), (128, 96)),
    ((33, 97), (5, 400)),
    ((301, 7), (17, 3)),
    ((1, 1), (9, 4)),
    ((40, 50), (40, 50)),
    ((97, 61), (1, 1)),
]


@pytest.mark.parametrize("old, new", SIZES)
@pytest.mark.parametrize("kind", ["noise", "extremes"])
def test_it_is_pillows_to_the_bit(old, new, kind):
    pixels = np.random.default_rng(0).integers(0, 256, (*old, 3), dtype=np.uint8)
    if kind == "extremes":
        pixels = np.where(pixels > 127, 255, 0).astype(np.uint8)
    expected = np.asarray(Image.fromarray(pixels).resize(new[::-1], Image.BILINEAR))
    ours = resize_bytes(torch.from_numpy(pixels).permute(2, 0, 1), new)
    assert ours.dtype == torch.uint8 and ours.shape == (3, *new)
    np.testing.assert_array_equal(ours.permute(1, 2, 0).numpy(), expected)
