"""Who is seen when, where and by which camera: the whole dataset, decided before any drawing."""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from ...errors import UserError
from .camera import CAMERAS
from .identity import sample_identities
from .placement import PlacedClutter, PlacedFigure, Stage, place_clutter, place_figure

MIN_CAMERAS = 3
UNLABELLED = -2  # PRW's mark
_CROWD = (0.08, 0.12, 0.15, 0.16, 0.15, 0.12, 0.09, 0.06, 0.04, 0.03)  # odds of 1..10 persons
_SHARE_UNLABELLED = 0.2


@dataclass(frozen=True)
class SyntheticSpec:
    """The size of a synthetic dataset; two equal specs give the same bytes.

    ``max_queries`` caps the queries, of which there is else one for each test person and camera.
    """

    train_frames: int = 1500
    test_frames: int = 150
    train_ids: int = 330
    test_ids: int = 30
    width: int = 480
    height: int = 270
    max_queries: int | None = 100
    seed: int = 0

    def __post_init__(self):
        least = {"train_frames": 6, "test_frames": 6, "train_ids": 2, "test_ids": 2, "seed": 0}
        for field, number in least.items():
            if getattr(self, field) < number:
                raise UserError(f"{field} is {getattr(self, field)}; it must be {number} or more")
        if self.max_queries is not None and self.max_queries < 1:
            raise UserError(f"max_queries is {self.max_queries}; give 1 or more, or None for all")
        if not 64 <= self.height <= self.width <= 4 * self.height:
            raise UserError(
                f"the frame size is {self.width}x{self.height}; the height must be 64 or more and "
                "the width between one and four times the height"
            )


PRESETS = {
    "demo": SyntheticSpec(),
    "prw": SyntheticSpec(5704, 6112, 483, 449, 1920, 1080, 2057),
}


@dataclass(frozen=True)
class FramePlan:
    """One frame to draw; ``index`` seeds everything that the plan leaves open."""

    index: int
    name: str  # without ".jpg"
    camera: int  # into CAMERAS
    sequence: int
    figures: tuple[PlacedFigure, ...]
    clutter: tuple[PlacedClutter, ...]


@dataclass(frozen=True)
class DatasetPlan:
    """``frames`` and ``ids`` have the keys "train" and "test"."""

    frames: dict[str, list[FramePlan]]
    ids: dict[str, list[int]]
    queries: list[tuple[int, str]]  # person id, frame name


class _Decks:
    """Deals a split's persons to the cameras that see them: all of them before one comes again."""

    def __init__(self, pids: list[int], rng: np.random.Generator):
        self.rng = rng
        self.members: dict[int, list[int]] = defaultdict(list)
        self.decks: dict[int, list[int]] = defaultdict(list)
        for pid in pids:
            number = rng.choice([4, 5, 6], p=[0.3, 0.4, 0.3])
            for camera in rng.choice(len(CAMERAS), number, replace=False):
                self.members[int(camera)].append(pid)

    def deal(self, camera: int, number: int) -> list[int]:
        """Up to ``number`` different persons."""
        deck = self.decks[camera]
        if len(set(deck)) < number:
            members = self.members[camera]
            deck += [members[i] for i in self.rng.permutation(len(members))]
        hand = list(dict.fromkeys(deck))[:number]
        for pid in hand:
            deck.remove(pid)
        return hand

    def put_back(self, camera: int, pid: int) -> None:
        self.decks[camera].insert(0, pid)


