"""What a figure wears and carries besides its clothes: hat, long hair and bags."""

from typing import TYPE_CHECKING

import numpy as np

from .canvas import Canvas, capsule
from .identity import Colour, Identity

if TYPE_CHECKING:
    from .figure import Body


def _darker(colour: Colour) -> Colour:
    return tuple(int(0.68 * c) for c in colour)


def draw_hat(canvas: Canvas, person: Identity, centre: np.ndarray, axes: np.ndarray) -> None:
    """``centre``, ``axes``: the head's ellipse in pixels."""
    if person.hat == "none":
        return
    crown, dark = centre - (0, 0.25 * axes[1]), _darker(person.hat_colour)
    canvas.ellipse(crown, axes * (1.16, 0.95), person.hat_colour, (180, 360))
    if person.hat == "brim":
        canvas.ellipse(crown, axes * (2.0, 0.24 + 0.5 * canvas.sin_pitch), dark)
    elif person.hat == "cap" and canvas.cos_yaw > -0.5:
        peak = crown + (canvas.sin_yaw * 1.1 * axes[0], 0.06 * axes[1])
        canvas.ellipse(peak, axes * (0.75, 0.18), dark)
    elif person.hat == "beanie":
        canvas.ellipse(crown - (0, 0.95 * axes[1]), axes * 0.34, dark)


def draw_long_hair(body: "Body") -> None:
    canvas, person = body.canvas, body.person
    if person.hair_style != "long":
        return
    wide = 0.062 * person.head * person.stature
    start = canvas.project((0.0, 0.92 * person.stature, -0.5 * wide))
    end = canvas.project((0.0, 0.74 * person.stature, -1.1 * wide - 0.3 * body.depth_z))
    wide *= canvas.scale
    canvas.polygon(capsule(start, end, wide, 1.05 * wide), person.hair)


def draw_backpack(body: "Body") -> None:
    canvas, person = body.canvas, body.person
    if person.bag != "backpack":
        return
    behind = -(body.depth_z + 0.09)
    bottom = canvas.project((0.0, body.hip_y + 0.10, behind))
    top = canvas.project((0.0, body.shoulder_y + 0.02, behind))
    half = canvas.half_width(0.155, 0.10)
    outline = capsule(top + (0, 0.5 * half), bottom - (0, 0.4 * half), half, half)
    canvas.polygon(outline, person.bag_colour)
    if canvas.cos_yaw < 0.3:
        pocket = bottom + 0.28 * (top - bottom)
        canvas.ellipse(pocket, (0.72 * half, 0.13 * canvas.scale), _darker(person.bag_colour))


def draw_straps(body: "Body") -> None:
    """A backpack's straps over the chest, a shoulder bag's strap across it."""
    canvas, person = body.canvas, body.person
    ahead = body.depth_z if canvas.cos_yaw > 0 else -body.depth_z
    top = body.shoulder_y + 0.01
    if person.bag == "backpack" and canvas.cos_yaw > 0.1:
        for side in (-1, 1):
            x = side * 0.62 * body.shoulder_x
            _strap(canvas, person, (x, top, 0.0), (x * 1.1, body.hip_y + 0.2, ahead), 0.028)
    elif person.bag == "shoulder_bag":
        start = (-person.bag_side * 0.7 * body.shoulder_x, top, 0.0)
        end = (person.bag_side * (body.hip_x + 0.02), body.hip_y + 0.04, 0.3 * ahead)
        _strap(canvas, person, start, end, 0.022)


def draw_shoulder_bag(body: "Body") -> None:
    person = body.person
    if person.bag == "shoulder_bag":
        x = person.bag_side * (body.hip_x + 0.07)
        _box(body.canvas, person, (x, body.hip_y - 0.02, 0.0), (0.07, 0.13, 0.17))


def draw_tote(canvas: Canvas, person: Identity, hand: np.ndarray) -> None:
    """``hand``: where it hangs, in body coordinates."""
    _strap(canvas, person, hand, hand - (0.0, 0.12, 0.0), 0.03)
    _box(canvas, person, hand - (0.0, 0.28, 0.0), (0.05, 0.17, 0.18))


def _strap(canvas: Canvas, person: Identity, start, end, half_width: float) -> None:
    radius = half_width * canvas.scale
    outline = capsule(canvas.project(start), canvas.project(end), radius, radius)
    canvas.polygon(outline, person.bag_colour)


def _box(canvas: Canvas, person: Identity, centre, half_sizes) -> None:
    """A bag with a flap; ``half_sizes`` are metres along x, y, z."""
    middle = canvas.project(centre)
    wide = canvas.half_width(half_sizes[0], half_sizes[2])
    tall = half_sizes[1] * canvas.scale * canvas.cos_pitch
    size = np.array((wide, tall))
    bag = np.array(((-1, -1), (1, -1), (1.1, 1), (-1.1, 1)))
    flap = np.array(((-1, -1), (1, -1), (0.8, -0.3), (-0.8, -0.3)))
    canvas.polygon(middle + bag * size, person.bag_colour)
    canvas.polygon(middle + flap * size, _darker(person.bag_colour))
