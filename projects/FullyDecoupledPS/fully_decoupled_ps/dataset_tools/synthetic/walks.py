"""How people walk through a camera's view: paths on the ground, and the gait along them.

Ground coordinates are metres: x to the right of the camera's axis, z away from the camera.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.ndimage import gaussian_filter1d

from .camera import Camera
from .identity import Identity

_STATURE = 1.7
_NEAREST_ROW = 0.97  # where feet stand that are just inside the frame
_MARGIN = 0.7  # metres outside the frame at which a walk begins and ends
_LOOKS_DOWN = 3.0  # height of a camera that people pass below, in and out at the lower border
_SPEED, _SWING = (0.85, 1.4), (0.30, 0.44)  # metres per second; radians of a leg
_SLOWS_DOWN = 0.4  # metres before and after a stop
_STOPS, _PAUSE = 0.6, (2.0, 15.0)  # share of the walks; seconds
_TURNING = 0.3  # seconds over which a change of direction is spread
_TURNS, _STEPS = 3, 400  # points inside the frame that a path leads through; points of it


@dataclass(frozen=True)
class Walk:
    """A way through a view, a value for each frame.

    Attributes:
        ground: (N, 2) metres, x and z of the feet.
        yaw: (N,) radians, as :class:`~.figure.Pose` has it: 0 faces the camera.
        phase, stride: (N,) radians, of the legs.
    """

    ground: np.ndarray
    yaw: np.ndarray
    phase: np.ndarray
    stride: np.ndarray

    def __len__(self) -> int:
        return len(self.ground)

    def beside(self, metres: float) -> "Walk":
        """The walk of somebody who goes along, ``metres`` to the right, out of step."""
        forward = _direction(self.ground, self.yaw)
        right = np.stack((forward[:, 1], -forward[:, 0]), axis=1)
        return replace(self, ground=self.ground + metres * right, phase=self.phase + 2.0)


def to_image(camera: Camera, ground: np.ndarray, aspect: float) -> tuple[np.ndarray, np.ndarray]:
    """Where a camera sees points on the ground.

    Returns:
        (N, 2) columns and rows, and (N,) scales, all in frame heights (per metre).
    """
    scale = camera.focal / ground[:, 1]
    columns = aspect / 2 + scale * ground[:, 0]
    return np.stack((columns, camera.horizon + scale * camera.height), axis=1), scale


def to_ground(camera: Camera, foot: tuple[float, float], aspect: float) -> np.ndarray:
    """The inverse of :func:`to_image`, of one point: (2,) metres."""
    scale = camera.scale(foot[1])
    return np.array(((foot[0] - aspect / 2) / scale, camera.focal / scale))


def sample_walk(
    camera: Camera, person: Identity, aspect: float, fps: int, rng: np.random.Generator
) -> Walk:
    """Somebody comes in over an edge of the frame, may stop once, and leaves over an edge."""
    path, stop = _sample_path(camera, aspect, rng)
    lengths = np.hypot(*np.diff(path, axis=0).T)
    along = np.concatenate(([0.0], np.cumsum(lengths)))
    speed = rng.uniform(*_SPEED)
    pause = rng.uniform(*_PAUSE) if rng.random() < _STOPS else 0.0
    frames, distance = _distances(along, along[stop], speed, pause, fps)
    ground = np.stack([np.interp(distance, along, path[:, i]) for i in (0, 1)], axis=1)
    swing = rng.uniform(*_SWING)
    cycle = 4 * person.leg_ratio * person.stature * math.sin(swing)  # metres of two steps
    pace = np.clip(np.gradient(distance, 1 / fps) / speed, 0.0, 1.0)
    yaw = _yaw(path, along, distance, fps)
    phase = 2 * math.pi * distance / cycle + rng.uniform(0, 2 * math.pi)
    return Walk(ground, yaw, phase, swing * pace)


def _sample_path(camera: Camera, aspect: float, rng) -> tuple[np.ndarray, int]:
    """(_STEPS, 2) points, and which of them is inside the frame, to stop at."""
    near = camera.focal * camera.height / (_NEAREST_ROW - camera.horizon)
    far = camera.focal * _STATURE / camera.person_heights[0]
    sides = [-1, 1] + ([0] if camera.height > _LOOKS_DOWN else [])
    enter, leave = rng.choice(sides, 2)
    inside = rng.uniform(-0.85, 0.85, _TURNS)  # of half the frame's width
    inside = np.sort(inside) if enter <= leave else np.sort(inside)[::-1]
    depths = rng.uniform(near, far, _TURNS)
    half = aspect / 2 / camera.focal * depths
    if camera.side_wall:
        half = np.minimum(half, camera.side_wall - 0.4)
    points = np.array(
        (
            _edge(camera, enter, near, far, aspect, rng),
            *np.stack((inside * half, depths), axis=1),
            _edge(camera, leave, near, far, aspect, rng),
        )
    )
    knots = np.concatenate(([0.0], np.cumsum(np.hypot(*np.diff(points, axis=0).T) + 0.1)))
    steps = np.linspace(0.0, knots[-1], _STEPS)
    stop = int(np.searchsorted(steps, knots[rng.integers(1, _TURNS + 1)]))
    return PchipInterpolator(knots, points)(steps), stop


def _edge(camera: Camera, side: int, near: float, far: float, aspect: float, rng) -> np.ndarray:
    """A point outside the frame: on its left (-1), on its right (1), or below it (0)."""
    half = aspect / 2 / camera.focal  # metres of half the width, per metre of depth
    if side == 0:
        head_below = camera.focal * (camera.height - _STATURE) / (1 - camera.horizon)
        depth = 0.8 * head_below
        return np.array((rng.uniform(-0.8, 0.8) * half * depth, depth))
    nearest = max(0.85 * near, camera.focal * _STATURE / camera.person_heights[1])
    if camera.side_wall:  # beyond, the wall is in the frame
        far = max(min(far, camera.side_wall / half), nearest)
    depth = rng.uniform(nearest, far)
    return np.array((side * (half * depth + _MARGIN), depth))


def _distances(along, stop: float, speed: float, pause: float, fps: int):
    """(N,) times in frames, and (N,) metres walked until then."""
    slow = np.clip(np.abs(along - stop) / _SLOWS_DOWN, 0.2, 1.0) if pause else np.ones_like(along)
    times = np.concatenate(([0.0], np.cumsum(np.diff(along) / (speed * slow[1:]))))
    times[along > stop] += pause
    frames = np.arange(int(times[-1] * fps) + 1)
    return frames, np.interp(frames / fps, times, along)


def _yaw(path: np.ndarray, along: np.ndarray, distance: np.ndarray, fps: int) -> np.ndarray:
    """(N,) radians between the direction of walking and the line of sight."""
    heading = np.gradient(path, axis=0)
    x, z = path.T
    to_right = heading[:, 0] * z - heading[:, 1] * x
    to_camera = -(heading[:, 0] * x + heading[:, 1] * z)
    yaw = np.interp(distance, along, np.unwrap(np.arctan2(to_right, to_camera)))
    return gaussian_filter1d(yaw, _TURNING * fps)


def _direction(ground: np.ndarray, yaw: np.ndarray) -> np.ndarray:
    """(N, 2) unit vectors on the ground: the inverse of what :func:`_yaw` measures."""
    sight = ground / np.hypot(*ground.T)[:, None]
    right = np.stack((sight[:, 1], -sight[:, 0]), axis=1)
    return np.sin(yaw)[:, None] * right - np.cos(yaw)[:, None] * sight
