"""Who a synthetic person is: the traits that stay the same in every frame and camera."""

from dataclasses import dataclass

import numpy as np

Colour = tuple[int, int, int]  # BGR, 0..255

# Few, shared colours: many persons wear the same ones, so that colour alone names nobody.
PALETTE = {
    "black": (40, 36, 36),
    "white": (228, 234, 236),
    "grey": (136, 132, 130),
    "red": (42, 38, 188),
    "navy": (98, 48, 34),
    "blue": (200, 116, 56),
    "green": (66, 124, 48),
    "yellow": (56, 190, 222),
    "orange": (44, 118, 222),
    "brown": (48, 72, 106),
    "pink": (164, 134, 222),
    "purple": (132, 62, 108),
    "beige": (152, 186, 206),
}
_SKIN = ((150, 186, 232), (120, 160, 212), (92, 132, 186), (66, 98, 148), (44, 66, 104))
_HAIR = ((26, 26, 30), (34, 50, 78), (50, 84, 132), (88, 160, 208), (60, 72, 150), (168, 168, 170))

UPPER_KINDS = ("t_shirt", "sweater", "coat", "tank_top")
UPPER_PATTERNS = (
    "plain", "rings", "pinstripes", "checks", "dots", "two_tone", "raglan", "logo", "open", "yoke",
    "sash", "band",
)  # fmt: skip
LOWER_KINDS = ("trousers", "shorts", "skirt", "long_skirt")
LOWER_PATTERNS = ("plain", "pinstripes", "checks", "side_stripe", "rings")
HAIR_STYLES = ("short", "long", "bald", "bun", "afro")
HATS = ("none", "cap", "beanie", "brim")
BAGS = ("none", "backpack", "shoulder_bag", "tote")


@dataclass(frozen=True)
class Garment:
    """A piece of clothing; ``period`` is the pattern's repeat in metres."""

    kind: str
    pattern: str
    colour: Colour
    second: Colour
    period: float


@dataclass(frozen=True)
class Identity:
    """One person.

    ``stature`` is in metres; ``leg_ratio`` is the hip's height over the stature; ``girth``,
    ``shoulders`` and ``head`` are factors around 1. ``key`` seeds the folds of the clothes.
    """

    key: int
    stature: float
    girth: float
    shoulders: float
    leg_ratio: float
    head: float
    skin: Colour
    hair_style: str
    hair: Colour
    hat: str
    hat_colour: Colour
    upper: Garment
    lower: Garment
    shoes: Colour
    bag: str
    bag_side: int  # -1 right, 1 left
    bag_colour: Colour

    def traits(self) -> tuple:
        """What a witness would name; see :func:`sample_identities`."""
        return (
            self.upper.kind,
            self.upper.pattern,
            self.upper.colour,
            self.upper.second,
            self.lower.kind,
            self.lower.pattern,
            self.lower.colour,
            self.bag,
            self.hat,
            self.hair_style,
            self.hair,
        )


def _two_colours(rng: np.random.Generator) -> tuple[Colour, Colour]:
    """Two palette colours whose contrast survives any of the cameras."""
    colours = list(PALETTE.values())
    first = colours[rng.integers(len(colours))]
    far = [c for c in colours if abs(_luma(c) - _luma(first)) > 50]
    return first, far[rng.integers(len(far))]


def _luma(colour: Colour) -> float:
    return 0.114 * colour[0] + 0.587 * colour[1] + 0.299 * colour[2]


def _garment(rng, kinds, kind_odds, patterns, pattern_odds) -> Garment:
    first, second = _two_colours(rng)
    kind = kinds[rng.choice(len(kinds), p=kind_odds)]
    pattern = patterns[rng.choice(len(patterns), p=pattern_odds)]
    return Garment(kind, pattern, first, second, float(rng.uniform(0.12, 0.24)))


def _sample(rng: np.random.Generator) -> Identity:
    colours = list(PALETTE.values())
    upper_odds = [0.12] + [0.08] * 11
    upper = _garment(rng, UPPER_KINDS, [0.34, 0.34, 0.20, 0.12], UPPER_PATTERNS, upper_odds)
    lower_odds = [0.60, 0.09, 0.09, 0.13, 0.09]
    lower = _garment(rng, LOWER_KINDS, [0.52, 0.20, 0.16, 0.12], LOWER_PATTERNS, lower_odds)
    return Identity(
        key=int(rng.integers(2**31)),
        stature=float(rng.uniform(1.50, 1.94)),
        girth=float(rng.uniform(0.82, 1.38)),
        shoulders=float(rng.uniform(0.90, 1.12)),
        leg_ratio=float(rng.uniform(0.45, 0.54)),
        head=float(rng.uniform(0.95, 1.12)),
        skin=_SKIN[rng.integers(len(_SKIN))],
        hair_style=HAIR_STYLES[rng.choice(5, p=[0.40, 0.28, 0.10, 0.12, 0.10])],
        hair=_HAIR[rng.integers(len(_HAIR))],
        hat=HATS[rng.choice(4, p=[0.67, 0.13, 0.11, 0.09])],
        hat_colour=colours[rng.integers(len(colours))],
        upper=upper,
        lower=lower,
        shoes=colours[rng.choice([0, 0, 1, 2, 3, 9])],
        bag=BAGS[rng.choice(4, p=[0.38, 0.26, 0.22, 0.14])],
        bag_side=int(rng.choice([-1, 1])),
        bag_colour=colours[rng.integers(len(colours))],
    )


def sample_identities(number: int, seed: int, min_distance: int = 5) -> list[Identity]:
    """Draw ``number`` persons, any two of which differ in at least ``min_distance`` traits.

    The first ones do not depend on ``number``. ``min_distance`` is lowered by one whenever
    200 draws in a row are too close to somebody, so this always ends.
    """
    rng = np.random.default_rng([seed, 11])
    chosen: list[Identity] = []
    codes = np.empty((number, len(_sample(np.random.default_rng(0)).traits())), dtype=np.int64)
    code_of: dict = {}
    failures = 0
    while len(chosen) < number:
        person = _sample(rng)
        code = [code_of.setdefault(trait, len(code_of)) for trait in person.traits()]
        differing = (codes[: len(chosen)] != code).sum(axis=1)
        if len(chosen) and differing.min() < min_distance:
            failures += 1
            if failures == 200:
                min_distance, failures = min_distance - 1, 0
            continue
        failures = 0
        codes[len(chosen)] = code
        chosen.append(person)
    return chosen
