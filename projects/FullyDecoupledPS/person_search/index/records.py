"""What an index holds and returns: frames, persons, hits; and what a search is restricted to."""

import json
import math
import os
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from ..errors import UserError

# Of the layout on disk (or in Milvus); an index of another version is refused.
INDEX_VERSION = 2


@dataclass(frozen=True)
class IndexInfo:
    """What is fixed when an index is made."""

    fingerprint: str  # of the network that its features are from, 64 hexadecimal digits
    dim: int  # D, length of a feature
    # where that network was loaded from: a run's folder, a config, or a ready network's name
    model: str
    weights: str = ""  # its checkpoint, if it is not the run's own
    num_shards: int = 1
    version: int = INDEX_VERSION
    # what the network computed in, as its Predictor says; "": it was made before that was noted
    precision: str = ""


def info_from_json(text: str) -> IndexInfo:
    """Inverse of ``json.dumps(asdict(info))``; of another version only the version is read.

    Raises:
        ValueError, TypeError, KeyError: if the text is invalid.
    """
    content = json.loads(text)
    if content["version"] != INDEX_VERSION and type(content["version"]) is int:
        return IndexInfo("", 0, "", version=content["version"])
    info = IndexInfo(**content)
    for name, kind in IndexInfo.__annotations__.items():
        if type(getattr(info, name)) is not kind:
            raise TypeError(f"{name} is {getattr(info, name)!r}")
    if min(info.dim, info.num_shards) < 1:
        raise ValueError(f"dim is {info.dim}, num_shards {info.num_shards}")
    return info


@dataclass(frozen=True)
class Frame:
    """A picture, or one sampled frame of a video."""

    frame_id: int
    path: str  # absolute, of the picture or the video
    # Presentation time stamp of a video's frame, in the time base of the video stream, which may
    # be negative; see :mod:`fully_decoupled_ps.data.videos`. None for a picture.
    pts: int | None
    camera: str
    time: float  # seconds since the epoch
    width: int  # pixels, upright as the EXIF orientation says
    height: int
    offset: float = 0.0  # seconds after the video's first frame
    # Of a video's decoded frame; None for a picture, or if it is not known.
    checksum: int | None = None

    @property
    def name(self) -> str:
        """Its path, and for a video's frame its pts behind a "#"."""
        return self.path if self.pts is None else f"{self.path}#{self.pts}"

    @property
    def title(self) -> str:
        """For people: the name without folders, and for a video's frame the time into it."""
        name = os.path.basename(self.name)
        return name if self.pts is None else f"{name} ({self.clock})"

    @property
    def clock(self) -> str:
        """Hours, minutes and seconds into the video."""
        minutes, tenths = divmod(round(10 * self.offset), 600)
        return f"{minutes // 60}:{minutes % 60:02}:{tenths / 10:04.1f}"


@dataclass(frozen=True)
class Person:
    """A detected person."""

    person_id: int
    frame: Frame
    box: tuple[float, float, float, float]  # x0, y0, x1, y1 in pixels of the frame
    score: float  # of the detection, 0 to 1


# Hits below are weak: they are shown pale, as they are probably somebody else.
WEAK_SIMILARITY = 0.5


class Hit(NamedTuple):
    """A person found, the most similar first."""

    rank: int  # from 1
    person: Person
    # Cosine of the features' angle, -1 to 1; with class weighted similarity times the score.
    similarity: float

    @property
    def is_weak(self) -> bool:
        return self.similarity < WEAK_SIMILARITY


@dataclass(frozen=True)
class Filters:
    """Which persons (or frames) to look at; the defaults let everything pass."""

    cameras: tuple[str, ...] = ()  # any of these; (): all
    start: float | None = None  # seconds since the epoch, included
    end: float | None = None  # seconds since the epoch, included
    min_score: float = 0.0  # of a detection; takes no part where frames are listed

    def __post_init__(self):
        # a bound that is not a number would let everybody pass
        for name in ("start", "end", "min_score"):
            value = getattr(self, name)
            if value is not None and not math.isfinite(value):
                raise UserError(f"filter {name} {value}: it has to be a finite number")

    def __bool__(self) -> bool:
        return self != NO_FILTERS


NO_FILTERS = Filters()


class Counts(NamedTuple):
    """How much is in an index."""

    files: int
    frames: int
    persons: int


@dataclass(frozen=True)
class Source:
    """A picture or video file, as it was when it was read."""

    path: str  # absolute
    size: int  # bytes
    mtime_ns: int
    recipe: str  # settings that the detections depend on; other ones mean reading again
    camera: str
    start: float  # time of the first frame, seconds since the epoch

    def same_content(self, other: "Source") -> bool:
        """Whether reading the file again would give the same persons."""
        return replace(self, camera=other.camera, start=other.start) == other


@dataclass(frozen=True)
class SourceState:
    """What an index knows of a file."""

    source: Source
    is_done: bool  # else reading it was interrupted


@dataclass(frozen=True)
class NewFrame:
    """A frame to add, with its R persons."""

    pts: int | None  # as in :class:`Frame`
    offset: float  # seconds after the source's start
    width: int
    height: int
    boxes: np.ndarray  # (R, 4) x0, y0, x1, y1 in pixels of the frame
    scores: np.ndarray  # (R,)
    features: np.ndarray  # (R, D) L2-normalised
    checksum: int | None = None  # as in :class:`Frame`
