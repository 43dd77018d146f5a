"""Draws the frames of a site's videos, with the box of everybody in them."""

from collections.abc import Iterator

import cv2
import numpy as np

from .camera import CAMERAS, expose
from .canvas import paste_figure
from .figure import Pose, draw_figure
from .scene import background, draw_clutter, draw_shadow
from .site import Passage, VideoPlan
from .site_spec import SiteSpec, first_frame, site_seed
from .walks import to_image

MIN_INSIDE = 0.25  # share of a person that must be inside the frame to get a box
_OPAQUE = 128
_DRIFT_SECONDS = 20  # from one state of light and automatic exposure to the next


class _SlowLight:
    """In place of a frame's random generator for :func:`expose`: what that draws uniformly (light,
    white balance, tones) drifts from frame to frame, and the noise is each frame's own.
    """

    def __init__(self, seed: int, camera: int, fps: int, frame: int):
        """``frame``: counted from the site's start."""
        state, self._share = divmod(frame / fps / _DRIFT_SECONDS, 1.0)
        self._before, self._after = (
            np.random.default_rng([seed, 71, camera, int(state) + i]) for i in (0, 1)
        )
        noise = np.random.Generator(np.random.SFC64([seed, 72, camera, frame]))
        self.standard_normal = noise.standard_normal

    def uniform(self, low, high, size=None):
        before, after = (rng.uniform(low, high, size) for rng in (self._before, self._after))
        return before + (after - before) * self._share


def draw_frames(plan: VideoPlan, spec: SiteSpec) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Draw a video, frame by frame.

    Yields:
        the (H, W, 3) uint8 BGR image, and (N, 6) float64 rows id, x, y, w, h in pixels and
        visibility: the full extent of each person of whom ``MIN_INSIDE`` is in the frame, clipped
        to the frame, and the share of what is in the frame that nothing nearer hides.
    """
    waiting, present = list(plan.passages)[::-1], []
    for frame in range(spec.frames):
        while waiting and waiting[-1].start <= frame:
            present.append(waiting.pop())
        present = [passage for passage in present if passage.end > frame]
        yield _draw_frame(plan, spec, present, frame)


def _draw_frame(plan: VideoPlan, spec: SiteSpec, present: list[Passage], frame: int):
    seed, index, camera = site_seed(spec), plan.camera, CAMERAS[plan.camera]
    image = background(camera, 1, seed, spec.width, spec.height).copy()
    things: list[tuple] = [
        (np.array(thing.foot) * spec.height, thing.scale * spec.height, thing)
        for thing in plan.clutter
    ]
    for passage in present:
        at = frame - passage.start
        foot, scale = to_image(camera, passage.walk.ground[at : at + 1], spec.aspect)
        things.append((foot[0] * spec.height, float(scale[0]) * spec.height, passage))
    things.sort(key=lambda thing: thing[0][1])
    for foot, scale, _ in things:
        draw_shadow(image, foot, scale)
    nearest = np.zeros((spec.height, spec.width), np.int32)  # the person, or -1, at each pixel
    extents = []
    for foot, scale, thing in things:
        if isinstance(thing, Passage):
            extents.append(_draw_person(image, nearest, thing, frame, foot, scale, camera))
        else:
            _draw_thing(image, nearest, thing, foot, scale)
    light = _SlowLight(seed, index, spec.fps, first_frame(spec, plan.split) + frame)
    return expose(image, camera, light), _rows(extents, nearest)


def _draw_person(image, nearest, passage: Passage, frame: int, foot, scale: float, camera):
    """Returns the id, the box x, y, w, h, the pixels inside the frame, and the share of all."""
    walk, at = passage.walk, frame - passage.start
    pose = Pose(
        float(walk.yaw[at]), float(walk.phase[at]), float(walk.stride[at]), passage.arms,
        passage.lean,
    )  # fmt: skip
    middle = (foot[1] - 0.5 * passage.person.stature * scale) / len(image)
    figure = draw_figure(passage.person, pose, scale, camera.pitch(middle), camera.roll)
    inside, alpha = paste_figure(image, figure, foot, passage.light)
    opaque = alpha >= _OPAQUE
    nearest[inside][opaque] = passage.pid
    x, y, w, h = cv2.boundingRect(opaque.astype(np.uint8))
    box = (inside[1].start + x, inside[0].start + y, w, h)
    return passage.pid, box, opaque.sum(), opaque.sum() / (figure.alpha >= _OPAQUE).sum()


def _draw_thing(image, nearest, thing, foot, scale: float) -> None:
    before = image.copy()
    draw_clutter(image, thing.kind, foot, scale, np.random.default_rng(thing.look))
    nearest[(image != before).any(axis=2)] = -1


def _rows(extents, nearest: np.ndarray) -> np.ndarray:
    rows = [
        (pid, *box, (nearest == pid).sum() / pixels)
        for pid, box, pixels, share in extents
        if share >= MIN_INSIDE
    ]
    return np.array(sorted(rows), dtype=np.float64).reshape(-1, 6)
