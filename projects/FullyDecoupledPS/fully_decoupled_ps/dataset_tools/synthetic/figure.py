"""How a person looks: a jointed figure, posed in three dimensions and clothed.

Coordinates are those of :mod:`canvas`: metres, x to the figure's left, y up, z ahead.
"""

import math
from dataclasses import dataclass

import numpy as np

from .accessories import (
    draw_backpack,
    draw_hat,
    draw_long_hair,
    draw_shoulder_bag,
    draw_straps,
    draw_tote,
)
from .canvas import Canvas, Figure, capsule
from .garments import AROUND, PX_PER_METRE, wardrobe
from .identity import Colour, Identity

_SLEEVE = {"t_shirt": 0.9, "sweater": 2.0, "coat": 2.0, "tank_top": 0.0}  # 1: elbow, 2: wrist
_TROUSER = {"trousers": 2.0, "shorts": 0.85, "skirt": 0.0, "long_skirt": 0.0}  # 1: knee, 2: ankle


@dataclass(frozen=True)
class Pose:
    """Angles in radians; ``arms`` is one of "swing", "phone", "pockets", "carry"."""

    yaw: float
    phase: float
    stride: float
    arms: str
    lean: float


def sample_pose(rng: np.random.Generator) -> Pose:
    stride = 0.0 if rng.random() < 0.25 else rng.uniform(0.25, 0.55)
    arms = ("swing", "phone", "pockets", "carry")[rng.choice(4, p=[0.55, 0.15, 0.15, 0.15])]
    yaw, phase = rng.uniform(-math.pi, math.pi, 2)
    return Pose(float(yaw), float(phase), float(stride), arms, float(rng.normal(0, 0.03)))


