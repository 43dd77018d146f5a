"""Who walks where and when at a synthetic site: everything but the drawing of its videos."""

from collections import defaultdict
from dataclasses import dataclass
from typing import NoReturn

import numpy as np

from ...errors import UserError
from .camera import CAMERAS
from .identity import Identity, sample_identities
from .placement import PlacedClutter, Stage, place_clutter
from .site_spec import MIN_CAMERAS, SPLITS, SiteSpec, site_seed
from .walks import Walk, sample_walk, to_ground

MOST_AT_ONCE = 8  # persons in a camera's view
_PASSAGES = (5, 8)  # of a person: from, and less than
_APART = 0.4  # metres between two persons, and between a person and a thing
_GAP, _WAY = 2.0, 4.0  # seconds between a person's passages of one camera, and of two
_COMPANY = 0.35  # share of the passages at which somebody else walks alongside
_CLUTTER = 4
_ATTEMPTS = 200


@dataclass(frozen=True)
class Passage:
    """A person's way through a camera's view, from frame ``start`` of the split's video on."""

    pid: int
    person: Identity
    start: int
    walk: Walk
    arms: str
    lean: float
    light: float

    @property
    def end(self) -> int:
        """The frame after the last one."""
        return self.start + len(self.walk)


@dataclass(frozen=True)
class VideoPlan:
    """What one camera sees in one split; ``camera`` is an index into CAMERAS."""

    split: str
    camera: int
    passages: tuple[Passage, ...]
    clutter: tuple[PlacedClutter, ...]

    @property
    def name(self) -> str:
        """Of the camera, and of the video."""
        return CAMERAS[self.camera].name


def site_clutter(spec: SiteSpec, camera: int) -> tuple[PlacedClutter, ...]:
    """The things that stand in a camera's view all the time."""
    rng = np.random.default_rng([site_seed(spec), 61, camera])
    stage = Stage(spec.aspect)
    for _ in range(_CLUTTER):
        place_clutter(stage, CAMERAS[camera], rng)
    return stage.clutter


class _Schedule:
    """One split being filled: accepts the passages that are possible."""

    def __init__(self, spec: SiteSpec):
        self.spec = spec
        self.by_camera: dict[int, list[Passage]] = defaultdict(list)
        self.by_person: dict[int, list[tuple[int, Passage]]] = defaultdict(list)
        self.things = {
            camera: [to_ground(CAMERAS[camera], c.foot, spec.aspect) for c in clutter]
            for camera in range(spec.cameras)
            for clutter in [site_clutter(spec, camera)]
        }

    def try_add(self, camera: int, passage: Passage) -> bool:
        if not (self._is_free(camera, passage) and self._is_clear(camera, passage)):
            return False
        self.by_camera[camera].append(passage)
        self.by_person[passage.pid].append((camera, passage))
        return True

    def _is_free(self, camera: int, new: Passage) -> bool:
        """Whether the person can be there: after, and before, all their other passages."""
        for other_camera, other in self.by_person[new.pid]:
            gap = (_GAP if other_camera == camera else _WAY) * self.spec.fps
            if new.start < other.end + gap and other.start < new.end + gap:
                return False
        return True

    def _is_clear(self, camera: int, new: Passage) -> bool:
        """Whether there is room in the view, and nobody and nothing stands in the way."""
        crowd = np.ones(len(new.walk), dtype=int)
        for thing in self.things[camera]:
            if np.hypot(*(new.walk.ground - thing).T).min() < _APART:
                return False
        for other in self.by_camera[camera]:
            first, last = max(new.start, other.start), min(new.end, other.end)
            if first >= last:
                continue
            crowd[first - new.start : last - new.start] += 1
            mine = new.walk.ground[first - new.start : last - new.start]
            theirs = other.walk.ground[first - other.start : last - other.start]
            if np.hypot(*(mine - theirs).T).min() < _APART:
                return False
        return bool(crowd.max() <= MOST_AT_ONCE)


