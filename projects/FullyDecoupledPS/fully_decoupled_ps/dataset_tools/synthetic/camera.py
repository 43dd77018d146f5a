"""The six cameras: where each stands, and what it does to light and colour."""

import math
from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True)
class Camera:
    """Lengths in the image are fractions of the frame's height, the row 0 at the top.

    A point on the ground at image row ``y`` is seen at ``(y - horizon) / height`` frame heights
    per metre; a high camera has its horizon above the frame and looks down on people.

    Args:
        height: metres above the ground.
        horizon: row of the horizon.
        focal: focal length.
        person_heights: smallest and largest height of a person in the frame.
        turn: radians by which the ground's texture and the walls are turned.
        roll: radians by which people lean in the frame.
        mirror: whether the scene (not the people) is built the other way round.
        gains: blue, green, red: the white balance.
        brightness, contrast, gamma, saturation: factors, applied in the order gains and
            brightness, saturation, contrast, gamma.
        blur: sigma for a frame of 270 rows. noise: sigma in grey levels.
        vignette: share of the light lost in the corners. quality: of the JPEG file.
    """

    name: str
    height: float
    horizon: float
    focal: float
    person_heights: tuple[float, float]
    turn: float
    roll: float
    mirror: bool
    gains: tuple[float, float, float]
    brightness: float
    contrast: float
    gamma: float
    saturation: float
    blur: float
    noise: float
    vignette: float
    quality: int
    ground: str
    wall: str
    wall_distance: float
    side_wall: float  # metres to the side; 0: none

    def pitch(self, row: float) -> float:
        """Angle in radians at which the camera looks down at something at an image row."""
        return math.atan2(max(row - self.horizon, 0.0), self.focal)

    def foot_row(self, person_height: float, stature: float) -> float:
        """The ground row at which a person of ``stature`` metres is ``person_height`` high."""
        return self.horizon + person_height * self.height / stature

    def scale(self, foot_row: float) -> float:
        """Frame heights per metre at a ground row."""
        return (foot_row - self.horizon) / self.height


# fmt: off
CAMERAS = (
    Camera("plaza", 2.8, 0.22, 1.2, (0.27, 0.70), 0.3, 0.0, False,
           (1.22, 1.0, 0.84), 1.00, 1.10, 0.95, 1.00, 0.0, 3.0, 0.10, 90,
           "slabs", "windows", 13.0, 0.0),
    Camera("street", 1.8, 0.36, 1.0, (0.26, 0.78), -0.2, 0.04, True,
           (0.66, 0.95, 1.25), 1.12, 0.72, 0.85, 0.85, 0.5, 4.0, 0.20, 85,
           "asphalt", "bricks", 9.0, 0.0),
    Camera("mast", 5.5, -0.35, 1.4, (0.26, 0.52), 0.7, -0.05, False,
           (0.86, 1.18, 0.82), 0.82, 1.05, 1.15, 0.75, 0.4, 7.0, 0.25, 80,
           "pavers", "none", 60.0, 0.0),
    Camera("corridor", 2.5, 0.18, 0.9, (0.30, 0.80), 0.0, 0.0, False,
           (0.82, 0.84, 1.22), 0.85, 0.90, 1.00, 1.10, 0.9, 3.0, 0.30, 88,
           "tiles", "doors", 11.0, 3.2),
    Camera("park", 2.2, 0.30, 1.1, (0.26, 0.66), -0.5, -0.03, True,
           (0.98, 1.06, 1.02), 1.45, 0.85, 0.68, 0.55, 0.3, 5.0, 0.15, 85,
           "grass", "hedge", 12.0, 0.0),
    Camera("night", 3.6, 0.05, 1.2, (0.26, 0.60), 0.15, 0.05, False,
           (1.35, 0.90, 0.72), 0.62, 1.10, 0.90, 0.80, 0.6, 9.0, 0.40, 78,
           "asphalt", "shutters", 14.0, 0.0),
)
# fmt: on


# How much a camera's factors drift from frame to frame (time of day, automatic exposure), and the
# darkest and lightest of the patches of shade.
_GAIN_DRIFT, _BRIGHTNESS_DRIFT, _CONTRAST_DRIFT, _GAMMA_DRIFT = 0.06, 0.16, 0.07, 0.08
_SHADE = (0.78, 1.12)


def _drift(rng: np.random.Generator, share: float, size=None):
    return rng.uniform(1 - share, 1 + share, size)


def _tone_curves(camera: Camera, rng: np.random.Generator) -> np.ndarray:
    """(256, 3) uint8: what each channel does to a level in this frame."""
    gains = np.array(camera.gains) * _drift(rng, _GAIN_DRIFT, 3)
    brightness = camera.brightness * _drift(rng, _BRIGHTNESS_DRIFT)
    contrast = camera.contrast * _drift(rng, _CONTRAST_DRIFT)
    gamma = camera.gamma * _drift(rng, _GAMMA_DRIFT)
    level = np.arange(256)[:, None] / 255.0 * gains * brightness
    level = np.clip((level - 0.45) * contrast + 0.45, 0.0, 1.0) ** gamma
    return np.round(level * 255).astype(np.uint8)


def _light(camera: Camera, height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """(height, width) float32 factors: vignette, and soft patches of shade that move."""
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None]
    light = 1.0 - camera.vignette * (x**2 + y**2) / 2
    patches = rng.uniform(*_SHADE, (4, 6)).astype(np.float32)
    return light * cv2.resize(patches, (width, height), interpolation=cv2.INTER_CUBIC)


def expose(scene: np.ndarray, camera: Camera, rng: np.random.Generator) -> np.ndarray:
    """What the camera makes of a (H, W, 3) uint8 BGR scene; ``rng`` is this frame's own."""
    height, width = scene.shape[:2]
    light = _light(camera, height, width, rng)
    image = np.minimum(scene * light[..., None], 255).astype(np.uint8)
    grey = np.array((0.114, 0.587, 0.299))
    mix = camera.saturation * np.eye(3) + (1 - camera.saturation) * grey[None]
    image = cv2.LUT(cv2.transform(image, mix), _tone_curves(camera, rng)[None])
    if camera.blur:
        image = cv2.GaussianBlur(image, (0, 0), camera.blur * height / 270)
    noise = rng.standard_normal((height, width, 3), dtype=np.float32) * camera.noise
    return np.clip(image + noise, 0, 255).astype(np.uint8)