class Body:
    """One person in one pose on one canvas; each method draws a part.

    Attributes:
        hip_y, shoulder_y: heights of the joints.
        shoulder_x, hip_x, depth_z: half widths, and half the chest's depth.
    """

    def __init__(self, canvas: Canvas, person: Identity, pose: Pose):
        self.canvas, self.person, self.pose = canvas, person, pose
        self.textures = wardrobe(person)
        self.hip_y = person.leg_ratio * person.stature
        self.shoulder_y = 0.825 * person.stature
        self.shoulder_x = 0.115 * person.stature * person.shoulders * person.girth**0.5
        self.hip_x = 0.082 * person.stature * person.girth
        self.depth_z = 0.068 * person.stature * person.girth

    def _limb(self, joints, radii, clothed: float, texture, skin: Colour) -> None:
        """A two-part limb; cloth covers its first ``clothed`` parts (0.5: half of the first)."""
        canvas, done = self.canvas, 0.0
        points = [canvas.project(joint) for joint in joints]
        radii = [radius * canvas.scale for radius in radii]
        for part in (0, 1):
            start, end = points[part], points[part + 1]
            cover = min(max(clothed - part, 0.0), 1.0)
            if cover < 1.0:
                canvas.polygon(capsule(start, end, radii[part], radii[part + 1]), skin)
            if cover > 0.0:
                stop = start + (end - start) * cover
                stop_radius = radii[part] + (radii[part + 1] - radii[part]) * cover
                outline = capsule(start, stop, radii[part] * 1.12, stop_radius * 1.12)
                canvas.cloth(
                    outline, texture, self._limb_map(start, end, radii[part], done, texture)
                )
            done += float(np.linalg.norm(np.subtract(joints[part + 1], joints[part])))

    def _limb_map(self, start, end, radius, done: float, texture) -> np.ndarray:
        """The map from a limb's texture, ``done`` metres below its top, to the canvas."""
        axis = end - start
        length = max(float(np.hypot(*axis)), 1.0)
        along = axis / length
        across = np.array((-along[1], along[0]))
        columns = texture.shape[1]
        step_u = across * (2.3 * radius / columns)
        step_v = along * (self.canvas.scale / PX_PER_METRE)
        origin = start - step_u * columns / 2 - step_v * (done * PX_PER_METRE)
        return np.stack((step_u, step_v, origin), axis=1)

    def leg(self, side: int) -> None:
        person, pose = self.person, self.pose
        swing = pose.stride * math.sin(pose.phase) * side
        bend = 0.9 * pose.stride * max(0.0, math.cos(pose.phase) * side) + 0.05
        thigh, shin = 0.50 * self.hip_y, 0.46 * self.hip_y
        hip = np.array((side * 0.62 * self.hip_x, self.hip_y, 0.0))
        knee = hip + thigh * np.array((side * 0.03, -math.cos(swing), math.sin(swing)))
        ankle = knee + shin * np.array((0.0, -math.cos(swing - bend), math.sin(swing - bend)))
        toe = ankle + np.array((side * 0.02, -0.035, 0.13))
        heel = ankle + np.array((0.0, -0.03, -0.03))
        thick = person.girth**0.8 * person.stature
        radii = (0.047 * thick, 0.034 * thick, 0.023 * thick)
        scale = self.canvas.scale
        shoe = capsule(
            self.canvas.project(heel), self.canvas.project(toe), 0.045 * scale, 0.04 * scale
        )
        self.canvas.polygon(shoe, person.shoes)
        clothed = _TROUSER[person.lower.kind]
        self._limb((hip, knee, ankle), radii, clothed, self.textures.leg, person.skin)

    def _arm_joints(self, side: int) -> list[np.ndarray]:
        pose, person = self.pose, self.person
        upper, fore = 0.172 * person.stature, 0.15 * person.stature
        swing, bend, out = -0.9 * pose.stride * math.sin(pose.phase) * side, 0.25, 0.10
        if pose.arms == "phone" and side == person.bag_side:
            swing, bend, out = 0.35, 2.3, 0.25
        elif pose.arms == "pockets":
            swing, bend, out = -0.35, 0.75, 0.22
        elif pose.arms == "carry":
            swing, bend, out = 0.15, 1.35, 0.08
        shoulder = np.array((side * self.shoulder_x, self.shoulder_y - 0.02, 0.0))
        aim = np.array((side * math.sin(out), -math.cos(swing), math.sin(swing)))
        elbow = shoulder + upper * aim / np.linalg.norm(aim)
        aim = np.array((-side * out * 0.4, -math.cos(swing + bend), math.sin(swing + bend)))
        return [shoulder, elbow, elbow + fore * aim / np.linalg.norm(aim)]

    def arm(self, side: int) -> None:
        canvas, person = self.canvas, self.person
        joints = self._arm_joints(side)
        thick = person.girth**0.7 * person.stature
        if person.bag == "tote" and side == person.bag_side:
            draw_tote(canvas, person, joints[2])
        canvas.ellipse(canvas.project(joints[2]), (0.045 * canvas.scale,) * 2, person.skin)
        radii = (0.034 * thick, 0.026 * thick, 0.019 * thick)
        clothed = _SLEEVE[person.upper.kind]
        self._limb(joints, radii, clothed, self.textures.sleeve, person.skin)

    def _section(self, y: float, x: float, z: float) -> tuple[np.ndarray, float]:
        centre = self.canvas.project((self.pose.lean * (y - self.hip_y), y, 0.0))
        return centre, self.canvas.half_width(x, z)

    def _wrap(self, levels, texture: np.ndarray) -> None:
        """Clothe a stack of ellipses (y, x, z), top first, with a texture that goes around."""
        canvas = self.canvas
        sections = [self._section(*level) for level in levels]
        left = [centre - (half, 0) for centre, half in sections]
        right = [centre + (half, 0) for centre, half in sections]
        outline = np.array(left + right[::-1])
        half = max(half for _, half in sections)
        middle = (-self.pose.yaw / (2 * math.pi) * AROUND + AROUND / 2) % AROUND
        middle += AROUND if middle < AROUND / 4 else 0
        step_u = 2 * half / (AROUND / 2)
        top, bottom = sections[0][0], sections[-1][0]
        length = (levels[0][0] - levels[-1][0]) * PX_PER_METRE
        step_v = (bottom - top) / length
        to_canvas = np.array(
            ((step_u, step_v[0], top[0] - step_u * middle), (0.0, step_v[1], top[1]))
        )
        canvas.cloth(outline, texture, to_canvas, shade=True)

    def torso(self) -> None:
        hip, top = self.hip_y, self.shoulder_y
        x, z = self.shoulder_x, self.depth_z
        belly = self.hip_x * (0.78 + 0.35 * max(self.person.girth - 1.0, 0.0))
        levels = [
            (top + 0.035, x * 0.35, z * 0.5),
            (top, x * 0.95, z * 0.85),
            (top - 0.12, x * 0.97, z * 1.1),
            (hip + 0.14, belly * 1.12, z * (0.75 + 0.45 * (self.person.girth - 0.8))),
            (hip - 0.03, self.hip_x * 1.08, z * 1.1),
        ]
        if self.person.upper.kind == "coat":
            levels.append((hip * 0.62, self.hip_x * 1.35, z * 1.45))
        self._wrap(levels, self.textures.upper_round)

    def pelvis(self) -> None:
        """A skirt, or what closes the gap between the legs and the torso."""
        kind = self.person.lower.kind
        if kind in ("skirt", "long_skirt"):
            hem = self.hip_y * (0.52 if kind == "skirt" else 0.16)
            levels = [
                (self.hip_y + 0.10, self.hip_x * 0.95, self.depth_z),
                (self.hip_y, self.hip_x * 1.15, self.depth_z * 1.25),
                (hem, self.hip_x * 1.75, self.depth_z * 2.0),
            ]
        else:
            levels = [
                (self.hip_y + 0.08, self.hip_x, self.depth_z),
                (self.hip_y - 0.08, self.hip_x * 1.06, self.depth_z * 1.15),
            ]
        self._wrap(levels, self.textures.lower_round)

    def head(self) -> None:
        canvas, person = self.canvas, self.person
        size = person.head * person.stature
        centre_y, wide, tall = 0.915 * person.stature, 0.052 * size, 0.070 * size
        neck = [canvas.project((0.0, y, 0.0)) for y in (self.shoulder_y, centre_y)]
        radius = 0.030 * person.stature * canvas.scale
        canvas.polygon(capsule(neck[0], neck[1], radius, radius), person.skin)
        lean = self.pose.lean * (centre_y - self.hip_y)
        centre = canvas.project((lean, centre_y, 0.0))
        axes = np.array((wide, tall)) * canvas.scale
        bald = person.hair_style == "bald"
        if person.hair_style == "afro":
            canvas.ellipse(centre - (0, 0.25 * axes[1]), axes * (1.55, 1.25), person.hair)
        canvas.ellipse(centre, axes * (1.06, 1.02), person.skin if bald else person.hair)
        if person.hair_style == "bun":
            canvas.ellipse(
                canvas.project((lean, centre_y + tall, -0.6 * wide)), axes * 0.5, person.hair
            )
        if canvas.cos_yaw > -0.45:
            self._face(centre, axes, bald)
        draw_hat(canvas, person, centre, axes)

    def _face(self, centre, axes, bald: bool) -> None:
        canvas, forward = self.canvas, max(self.canvas.cos_yaw, 0.0)
        offset = np.array((canvas.sin_yaw * 0.42 * axes[0], 0.0 if bald else 0.22 * axes[1]))
        width = 0.55 + 0.33 * forward
        canvas.ellipse(centre + offset, axes * (width, 0.80), self.person.skin)
        for side in (-1, 1):
            turned = math.sin(side * 0.45) * canvas.cos_yaw + math.cos(0.45) * canvas.sin_yaw
            ahead = math.cos(0.45) * canvas.cos_yaw - math.sin(side * 0.45) * canvas.sin_yaw
            if ahead > 0.1:
                eye = centre + (turned * 0.8 * axes[0], 0.0)
                canvas.ellipse(eye, axes * (0.13, 0.09), (24, 24, 28))


def draw_figure(
    person: Identity, pose: Pose, px_per_metre: float, pitch: float = 0.0, roll: float = 0.0
) -> Figure:
    """Draw a person seen from ``pitch`` radians above, leaning ``roll`` radians in the image."""
    canvas = Canvas(px_per_metre, pose.yaw, pitch, roll)
    body = Body(canvas, person, pose)
    facing = canvas.cos_yaw > 0
    far, near = sorted((-1, 1), key=lambda side: canvas.depth((side, 0.0, 0.0)))
    body.arm(far)
    if person.bag_side == far:
        draw_shoulder_bag(body)
    if facing:
        draw_backpack(body)
    body.leg(far)
    body.leg(near)
    body.pelvis()
    if facing:
        draw_long_hair(body)
    body.torso()
    draw_straps(body)
    body.head()
    if not facing:
        draw_long_hair(body)
        draw_backpack(body)
    body.arm(near)
    if person.bag_side == near:
        draw_shoulder_bag(body)
    return canvas.finish()