class _Planner:
    """Fills frames with the cast (person id - 1 is the index) and with unlabelled extras."""

    def __init__(self, spec: SyntheticSpec, rng: np.random.Generator):
        number = spec.train_ids + spec.test_ids
        people = sample_identities(number + max(number // 2, 12), spec.seed)
        self.cast, self.extras = people[:number], people[number:]
        self.spec, self.rng = spec, rng

    def frame(self, index: int, camera: int, number: int, decks: _Decks) -> FramePlan:
        sequence = int(self.rng.integers(1, 4))
        stage = Stage(self.spec.width / self.spec.height)
        fixed = np.random.default_rng([self.spec.seed, 41, camera, sequence])
        for _ in range(4):  # stands there in every frame of the sequence
            place_clutter(stage, CAMERAS[camera], fixed)
        self._fill(stage, camera, decks)
        for _ in range(self.rng.integers(0, 3)):
            place_clutter(stage, CAMERAS[camera], self.rng)
        name = f"c{camera + 1}s{sequence}_{number:06d}"
        return FramePlan(index, name, camera, sequence, stage.figures, stage.clutter)

    def _fill(self, stage: Stage, camera: int, decks: _Decks) -> None:
        number = int(self.rng.choice(len(_CROWD), p=_CROWD)) + 1
        labelled = int((self.rng.random(number) >= _SHARE_UNLABELLED).sum())
        for pid in decks.deal(camera, labelled):
            if not place_figure(stage, CAMERAS[camera], pid, self.cast[pid - 1], self.rng):
                decks.put_back(camera, pid)
        strangers = self.rng.choice(len(self.extras), number - labelled, replace=False)
        for stranger in (self.extras[i] for i in strangers):
            place_figure(stage, CAMERAS[camera], UNLABELLED, stranger, self.rng)
        while not stage.figures:
            place_figure(stage, CAMERAS[camera], UNLABELLED, self.extras[0], self.rng)


# Person id -> camera -> (name of the frame, the person in it)
Sightings = dict[int, dict[int, list[tuple[str, PlacedFigure]]]]


def _sightings(frames: list[FramePlan]) -> Sightings:
    seen: Sightings = defaultdict(lambda: defaultdict(list))
    for frame in frames:
        for figure in frame.figures:
            if figure.pid != UNLABELLED:
                seen[figure.pid][frame.camera].append((frame.name, figure))
    return seen


def _check_sightings(frames: list[FramePlan], pids: list[int], split: str) -> None:
    seen = _sightings(frames)
    lacking = sum(len(seen[pid]) < MIN_CAMERAS for pid in pids)
    if lacking:
        raise UserError(
            f"{split}_frames is {len(frames)}, too few for {len(pids)} {split} ids: {lacking} of "
            f"them are seen by fewer than {MIN_CAMERAS} cameras; use more frames or fewer ids"
        )


def _choose_queries(frames: list[FramePlan], spec: SyntheticSpec, rng) -> list[tuple[int, str]]:
    """A sighting for each person and camera, not cut by the frame's border if there is one."""
    queries = []
    for pid, cameras in sorted(_sightings(frames).items()):
        for _, sightings in sorted(cameras.items()):
            aspect = spec.width / spec.height
            whole = [name for name, figure in sightings if figure.is_whole(aspect)]
            names = whole or [name for name, _ in sightings]
            queries.append((pid, names[int(rng.integers(len(names)))]))
    if spec.max_queries is None or len(queries) <= spec.max_queries:
        return queries
    kept = rng.choice(len(queries), spec.max_queries, replace=False)
    return [queries[i] for i in sorted(kept)]


def make_plan(spec: SyntheticSpec) -> DatasetPlan:
    """Plan a dataset.

    Raises:
        UserError: the frames are too few for everybody to be seen by ``MIN_CAMERAS`` cameras.
    """
    rng = np.random.default_rng([spec.seed, 42])
    planner = _Planner(spec, rng)
    pids = [int(pid) + 1 for pid in rng.permutation(spec.train_ids + spec.test_ids)]
    ids = {"train": sorted(pids[: spec.train_ids]), "test": sorted(pids[spec.train_ids :])}
    numbers = 25 * (rng.permutation(spec.train_frames + spec.test_frames) + 1)
    frames: dict[str, list[FramePlan]] = {}
    index = 0
    for split, size in (("train", spec.train_frames), ("test", spec.test_frames)):
        decks, frames[split] = _Decks(ids[split], rng), []
        for order in range(size):
            camera = order % len(CAMERAS)
            frames[split].append(planner.frame(index, camera, int(numbers[index]), decks))
            index += 1
        _check_sightings(frames[split], ids[split], split)
    queries = _choose_queries(frames["test"], spec, rng)
    return DatasetPlan(frames, ids, queries)