class _Director:
    """Sends the people of one split through the cameras."""

    def __init__(self, spec: SiteSpec, split: str, people: dict[int, Identity], rng):
        self.spec, self.split, self.people, self.rng = spec, split, people, rng
        self.schedule = _Schedule(spec)

    def run(self) -> _Schedule:
        tours = {pid: self._tour() for pid in self.people}
        for turn in range(max(map(len, tours.values()))):
            for pid in self.rng.permutation(list(tours)).tolist():
                # who went along with somebody has made this passage already
                if len(self.schedule.by_person[pid]) <= turn < len(tours[pid]):
                    optional = turn >= MIN_CAMERAS
                    if not self._send(pid, tours[pid][turn], optional) and not optional:
                        self._refuse()
        return self.schedule

    def _tour(self) -> list[int]:
        """Cameras: two or three different ones first, then these again in any order."""
        number = min(int(self.rng.integers(MIN_CAMERAS, 4)), self.spec.cameras)
        seen_by = self.rng.choice(self.spec.cameras, number, replace=False)
        more = self.rng.choice(seen_by, self.rng.integers(*_PASSAGES) - number)
        return [int(camera) for camera in (*seen_by, *more)]

    def _refuse(self) -> NoReturn:
        raise UserError(
            f"minutes is {self.spec.minutes}, too few for {len(self.people)} {self.split} ids: no "
            f"time is left for each of them to pass {MIN_CAMERAS} cameras; use more minutes or "
            "fewer ids"
        )

    def _send(self, pid: int, camera: int, in_company: bool) -> bool:
        """Plan a passage; returns whether there was time and room for it."""
        spec, person = self.spec, self.people[pid]
        for _ in range(_ATTEMPTS):
            walk = sample_walk(CAMERAS[camera], person, spec.aspect, spec.fps, self.rng)
            latest = spec.frames - len(walk)
            if latest < 0:
                continue
            passage = self._passage(pid, int(self.rng.integers(latest + 1)), walk)
            if self.schedule.try_add(camera, passage):
                if in_company and self.rng.random() < _COMPANY:
                    self._accompany(camera, passage)
                return True
        return False

    def _accompany(self, camera: int, passage: Passage) -> None:
        others = [pid for pid in self.people if pid != passage.pid]
        pid = int(self.rng.choice(others))
        if len(self.schedule.by_person[pid]) < _PASSAGES[1] - 1:
            metres = self.rng.uniform(0.6, 0.85) * self.rng.choice([-1, 1])
            walk = passage.walk.beside(metres)
            self.schedule.try_add(camera, self._passage(pid, passage.start, walk))

    def _passage(self, pid: int, start: int, walk: Walk) -> Passage:
        arms = ("swing", "phone", "pockets", "carry")[
            self.rng.choice(4, p=[0.55, 0.15, 0.15, 0.15])
        ]
        lean, light = float(self.rng.normal(0, 0.03)), float(self.rng.uniform(0.85, 1.1))
        return Passage(pid, self.people[pid], start, walk, arms, lean, light)


def make_site_plan(spec: SiteSpec) -> list[VideoPlan]:
    """The videos of a site, those of the training split first.

    Raises:
        UserError: the time is too short for everybody to be seen by two cameras.
    """
    number = spec.train_ids + spec.test_ids
    people = sample_identities(number, site_seed(spec))
    # With gaps: ids without one look as if each video had been numbered anew.
    pids = np.random.default_rng([site_seed(spec), 63]).choice(10 * number, number, replace=False)
    numbered = [(int(pid) + 1, person) for pid, person in zip(pids, people)]
    cast = {"train": numbered[: spec.train_ids], "test": numbered[spec.train_ids :]}
    videos = []
    for part, split in enumerate(SPLITS):
        rng = np.random.default_rng([site_seed(spec), 62, part])
        schedule = _Director(spec, split, dict(cast[split]), rng).run()
        videos += [
            VideoPlan(
                split,
                camera,
                tuple(sorted(schedule.by_camera[camera], key=lambda p: (p.start, p.pid))),
                site_clutter(spec, camera),
            )
            for camera in range(spec.cameras)
        ]
    return videos
