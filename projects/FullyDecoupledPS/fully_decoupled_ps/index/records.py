"""What an index holds and returns: frames, persons, hits; and what a search is restricted to."""

import json
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

# Of the layout on disk (or in Milvus); an index of another version is refused.
INDEX_VERSION = 1


@dataclass(frozen=True)
class IndexInfo:
    """What is fixed when an index is made."""

    fingerprint: str  # of the network that its features are from, 64 hexadecimal digits
    dim: int  # D, length of a feature
    model: str  # where that network was loaded from: a run's folder, or a config
    weights: str = ""  # its checkpoint, if it is not the run's own
    num_shards: int = 1
    version: int = INDEX_VERSION


def info_from_json(text: str) -> IndexInfo:
    """What ``json.dumps(asdict(info))`` made; of another version nothing but the version is read.

    Raises:
        ValueError, TypeError, KeyError: if it is nothing of the kind.
    """
    content = json.loads(text)
    if content["version"] != INDEX_VERSION:
        return IndexInfo("", 0, "", version=content["version"])
    return IndexInfo(**content)


@dataclass(frozen=True)
class Frame:
    """A picture, or one sampled frame of a video."""

    frame_id: int
    path: str  # absolute, of the picture or the video
    number: int | None  # of the frame in its video, from 0; None for a picture
    camera: str
    time: float  # seconds since the epoch
    width: int  # pixels, upright as the EXIF orientation says
    height: int

    @property
    def name(self) -> str:
        """For people: the path, and for a video's frame its number behind a "#"."""
        return self.path if self.number is None else f"{self.path}#{self.number}"


@dataclass(frozen=True)
class Person:
    """A detected person."""

    person_id: int
    frame: Frame
    box: tuple[float, float, float, float]  # x0, y0, x1, y1 in pixels of the frame
    score: float  # of the detection, 0 to 1


# Below, a hit is weak: it is shown pale, as one that probably is somebody else.
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
        mine = (self.path, self.size, self.mtime_ns, self.recipe)
        return mine == (other.path, other.size, other.mtime_ns, other.recipe)


@dataclass(frozen=True)
class SourceState:
    """What an index knows of a file."""

    source: Source
    is_done: bool  # else reading it was interrupted
    last_number: int | None  # number of the last frame that is in; None if there is none


@dataclass(frozen=True)
class NewFrame:
    """A frame to add, with its R persons."""

    number: int | None  # as in :class:`Frame`
    offset: float  # seconds after the source's start
    width: int
    height: int
    boxes: np.ndarray  # (R, 4) x0, y0, x1, y1 in pixels of the frame
    scores: np.ndarray  # (R,)
    features: np.ndarray  # (R, D) L2-normalised
