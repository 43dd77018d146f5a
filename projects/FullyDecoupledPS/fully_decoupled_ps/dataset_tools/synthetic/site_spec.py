"""The size of a synthetic site, and the clock of its cameras."""

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from ...errors import UserError
from .camera import CAMERAS

SPLITS = ("train", "test")
START = datetime(2024, 6, 3, 9, tzinfo=timezone.utc)  # of the first frames
MIN_CAMERAS = 2  # that see a person
_SEED = 1_000_003  # added to the spec's: other people and other places than the benchmark's


@dataclass(frozen=True)
class SiteSpec:
    """The size of a synthetic site; two equal specs give the same frames.

    The first half of the ``minutes`` is the training split, the second half the test split.

    Raises:
        UserError: a number is out of its range.
    """

    cameras: int = 3
    minutes: int = 20
    fps: int = 5
    train_ids: int = 40
    test_ids: int = 40
    width: int = 480
    height: int = 270
    seed: int = 0

    def __post_init__(self):
        ranges = {
            "cameras": (MIN_CAMERAS, len(CAMERAS)), "minutes": (1, 24 * 60), "fps": (2, 30),
            "train_ids": (2, 10**4), "test_ids": (2, 10**4), "height": (64, 2160),
            "seed": (0, 2**32 - 1),
        }  # fmt: skip
        for field, (least, most) in ranges.items():
            if not least <= getattr(self, field) <= most:
                raise UserError(
                    f"{field} is {getattr(self, field)}; it must be from {least} to {most}"
                )
        even = self.width % 2 == self.height % 2 == 0
        if not (even and self.height <= self.width <= 4 * self.height):
            raise UserError(
                f"the frame size is {self.width}x{self.height}; both must be even, and the width "
                "between one and four times the height"
            )

    @property
    def frames(self) -> int:
        """Of one video."""
        return self.minutes * 30 * self.fps

    @property
    def aspect(self) -> float:
        return self.width / self.height


def first_frame(spec: SiteSpec, split: str) -> int:
    """The number of a split's first frame, counted from the site's start."""
    return SPLITS.index(split) * spec.frames


def start_time(spec: SiteSpec, split: str) -> datetime:
    """When the first frame of a split is taken, by all cameras."""
    return START + timedelta(seconds=first_frame(spec, split) / spec.fps)


def site_seed(spec: SiteSpec) -> int:
    """What all of a site's random numbers start from."""
    return spec.seed + _SEED
