"""Pillow's bilinear resizing of bytes, to the bit, on any device."""

import functools

import numpy as np
import torch

# Pillow computes in whole numbers: weights are multiples of 2 ** -22, and each of its two passes,
# along the rows and then along the columns, rounds to bytes.
_BITS = 32 - 8 - 2


def resize_bytes(image: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """As ``PIL.Image.resize`` with ``BILINEAR``, by which networks' inputs are resized.

    Args:
        image: (C, H, W) uint8.
        size: height h and width w.

    Returns:
        Tensor: (C, h, w) uint8 on the same device.
    """
    for dim, length in ((2, size[1]), (1, size[0])):
        if image.shape[dim] != length:
            image = _resize_along(image, dim, length)
    return image


def _resize_along(image: torch.Tensor, dim: int, length: int) -> torch.Tensor:
    places, weights = _taps(image.shape[dim], length)
    shape = [1, 1, 1]
    shape[dim] = length
    total = torch.tensor(1 << (_BITS - 1), dtype=torch.int32, device=image.device)  # to round
    for place, weight in zip(places, weights):
        part = image.index_select(dim, torch.as_tensor(place, device=image.device))
        total = total + part.int() * torch.as_tensor(weight, device=image.device).view(shape)
    return (total >> _BITS).byte()  # the weights of a pixel sum up to 1, so it is 0 to 255


@functools.lru_cache(maxsize=64)
def _taps(old: int, new: int) -> tuple[np.ndarray, np.ndarray]:
    """(taps, new) places in the old row, int64, and their weights, int32: 0 beyond the last."""
    scale = old / new
    reach = max(scale, 1.0)  # of a triangle, whose width follows the scale when a row shrinks
    centers = (np.arange(new) + 0.5) * scale
    first = np.maximum((centers - reach + 0.5).astype(np.int64), 0)
    last = np.minimum((centers + reach + 0.5).astype(np.int64), old)
    steps = np.arange((last - first).max())[:, None]
    distance = np.abs((steps + first - centers + 0.5) * (1.0 / reach))
    weights = np.where(steps < last - first, np.maximum(1.0 - distance, 0.0), 0.0)
    total = np.zeros(new)
    for row in weights:  # one after the other, as Pillow adds them up
        total = total + row
    weights = weights / total
    whole = (0.5 + weights * (1 << _BITS)).astype(np.int32)
    return np.minimum(first + steps, old - 1), whole
