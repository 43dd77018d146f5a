"""Cloth: the textures that the figure's torso and limbs are covered with.

Textures are BGR uint8 images of ``PX_PER_METRE`` pixels per metre. Columns run around the body (0
is the middle of the chest), rows from the shoulder or the waist down.
"""

from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np

from .identity import Garment, Identity

PX_PER_METRE = 200
AROUND = 200  # columns that go once around the torso; a metre of cloth
_TORSO_ROWS = 200
_LIMB_ROWS, _LIMB_COLUMNS = 200, 40


class Wardrobe(NamedTuple):
    """The textures of one person. ``*_round`` wrap a torso or skirt, the others a limb."""

    upper_round: np.ndarray  # (rows, 2 * AROUND, 3): twice around, so that any window fits
    sleeve: np.ndarray
    lower_round: np.ndarray
    leg: np.ndarray


def _second_colour_mask(garment: Garment, u: np.ndarray, v: np.ndarray, limb: bool) -> np.ndarray:
    """Where a garment shows its second colour; ``u``, ``v`` in metres, as a float mask 0..1."""
    pattern, period = garment.pattern, garment.period
    nothing = np.zeros(np.broadcast(u, v).shape, dtype=bool)
    whole = 1.0 / max(round(1.0 / period), 1)  # a period that closes around the body
    if pattern == "rings":
        mask = nothing | ((v / period) % 1 < 0.5)
    elif pattern == "pinstripes":
        mask = nothing | ((u / whole) % 1 < 0.42)
    elif pattern == "checks":
        return 0.5 * ((u / whole) % 1 < 0.5) + 0.5 * ((v / period) % 1 < 0.5) + 0.0 * nothing
    elif pattern == "dots":
        cell_u, cell_v = (u / whole) % 1 - 0.5, (v / period) % 1 - 0.5
        mask = cell_u**2 + cell_v**2 < 0.33**2
    elif pattern == "sash":
        mask = ((u + v) / whole) % 1 < 0.5
    elif pattern == "two_tone":
        mask = nothing | (v > 0.27)
    elif pattern == "band":
        mask = nothing | ((v > 0.14) & (v < 0.14 + 0.7 * period))
    elif pattern == "yoke":
        mask = nothing | (v < 0.16)
    elif pattern == "raglan":
        mask = ~nothing if limb else nothing
    elif pattern == "open" and not limb:
        mask = nothing | (np.abs(u) < 0.085)
    elif pattern == "logo" and not limb:
        mask = (u / 0.11) ** 2 + ((v - 0.2) / 0.09) ** 2 < 1
    elif pattern == "side_stripe":
        mask = (
            nothing | (np.abs(u) < 0.035) if limb else nothing | (np.abs(np.abs(u) - 0.25) < 0.04)
        )
    else:
        mask = nothing
    return mask.astype(np.float32)


def _cloth(garment: Garment, rows: int, columns: int, limb: bool, rng) -> np.ndarray:
    u = (np.arange(columns) + 0.5) / PX_PER_METRE
    u = u - columns / PX_PER_METRE / 2 if limb else (u + 0.5) % 1.0 - 0.5
    v = (np.arange(rows)[:, None] + 0.5) / PX_PER_METRE
    mask = _second_colour_mask(garment, u[None], v, limb).astype(np.float32)[..., None]
    first, second = np.float32(garment.colour), np.float32(garment.second)
    folds = rng.uniform(0.88, 1.08, (rows // 16 + 2, columns // 10 + 2)).astype(np.float32)
    folds = cv2.resize(folds, (columns, rows), interpolation=cv2.INTER_CUBIC)[..., None]
    cloth = (first + (second - first) * mask) * folds
    if limb:  # a round limb is darker at its edges; this also sets it apart from the torso
        cloth *= (1.0 - 0.45 * np.linspace(-1, 1, columns, dtype=np.float32) ** 4)[:, None]
    return np.clip(cloth, 0, 255).astype(np.uint8)


@lru_cache(maxsize=256)
def wardrobe(person: Identity) -> Wardrobe:
    """The textures of a person, kept for the persons drawn last."""
    rng = np.random.default_rng([person.key, 5])
    upper, lower = person.upper, person.lower

    def around(garment):
        return np.tile(_cloth(garment, _TORSO_ROWS, AROUND, False, rng), (1, 2, 1))

    def limb(garment):
        return _cloth(garment, _LIMB_ROWS, _LIMB_COLUMNS, True, rng)

    return Wardrobe(around(upper), limb(upper), around(lower), limb(lower))
