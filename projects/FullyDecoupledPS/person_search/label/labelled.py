"""The boxes of frames as they were decided: who each one is, moved, removed and added ones."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from .groups import person_of
from .identities import Identities
from .records import ADD_BOX, MOVE_BOX, REMOVE_BOX, Box, Decision
from .units import Unit

NOBODY = -1  # the person of a box of nobody that is known

PERSON = "person"
NO_PERSON = "no_person"
UNCERTAIN = "uncertain"


class LabelledBox(NamedTuple):
    """A box, and what was decided about it."""

    box: Box  # where it was moved to
    # None: of no tracklet, or between the parts of a split one
    unit: int | None
    person: int  # the number of the group; NOBODY: a person that is not known, or no person
    # PERSON; NO_PERSON: its tracklet was said to be none; UNCERTAIN: a detection of no tracklet
    kind: str


class BoxEdits:
    """What decisions say of boxes."""

    def __init__(self, decisions: Iterable[Decision]):
        self.moved: dict[int, tuple[float, ...]] = {}
        self.removed: set[int] = set()
        self.added: dict[int, list[Decision]] = {}  # by frame
        for decision in decisions:
            payload = decision.payload
            if decision.kind == MOVE_BOX:
                self.moved[payload["box_id"]] = tuple(map(float, payload["box"]))
            elif decision.kind == REMOVE_BOX:
                self.removed.add(payload["box_id"])
            elif decision.kind == ADD_BOX:
                self.added.setdefault(payload["frame_id"], []).append(decision)

    def added_box(self, box_id: int) -> Decision | None:
        """The decision that drew a box."""
        every = (d for some in self.added.values() for d in some)
        return next((d for d in every if d.number == -box_id), None)


def labelled_boxes(
    found: Sequence[Box],
    times: dict[int, float],
    edits: BoxEdits,
    identities: Identities,
) -> list[LabelledBox]:
    """The boxes of some frames as decided, those of a frame together.

    Args:
        found: as they were found in those frames.
        times: of the frames, by id.
    """
    labelled = [_label(box, times[box.frame_id], edits, identities) for box in found]
    for frame_id in times:
        for decision in edits.added.get(frame_id, ()):
            labelled.append(_added(decision, identities))
    kept = [one for one in labelled if one.box.box_id not in edits.removed]
    moved = [_moved(one, edits.moved.get(one.box.box_id)) for one in kept]
    order = {frame_id: row for row, frame_id in enumerate(times)}
    return sorted(moved, key=lambda one: order[one.box.frame_id])


def _label(box: Box, time: float, edits: BoxEdits, identities: Identities) -> LabelledBox:
    if not box.tracklet_id:
        is_drawn = box.box_id in edits.moved  # somebody fitted it to a person
        return LabelledBox(box, None, NOBODY, PERSON if is_drawn else UNCERTAIN)
    unit = identities.units.at(box.tracklet_id, time)
    if unit is None:
        return LabelledBox(box, None, NOBODY, _kind_of_gap(box, time, identities))
    return _of_unit(box, unit, identities)


def _of_unit(box: Box, unit: int, identities: Identities) -> LabelledBox:
    if unit in identities.no_persons:
        return LabelledBox(box, unit, NOBODY, NO_PERSON)
    groups = identities.groups
    return LabelledBox(box, unit, person_of(groups.members[groups.root[unit]]), PERSON)


def _kind_of_gap(box: Box, time: float, identities: Identities) -> str:
    """Of a box between two parts of a tracklet: a person, if both parts are."""
    parts: list[Unit] = identities.units.of_tracklet(box.tracklet_id)
    if not parts:
        return UNCERTAIN
    before = max((p for p in parts if p.end < time), key=lambda p: p.end, default=parts[0])
    after = min((p for p in parts if p.start > time), key=lambda p: p.start, default=parts[-1])
    none = {part.unit in identities.no_persons for part in (before, after)}
    return UNCERTAIN if len(none) == 2 else NO_PERSON if none == {True} else PERSON


def _added(decision: Decision, identities: Identities) -> LabelledBox:
    payload = decision.payload
    xyxy = tuple(map(float, payload["box"]))
    unit = payload["unit"]
    if unit not in identities.units.by_id:
        unit = None
    tracklet = identities.units.by_id[unit].tracklet.tracklet_id if unit is not None else 0
    box = Box(-decision.number, payload["frame_id"], tracklet, xyxy, 1.0, False)
    if unit is None or unit in identities.no_persons:
        return LabelledBox(box, None, NOBODY, PERSON)
    return _of_unit(box, unit, identities)


def _moved(labelled: LabelledBox, xyxy: tuple[float, ...] | None) -> LabelledBox:
    if xyxy is None:
        return labelled
    return labelled._replace(box=labelled.box._replace(box=xyxy, is_interpolated=False))
