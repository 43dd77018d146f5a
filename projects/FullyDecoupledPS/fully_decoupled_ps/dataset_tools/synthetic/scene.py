"""What stands around the people: ground, walls and things that look a little like people."""

from functools import lru_cache

import cv2
import numpy as np

from .camera import Camera
from .identity import PALETTE

_TILE = 512  # pixels of a texture that repeats every _TILE_METRES
_TILE_METRES = 4.0
# Height and width in metres; what the planner keeps clear of people's boxes.
CLUTTER_SIZE = {
    "bin": (1.0, 0.6),
    "bollard": (1.1, 0.2),
    "sign": (2.1, 0.6),
    "lamp": (2.6, 0.45),
    "mailbox": (1.4, 0.55),
    "poster": (1.7, 0.75),
    "plant": (1.5, 0.8),
}
CLUTTER_KINDS = tuple(CLUTTER_SIZE)


def _noise(rng, cells: int, low: float, high: float) -> np.ndarray:
    """(_TILE, _TILE, 1) smooth factors of ``cells`` blobs a side."""
    blobs = rng.uniform(low, high, (cells, cells)).astype(np.float32)
    return cv2.resize(blobs, (_TILE, _TILE), interpolation=cv2.INTER_CUBIC)[..., None]


def _masonry(rng, columns: int, rows: int, colour, joint, spread: float, shift: bool):
    """Bricks, slabs or tiles: cells of slightly different tones with joints between them."""
    image = np.empty((_TILE, _TILE, 3), np.float32)
    image[:] = joint
    wide, tall = _TILE // columns, _TILE // rows
    gap = max(min(wide, tall) // 14, 1)
    for row in range(rows):
        offset = wide // 2 if shift and row % 2 else 0
        for column in range(columns + (1 if offset else 0)):
            tone = np.float32(colour) * rng.uniform(1 - spread, 1 + spread)
            x0 = max(column * wide - offset, 0) + gap
            x1 = min((column + 1) * wide - offset, _TILE)
            image[row * tall + gap : (row + 1) * tall, x0:x1] = tone
    return image


def _facade(rng, colour, glass, columns: int, rows: int, share: tuple[float, float]):
    """A wall with upright openings: windows, doors or shutters."""
    image = np.empty((_TILE, _TILE, 3), np.float32)
    image[:] = colour
    wide, tall = _TILE // columns, _TILE // rows
    for row in range(rows):
        for column in range(columns):
            x0 = int(column * wide + wide * (1 - share[0]) / 2)
            y0 = int(row * tall + tall * (1 - share[1]))
            x1, y1 = int(x0 + wide * share[0]), (row + 1) * tall
            image[y0:y1, x0:x1] = np.float32(glass) * rng.uniform(0.6, 1.5)
            cv2.rectangle(image, (x0, y0), (x1, y1 - 1), tuple(0.6 * c for c in colour), 6)
            cv2.line(
                image, ((x0 + x1) // 2, y0), ((x0 + x1) // 2, y1), tuple(0.8 * c for c in colour), 5
            )
    return image


def _material(kind: str, rng: np.random.Generator) -> np.ndarray:
    """(_TILE, _TILE, 3) uint8 BGR texture of a ground or wall."""
    if kind == "slabs":
        image = _masonry(rng, 5, 5, (150, 158, 162), (108, 112, 116), 0.10, False)
    elif kind == "pavers":
        image = _masonry(rng, 8, 16, (104, 122, 150), (84, 94, 104), 0.16, True)
    elif kind == "tiles":
        image = _masonry(rng, 8, 8, (188, 192, 190), (150, 150, 150), 0.05, False)
        image[::, :][: _TILE // 8] *= 0.72
    elif kind == "bricks":
        image = _masonry(rng, 12, 32, (72, 88, 148), (136, 142, 146), 0.22, True)
    elif kind == "windows":
        image = _facade(rng, (150, 170, 180), (96, 80, 66), 3, 2, (0.5, 0.7))
    elif kind == "doors":
        image = _facade(rng, (196, 200, 198), (84, 104, 128), 3, 1, (0.42, 0.55))
    elif kind == "shutters":
        image = _facade(rng, (104, 104, 110), (120, 130, 130), 2, 1, (0.7, 0.72))
        image[::16] *= 0.75
    elif kind in ("grass", "hedge"):
        colour = (62, 128, 92) if kind == "grass" else (40, 84, 48)
        image = np.float32(colour) * _noise(rng, 90, 0.55, 1.45)
    else:
        image = np.float32((112, 112, 112)) * np.ones((_TILE, _TILE, 1), np.float32)
        image[:, :10] *= 1.5  # a lane's line
    image = image * _noise(rng, 9, 0.86, 1.12) * _noise(rng, 128, 0.9, 1.1)
    return np.clip(image, 0, 255).astype(np.uint8)


@lru_cache(maxsize=32)
def background(camera: Camera, sequence: int, seed: int, width: int, height: int) -> np.ndarray:
    """The empty scene (height, width, 3) uint8 BGR. Do not write into it: it is kept.

    Each pixel's ray meets the nearest of ground, back wall and side walls; the sequence moves the
    textures a little, as if the camera had been taken down and put up again.
    """
    rng = np.random.default_rng([seed, 21, int(camera.height * 1000)])
    ground, wall = _material(camera.ground, rng), _material(camera.wall, rng)
    shift = np.random.default_rng([seed, 22, sequence]).uniform(-0.4, 0.4, 2)
    x = (np.arange(width, dtype=np.float32)[None] + 0.5) / height - width / height / 2
    y = (np.arange(height, dtype=np.float32)[:, None] + 0.5) / height - camera.horizon
    ray_x = np.broadcast_to(x / camera.focal, (height, width))
    ray_y = np.broadcast_to(y / camera.focal, (height, width))
    far = np.float32(1e4)
    to_ground = np.where(ray_y > 1e-4, camera.height / np.maximum(ray_y, 1e-4), far)
    turn = 0.25 * camera.turn
    to_wall = camera.wall_distance / np.maximum(1.0 + turn * ray_x, 0.1)
    to_side = camera.side_wall / np.maximum(np.abs(ray_x), 1e-4) if camera.side_wall else far
    depth = np.minimum(np.minimum(to_ground, to_wall), to_side).astype(np.float32)
    across, drop = ray_x * depth, camera.height - ray_y * depth
    cos, sin = np.cos(camera.turn), np.sin(camera.turn)
    ground_u = cos * across - sin * depth + shift[0]
    ground_v = sin * across + cos * depth + shift[1]
    scene = _sample(ground, ground_u, ground_v)
    on_wall = depth < to_ground
    along = np.where(depth == to_side, depth, across) + shift[0]
    scene[on_wall] = _sample(wall, along, -drop)[on_wall]
    haze = np.clip(1.15 - 0.018 * depth, 0.6, 1.1)[..., None]
    scene = np.clip(scene * haze, 0, 255).astype(np.uint8)
    return scene[:, ::-1].copy() if camera.mirror else scene


def _sample(texture: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    scale = _TILE / _TILE_METRES
    map_u, map_v = (u * scale % _TILE).astype(np.float32), (v * scale % _TILE).astype(np.float32)
    return cv2.remap(texture, map_u, map_v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)


class _Brush:
    """Draws in metres around a point on the ground."""

    def __init__(self, image: np.ndarray, foot: tuple[float, float], scale: float):
        self.image, self.foot, self.scale = image, foot, scale

    def box(self, x: float, bottom: float, top: float, half: float, colour, taper: float = 1.0):
        """An upright box from ``bottom`` to ``top``, lit from the left."""
        for share, light in ((1.0, 0.8), (0.3, 1.05)):
            right = x - half + 2 * half * share
            corners = (
                (x - half * taper, top),
                (right * taper, top),
                (right, bottom),
                (x - half, bottom),
            )
            self._fill([self._at(*corner) for corner in corners], colour, light)

    def disc(self, x: float, y: float, half_x: float, half_y: float, colour, light: float = 1.0):
        turn = np.linspace(0, 2 * np.pi, 20)
        points = zip(x + half_x * np.cos(turn), y + half_y * np.sin(turn))
        self._fill([self._at(*point) for point in points], colour, light)

    def _at(self, x: float, y: float) -> tuple[float, float]:
        return self.foot[0] + x * self.scale, self.foot[1] - y * self.scale

    def _fill(self, points, colour, light: float) -> None:
        points = np.round(np.array(points) * 16).astype(np.int32)  # 4 fractional bits
        colour = tuple(int(min(light * c, 255)) for c in colour)
        cv2.fillPoly(self.image, [points], colour, cv2.LINE_AA, 4)


def draw_shadow(image: np.ndarray, foot: tuple[float, float], scale: float) -> None:
    """Darken the ground under something about a person's width, in place."""
    half_x, half_y = 0.36 * scale, 0.10 * scale
    x0, x1 = int(max(foot[0] - half_x, 0)), int(min(foot[0] + half_x + 1, image.shape[1]))
    y0, y1 = int(max(foot[1] - half_y, 0)), int(min(foot[1] + half_y + 1, image.shape[0]))
    if x0 >= x1 or y0 >= y1:
        return
    x = (np.arange(x0, x1, dtype=np.float32)[None] - foot[0]) / half_x
    y = (np.arange(y0, y1, dtype=np.float32)[:, None] - foot[1]) / half_y
    light = 1.0 - 0.5 * np.clip(1.2 - x**2 - y**2, 0, 1)
    image[y0:y1, x0:x1] = image[y0:y1, x0:x1] * light[..., None]


def draw_clutter(image: np.ndarray, kind: str, foot, scale: float, rng) -> None:
    """Draw one thing that is no person, in place; ``scale`` is pixels per metre."""
    colours = list(PALETTE.values())
    first, second = (colours[i] for i in rng.choice(len(colours), 2, replace=False))
    steel = (96, 98, 100)
    brush = _Brush(image, foot, scale)
    if kind == "bin":
        brush.box(0, 0.0, 0.85, 0.26, first, taper=1.08)
        brush.box(0, 0.85, 0.98, 0.30, second)
    elif kind == "bollard":
        brush.box(0, 0.0, 0.95, 0.08, first)
        brush.disc(0, 1.0, 0.10, 0.10, second)
    elif kind == "sign":
        brush.box(0, 0.0, 1.9, 0.035, steel)
        brush.disc(0, 1.75, 0.27, 0.27, first)
        brush.disc(0, 1.75, 0.19, 0.19, second)
    elif kind == "lamp":
        brush.box(0, 0.0, 2.3, 0.07, steel)
        brush.box(0, 0.0, 0.5, 0.13, steel)
        brush.disc(0, 2.4, 0.20, 0.20, (200, 232, 240))
    elif kind == "mailbox":
        brush.box(0, 0.0, 0.45, 0.08, steel)
        brush.box(0, 0.45, 1.2, 0.24, first)
        brush.disc(0, 1.2, 0.24, 0.16, first)
        brush.box(0, 0.95, 1.02, 0.16, (30, 30, 30))
    elif kind == "poster":
        brush.box(0, 0.05, 1.65, 0.36, second)
        brush.disc(0, 1.32, 0.11, 0.13, first)
        brush.box(0, 0.3, 1.12, 0.22, first, taper=0.5)
    else:
        brush.box(0, 0.0, 0.45, 0.22, first, taper=1.25)
        for _ in range(9):
            x, y = rng.uniform(-0.3, 0.3), rng.uniform(0.6, 1.35)
            brush.disc(x, y, 0.16, 0.13, (58, 118, 66), rng.uniform(0.6, 1.2))
