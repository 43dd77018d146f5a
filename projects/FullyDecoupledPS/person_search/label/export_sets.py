"""Candidates for an export become its training and test set."""

from collections import Counter, defaultdict
from collections.abc import Mapping

from fully_decoupled_ps import errors
from fully_decoupled_ps.dataset_tools.conversion.split import split_by_ids

from ..errors import UserError
from ..index import Frame
from .export_frames import Dicts
from .frame_choice import Candidate, choose_frames

# With so many test persons whom two cameras see, the others need no query.
MIN_ACROSS = 10
OTHER_SET = "boxes of a person of the other set (kept, without an id)"
ONE_BOX = "boxes of a person who has no other in the set (kept, without an id)"
ONE_CAMERA = "boxes of test persons whom one camera sees alone (kept, without an id)"


def split_in_time(dicts: Dicts, is_timed: Mapping[Frame, bool], share: float) -> list[Dicts]:
    """Training and test candidates, which share neither a person nor a time.

    Of cameras whose clocks are known, the last ``share`` of the frames are for testing: those from
    one moment on. Of each other camera the last ``share`` of its own. As :func:`split_by_ids` says,
    persons on both sides are unlabelled on one.

    Args:
        dicts: their ids are changed.
        share: 0 up to below 1; 0: there is nothing to test on.

    Raises:
        UserError: if nobody would be left to train or to test on.
    """
    dicts = sorted(dicts, key=lambda d: (d["frame"].time, d["camera_id"], d["frame"].frame_id))
    if share == 0:
        return [dicts, []]
    sequences: dict[str, Dicts] = defaultdict(list)
    for d in dicts:
        sequences["" if is_timed[d["frame"]] else str(d["camera_id"])].append(d)
    try:
        train, test, _ = split_by_ids(sequences, share)
    except errors.UserError as error:
        raise UserError(
            f"--test-share {share:g} leaves nobody who is known to train or to test on; label more "
            "persons who were seen at other times, or export for training alone: --test-share 0"
        ) from error
    # another camera's frame of the very moment of the cut is left out
    cut = min((d["frame"].time for d in test if is_timed[d["frame"]]), default=float("inf"))
    train = [d for d in train if not is_timed[d["frame"]] or d["frame"].time < cut]
    return [train, test]


def choose(dicts: Dicts, count: int) -> Dicts:
    """The frames of a set that :func:`choose_frames` chooses, by time."""
    candidates = [
        Candidate(
            d["camera_id"],
            d["frame"].time,
            frozenset(a["person_id"] for a in d["annotations"] if a["person_id"] >= 0),
        )
        for d in dicts
    ]
    return [dicts[i] for i in sorted(choose_frames(candidates, count))]


def unlabel_useless(dicts: Dicts, is_test: bool, counts: Counter) -> None:
    """Take the ids from boxes that have nothing to be compared with.

    In a test set with persons enough whom two cameras see these are all that is searched for: the
    others would be queries without an answer in the search across cameras.
    """
    boxes = Counter(a["person_id"] for d in dicts for a in d["annotations"])
    _unlabel(dicts, {i for i, n in boxes.items() if n == 1}, ONE_BOX, counts)
    if is_test:
        cameras = cameras_of_persons(dicts)
        alone = {i for i, seen in cameras.items() if len(seen) == 1}
        if len(cameras) - len(alone) >= MIN_ACROSS:
            _unlabel(dicts, alone, ONE_CAMERA, counts)


def _unlabel(dicts: Dicts, persons: set[int], why: str, counts: Counter) -> None:
    for a in (a for d in dicts for a in d["annotations"]):
        if a["person_id"] in persons - {-1}:
            a["person_id"] = -1
            counts[why] += 1


def cameras_of_persons(dicts: Dicts) -> dict[int, set[int]]:
    """Of each labelled person the cameras that see it."""
    cameras: dict[int, set[int]] = defaultdict(set)
    for d in dicts:
        for a in d["annotations"]:
            if a["person_id"] >= 0:
                cameras[a["person_id"]].add(d["camera_id"])
    return dict(cameras)


def renumber(dicts: Dicts, first: int) -> dict[int, int]:
    """Number the persons from ``first`` on, in the order of their ids.

    Returns:
        dict: the former id by the new one.
    """
    former = dict(enumerate(sorted(cameras_of_persons(dicts)), first))
    new = {old: i for i, old in former.items()}
    for a in (a for d in dicts for a in d["annotations"]):
        a["person_id"] = new.get(a["person_id"], -1)
    return former


def drop_single_camera(dicts: Dicts) -> None:
    """Take out the camera of a set that has one alone: no search across cameras is possible."""
    if len({d["camera_id"] for d in dicts}) == 1:
        for d in dicts:
            del d["camera_id"]
