"""What a labelling project holds: recordings, their frames and boxes, tracklets and decisions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

# Of the tables; a project of another version is refused.
PROJECT_VERSION = 1

# Kinds of decisions, and the fields of their payloads. ``a`` and ``b`` are units: the id of a
# tracklet, or, of the later part of a tracklet that was split, minus the number of that decision.
SAME = "same"  # a, b: one person
DIFFERENT = "different"  # a, b: two persons
UNSURE = "unsure"  # a, b: nobody can tell; the pair is not asked again as it is
NOT_PERSON = "not_person"  # unit: no person, or more than one at once
SPLIT = "split"  # unit, view: from this view on (its number, 1 or more) it is somebody else
DETACH = "detach"  # unit, rest: the unit is nobody of the units in rest, which stay one person
MOVE_BOX = "move_box"  # box_id, box
REMOVE_BOX = "remove_box"  # box_id: there is no person
ADD_BOX = "add_box"  # frame_id, box, unit: who it is, or None
UNDO = "undo"  # number: of the decision that no longer holds
KINDS = (
    *(SAME, DIFFERENT, UNSURE, NOT_PERSON, SPLIT, DETACH),
    *(MOVE_BOX, REMOVE_BOX, ADD_BOX, UNDO),
)

Xyxy = tuple[float, float, float, float]


class ProjectInfo(NamedTuple):
    """What is fixed when a project is made."""

    fingerprint: str  # of the network that its features are from
    dim: int  # D, length of a feature
    model: str  # where that network was loaded from
    weights: str
    fps: float  # frames per second that are taken from a video
    version: int = PROJECT_VERSION


@dataclass(frozen=True)
class Recording:
    """A video, or the pictures of one folder in the order of their times."""

    recording_id: int
    path: str  # absolute, of the video or of the folder
    camera: str
    content: str  # what its files were like when they were tracked: a hash
    # whether its times were said by the user, so that they can be compared with other cameras'
    is_timed: bool


class Box(NamedTuple):
    """A person in a frame, detected, interpolated between two detections, or drawn by hand.

    A box that was drawn by a decision has minus that decision's number as its ``box_id``.
    """

    box_id: int
    frame_id: int
    tracklet_id: int  # 0: of no tracklet
    box: Xyxy  # in pixels of the frame
    score: float  # of the detector; 0 for an interpolated one, 1 for one that was drawn
    is_interpolated: bool


class View(NamedTuple):
    """One of the best crops of a tracklet; its JPEG is read by :meth:`ProjectFile.crop`."""

    tracklet_id: int
    number: int  # from 0, in the order of time
    frame_id: int
    time: float  # seconds since the epoch
    box: Xyxy
    score: float


@dataclass(frozen=True)
class Tracklet:
    """One passage of one person before one camera, as the tracker saw it."""

    tracklet_id: int  # from 1; never used again
    recording_id: int
    camera: str
    start: float  # seconds since the epoch, of its first detection
    end: float  # of its last
    num_boxes: int
    view_times: tuple[float, ...]  # (V,) of its views, ascending


class Simultaneous(NamedTuple):
    """Two tracklets that were seen at the same time, in places that are apart."""

    a: int
    b: int  # a < b
    first: float  # time of the first and of the last frame that both are in (in which, of two
    last: float  # cameras, both are)
    is_one_camera: bool


@dataclass(frozen=True)
class Decision:
    """An entry of the log, which only grows."""

    number: int  # from 1
    token: str  # chosen by who decides; a second decision with the same one is not made
    time: float  # when it was made, seconds since the epoch
    by: str  # such as "page" or "simulation"
    kind: str  # one of KINDS
    payload: dict[str, Any]


class NewTracklet(NamedTuple):
    """A tracklet to add, with its N boxes and V views; frames are indices into the recording's."""

    frames: np.ndarray  # (N,) int, ascending
    boxes: np.ndarray  # (N, 4) float
    scores: np.ndarray  # (N,); 0 where interpolated
    is_interpolated: np.ndarray  # (N,) bool
    view_rows: tuple[int, ...]  # V of the N boxes, ascending
    view_features: np.ndarray  # (V, D) L2-normalised
    crops: tuple[bytes, ...]  # V JPEG files


class NewRecording(NamedTuple):
    """A recording to add, all at once."""

    path: str
    camera: str
    content: str
    is_timed: bool
    # of F frames: path, pts, checksum, time, offset, width, height, as an index's Frame has them
    frames: list[tuple]
    tracklets: list[NewTracklet]
    # detections in no tracklet: (frame index, box, score)
    others: list[tuple[int, Xyxy, float]]
    # pairs of tracklets that were in one frame, apart: places in ``tracklets``, the smaller first,
    # and the times of the first and of the last frame that both are in
    simultaneous: Sequence[tuple[int, int, float, float]] = ()
