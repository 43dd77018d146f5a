"""The projection of a figure into the camera, and the brushes that draw through it.

Body coordinates are metres: x to the figure's left, y up from the ground, z ahead of it. Yaw 0
faces the camera.
"""

import math
from typing import NamedTuple

import cv2
import numpy as np

from .identity import Colour

_WIDTH, _ABOVE, _BELOW = 2.0, 2.3, 0.5  # metres: across, above and below the feet
_OVERSAMPLE = 2
_TURN = np.linspace(0.5 * math.pi, 1.5 * math.pi, 8)
_HALF_CIRCLE = np.stack((np.cos(_TURN), np.sin(_TURN)), axis=1)


def capsule(start: np.ndarray, end: np.ndarray, r_start: float, r_end: float) -> np.ndarray:
    """Outline of a limb: two half circles and what is between them, (16, 2) pixels."""
    axis = end - start
    length = math.hypot(axis[0], axis[1]) or 1.0
    cos, sin = axis / length if length > 1e-6 else (1.0, 0.0)
    half = _HALF_CIRCLE @ np.array(((cos, sin), (-sin, cos)))
    return np.concatenate((start + r_start * half, end - r_end * half))


class Figure(NamedTuple):
    """A person as drawn."""

    image: np.ndarray  # (H, W, 3) uint8 BGR, multiplied by its opacity
    alpha: np.ndarray  # (H, W) uint8 opacity
    foot: tuple[float, float]  # column and row of the feet, maybe outside


def paste_figure(
    image: np.ndarray, figure: Figure, foot: tuple[float, float], light: float
) -> tuple[tuple[slice, slice], np.ndarray]:
    """Draw a figure into a (H, W, 3) uint8 BGR image, in place.

    Args:
        foot: column and row of the feet in pixels, maybe outside.
        light: factor.

    Returns:
        the rows and columns of the image that it covers, maybe none, and its opacity there.
    """
    left, top = round(foot[0] - figure.foot[0]), round(foot[1] - figure.foot[1])
    x0, y0 = max(left, 0), max(top, 0)
    cut = np.s_[y0 - top : max(image.shape[0] - top, 0), x0 - left : max(image.shape[1] - left, 0)]
    alpha, drawn = figure.alpha[cut], figure.image[cut]
    inside = np.s_[y0 : y0 + alpha.shape[0], x0 : x0 + alpha.shape[1]]
    behind = image[inside] * (1.0 - alpha[..., None] / np.float32(255))
    image[inside] = np.minimum(behind + drawn * np.float32(light), 255)
    return inside, alpha


class Canvas:
    """Holds one figure, drawn at twice its resolution without anti-aliasing.

    Averaging down in :meth:`finish` anti-aliases shape and cloth alike.
    """

    def __init__(self, px_per_metre: float, yaw: float, pitch: float, roll: float):
        """``pitch``: radians from which the camera looks down; ``roll``: lean in the image."""
        self.scale = px_per_metre * _OVERSAMPLE
        self.cos_yaw, self.sin_yaw = math.cos(yaw), math.sin(yaw)
        self.cos_pitch, self.sin_pitch = math.cos(pitch), math.sin(pitch)
        self.roll = roll
        self.foot = np.array((0.5 * _WIDTH, _ABOVE)) * self.scale
        height, width = round((_ABOVE + _BELOW) * self.scale), round(_WIDTH * self.scale)
        self.image = np.zeros((height, width, 3), np.uint8)
        self.alpha = np.zeros((height, width), np.uint8)

    def depth(self, point) -> float:
        """How much nearer to the camera than the figure's axis a body point is, in metres."""
        return point[2] * self.cos_yaw - point[0] * self.sin_yaw

    def project(self, point) -> np.ndarray:
        """Pixel (column, row) of a body point; seen from above, the top is larger, all shorter."""
        across = point[0] * self.cos_yaw + point[2] * self.sin_yaw
        across *= 1.0 + 0.22 * self.sin_pitch * (point[1] - 0.8)
        up = point[1] * self.cos_pitch - self.depth(point) * self.sin_pitch
        lean = np.array((across + self.roll * up, self.roll * across - up))
        return self.foot + lean * self.scale

    def half_width(self, x: float, z: float) -> float:
        """Half the visible width in pixels of an ellipse with semi-axes x, z around the axis."""
        return math.hypot(x * self.cos_yaw, z * self.sin_yaw) * self.scale

    def polygon(self, points: np.ndarray, colour: Colour) -> None:
        points = np.round(points).astype(np.int32)
        cv2.fillPoly(self.image, [points], colour)
        cv2.fillPoly(self.alpha, [points], 255)

    def ellipse(self, centre, axes, colour: Colour, span=(0, 360)) -> None:
        centre = (round(float(centre[0])), round(float(centre[1])))
        axes = (max(round(float(axes[0])), 1), max(round(float(axes[1])), 1))
        cv2.ellipse(self.image, centre, axes, 0.0, *span, colour, -1)
        cv2.ellipse(self.alpha, centre, axes, 0.0, *span, 255, -1)

    def cloth(self, points: np.ndarray, texture: np.ndarray, to_canvas: np.ndarray, shade=False):
        """Fill a polygon with a texture; ``to_canvas`` is the (2, 3) map from texture pixels.

        ``shade`` darkens it towards the left and right, like a cylinder.
        """
        height, width = self.alpha.shape
        x0, y0 = np.maximum(np.floor(points.min(axis=0)).astype(int), 0)
        x1, y1 = np.ceil(points.max(axis=0)).astype(int) + 1
        x1, y1 = min(x1, width), min(y1, height)
        if x0 >= x1 or y0 >= y1:
            return
        corner = np.array((x0, y0))
        mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
        cv2.fillPoly(mask, [np.round(points - corner).astype(np.int32)], 255)
        shifted = np.float64(to_canvas)
        shifted[:, 2] -= corner
        size = (int(x1 - x0), int(y1 - y0))
        patch = cv2.warpAffine(texture, shifted, size, borderMode=cv2.BORDER_REPLICATE)
        if shade:
            profile = 1.06 - 0.5 * np.linspace(-1, 1, size[0], dtype=np.float32) ** 4
            patch = np.minimum(patch * profile[None, :, None], 255).astype(np.uint8)
        inside = np.s_[y0:y1, x0:x1]
        np.copyto(self.image[inside], patch, where=mask[..., None] > 0)
        self.alpha[inside] |= mask

    def finish(self) -> Figure:
        """The figure at its final resolution, cut out."""
        x, y, w, h = cv2.boundingRect(self.alpha)
        step = _OVERSAMPLE
        x, y, w, h = x // step, y // step, w // step + 2, h // step + 2
        cut = np.s_[y * step : (y + h) * step, x * step : (x + w) * step]
        image, alpha = self.image[cut], self.alpha[cut]
        size = (alpha.shape[1] // step, alpha.shape[0] // step)
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        alpha = cv2.resize(alpha, size, interpolation=cv2.INTER_AREA)
        return Figure(image, alpha, (self.foot[0] / step - x, self.foot[1] / step - y))
