"""Where people and things stand in a frame.

Everybody drawn is annotated. Instead of dropping boxes that hide too much, people are placed so
that at least ``MIN_VISIBLE`` of everybody's nominal box is in the frame and not behind anything.
"""

from dataclasses import dataclass

from .camera import Camera
from .identity import Identity
from .scene import CLUTTER_KINDS, CLUTTER_SIZE

MIN_VISIBLE = 0.5
_NOMINAL_WIDTH = 0.40  # of a person's height
_ATTEMPTS = 30
Box = tuple[float, float, float, float]  # x0, y0, x1, y1


@dataclass(frozen=True)
class PlacedFigure:
    """A person in a frame. Lengths are fractions of the frame's height; scale is per metre."""

    pid: int
    person: Identity
    foot: tuple[float, float]
    scale: float
    box: Box  # nominal, not clipped

    def is_whole(self, aspect: float) -> bool:
        """Whether the frame's border, in a frame ``aspect`` wide, cuts nothing off."""
        return 0 <= self.box[0] and self.box[2] <= aspect and 0 <= self.box[1] and self.box[3] <= 1


@dataclass(frozen=True)
class PlacedClutter:
    """A thing in a frame; ``look`` seeds its colours, so that it keeps them from frame to frame."""

    kind: str
    look: int
    foot: tuple[float, float]
    scale: float
    box: Box


class Stage:
    """A frame being filled: accepts what leaves everybody visible enough."""

    def __init__(self, aspect: float):
        self.aspect = aspect
        self.placed: list = []

    def try_add(self, thing) -> bool:
        things = self.placed + [thing]
        if any(self._visible(figure, things) < MIN_VISIBLE for figure in _figures(things)):
            return False
        self.placed = things
        return True

    @property
    def figures(self) -> tuple[PlacedFigure, ...]:
        return _figures(self.placed)

    @property
    def clutter(self) -> tuple[PlacedClutter, ...]:
        return tuple(thing for thing in self.placed if isinstance(thing, PlacedClutter))

    def _visible(self, figure: PlacedFigure, things) -> float:
        """Lower bound of the share of a nominal box that can be seen; what is lower is nearer."""
        inside = _overlap(figure.box, (0.0, 0.0, self.aspect, 1.0))
        nearer = (thing for thing in things if thing.foot[1] > figure.foot[1])
        hidden = sum(_area(_overlap(inside, thing.box)) for thing in nearer)
        return (_area(inside) - hidden) / _area(figure.box)


def _figures(things) -> tuple[PlacedFigure, ...]:
    return tuple(thing for thing in things if isinstance(thing, PlacedFigure))


def _overlap(a: Box, b: Box) -> Box:
    return max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])


def _area(box: Box) -> float:
    return max(box[2] - box[0], 0.0) * max(box[3] - box[1], 0.0)


def _standing(foot, height: float, width: float) -> Box:
    return foot[0] - width / 2, foot[1] - height, foot[0] + width / 2, foot[1]


def place_figure(stage: Stage, camera: Camera, pid: int, person: Identity, rng) -> bool:
    """Find a place for a person; some walk beside another. False: there is no room."""
    low, high = camera.person_heights
    for _ in range(_ATTEMPTS):
        height = low * (high / low) ** (rng.random() ** 1.2)
        x = rng.uniform(0.0, stage.aspect)
        if stage.figures and rng.random() < 0.35:
            other = stage.figures[rng.integers(len(stage.figures))]
            height = other.scale * person.stature * rng.uniform(0.92, 1.09)
            step = height * _NOMINAL_WIDTH * rng.uniform(0.45, 1.1)
            x = other.foot[0] + step * rng.choice([-1, 1])
        foot = (float(x), float(camera.foot_row(height, person.stature)))
        box = _standing(foot, height, height * _NOMINAL_WIDTH)
        if stage.try_add(PlacedFigure(pid, person, foot, camera.scale(foot[1]), box)):
            return True
    return False


def place_clutter(stage: Stage, camera: Camera, rng) -> None:
    """Put a random thing somewhere, unless it would hide somebody there."""
    kind = CLUTTER_KINDS[rng.integers(len(CLUTTER_KINDS))]
    tall, wide = CLUTTER_SIZE[kind]
    low, high = camera.person_heights
    row = camera.foot_row(low * (0.9 * high / low) ** rng.random(), 1.7)
    foot = (float(rng.uniform(0.0, stage.aspect)), float(row))
    scale = camera.scale(foot[1])
    box = _standing(foot, tall * scale, wide * scale)
    stage.try_add(PlacedClutter(kind, int(rng.integers(2**31)), foot, scale, box))
