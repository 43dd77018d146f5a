"""A project that is being labelled: what to ask next, decisions, and what they say so far."""

import gc
import threading
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from ..errors import UserError
from .asking import Asking
from .checks import check, check_payload, check_shown
from .groups import Group, person_of
from .identities import ABOUT_BOXES, PAIRS, Facts
from .labelled import BoxEdits, LabelledBox, labelled_boxes
from .links import Link, usable
from .records import NOT_PERSON, UNDO, Decision
from .replaying import Replays
from .store import ProjectFile
from .units import Unit, is_mentioned, standing, undone

TARGET_RECALL = 0.95


def collect_seldom() -> None:
    """Have the process's garbage collector leave alone what a project holds; call it when opened.

    A split makes as many objects as a large project has, hardly any of them in cycles: looking
    through all of them takes longer than the split.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)


class Question(NamedTuple):
    """Are these one person?"""

    a: int  # the two units to compare, one of each side
    b: int
    left: tuple[int, ...]  # all units of both persons, a and b first
    right: tuple[int, ...]
    probability: float  # 0..1, that they are


class Progress(NamedTuple):
    """How far the work is; recall is over pairs of units that are one person."""

    decisions: int  # those that stand
    tracklets: int  # units that are persons
    persons: int  # groups
    recall: float  # 0..1, estimated: the share of those pairs that are in one group
    target: float
    left: int  # decisions to the target, estimated; 0: reached


class Labelling:
    """The state of a project. Any number of threads may use one.

    Everything is read once: recordings that are added later are seen by a new one.
    """

    def __init__(self, project: ProjectFile, target_recall: float = TARGET_RECALL):
        """
        Args:
            target_recall: 0..1, of :class:`Progress`.
        """
        self.project = project
        self.target_recall = target_recall
        self._lock = threading.RLock()
        with self._lock:
            self._facts = _read_facts(project)
            self._log = project.decisions()
            self._tokens = {d.token: d for d in self._log}
            self._asking = Asking(project, self._facts)
            self._replays = Replays(self._facts)
            self._replay()

    def _replay(self) -> None:
        self._identities = self._replays.replay(self._log)
        self._changed()

    def _changed(self) -> None:
        self._edits = BoxEdits(self._identities.box_decisions)
        self._asking.update(self._identities, {d.number: d.payload for d in self._log})
        self._question: Question | None | bool = False  # False: not looked for yet

    # decisions

    def decide(
        self,
        token: str,
        kind: str,
        payload: dict[str, Any],
        by: str = "page",
        shown: Iterable[Sequence[int]] = (),
    ) -> Decision:
        """Make a decision; it is on the disk when this returns.

        Args:
            token: made by who decides, another one for each decision. If there is a decision
                with it already, that one is returned and nothing is changed, so that somebody who
                got no answer can ask again.
            kind, payload: see ``records``.
            shown: units as they were when somebody looked at them, each with its first and last
                view; if one is another now, what was seen is not what the decision would be about.

        Raises:
            UserError: if it is not well-formed, about something that is not there (any more) or
                that has changed, or contradicts what is known; it says with what.
        """
        with self._lock:
            if token in self._tokens:
                return self._tokens[token]
            payload = check_payload(kind, payload)
            check_shown(shown, self._identities.units)
            check(kind, payload, self.project, self._log, self._identities, self._edits)
            # nothing that was said before is void then
            is_first = kind == NOT_PERSON and not is_mentioned(payload["unit"], self._log)
            decision = self.project.decide(token, by, kind, payload)
            self._tokens[token] = decision
            self._log.append(decision)
            if kind in PAIRS or kind in ABOUT_BOXES or is_first:
                self._identities.apply(decision)
                self._replays.answered(self._identities, self._log)
                self._changed()
            else:
                self._replay()
            return decision

    def undo(self, token: str, number: int | None = None, by: str = "page") -> Decision:
        """Make a decision hold no longer, and what followed from it.

        To undo an undoing makes its decision hold again.

        Args:
            number: of the decision; None: the last one that holds.

        Raises:
            UserError: if there is no such decision, or it was undone already.
        """
        with self._lock:
            if token in self._tokens:
                return self._tokens[token]
            if number is None:
                number = self.last()
                if number is None:
                    raise UserError("there is no decision to undo")
            return self.decide(token, UNDO, {"number": number}, by)

    def decisions(self) -> list[tuple[Decision, bool]]:
        """All, the newest first, and whether each one holds."""
        with self._lock:
            gone, holding = undone(self._log), self._identities.holding
            return [
                (d, d.number not in gone if d.kind == UNDO else d.number in holding)
                for d in reversed(self._log)
            ]

    def decision(self, number: int) -> Decision | None:
        """None: there is none of that number."""
        with self._lock:
            return next((d for d in reversed(self._log) if d.number == number), None)

    def last(self) -> int | None:
        """Number of the last decision that holds."""
        with self._lock:
            return max(self._identities.holding, default=None)

    def contradictions(self) -> list[str]:
        """Decisions that are left out since they contradict others, a line each."""
        with self._lock:
            return list(self._identities.contradictions)

    # who is who

    def units(self) -> list[Unit]:
        """All, also those that are no person, by tracklet and time."""
        with self._lock:
            units = self._identities.units
            return [u for t in self._facts.tracklets for u in units.of_tracklet(t.tracklet_id)]

    def unit(self, unit: int) -> Unit:
        """
        Raises:
            UserError: if there is none (any more).
        """
        with self._lock:
            return self._identities.units.get(unit)

    def is_person(self, unit: int) -> bool:
        """Whether nobody said that it is none."""
        with self._lock:
            return self.unit(unit).unit not in self._identities.no_persons

    def groups(self) -> list[Group]:
        """All persons, those with most units first; a unit alone is a person too."""
        with self._lock:
            groups, none = self._identities.groups, self._identities.no_persons
            found = [_group(units) for root, units in groups.members.items() if root not in none]
        return sorted(found, key=lambda group: (-len(group.units), group.person_id))

    def group_of(self, unit: int) -> Group:
        """
        Raises:
            UserError: if there is no such unit, or it is no person.
        """
        with self._lock:
            if not self.is_person(unit):
                raise UserError(f"{self.unit(unit).name} was said to be no person")
            groups = self._identities.groups
            return _group(groups.members[groups.root[unit]])

    def link(self, a: int, b: int) -> Link | None:
        """Why the persons of two units are different; None: they need not be, or are one."""
        with self._lock:
            return self._identities.groups.link(self.unit(a).unit, self.unit(b).unit)

    # boxes

    def boxes(self, frame_ids: Sequence[int]) -> list[LabelledBox]:
        """Those of some frames as they were decided, frame by frame in the given order."""
        with self._lock:
            times = {frame.frame_id: frame.time for frame in self.project.frames(frame_ids)}
            times = {i: times[i] for i in frame_ids if i in times}
            found = self.project.boxes_of_frames(list(times))
            return labelled_boxes(found, times, self._edits, self._identities)

    # what to ask

    def question(self) -> Question | None:
        """The most informative one, the same until something is decided; None: no more."""
        with self._lock:
            if self._question is False:
                best = self._asking.best()
                self._question = best and Question(*best)
            return self._question

    def progress(self) -> Progress:
        with self._lock:
            recall, left = self._asking.estimate(self.target_recall)
            groups, none = self._identities.groups, self._identities.no_persons
            return Progress(
                decisions=len(standing(self._log)),
                tracklets=len(groups.root) - len(none),
                persons=len(groups.members) - len(none),
                recall=recall,
                target=self.target_recall,
                left=left,
            )


def _read_facts(project: ProjectFile) -> Facts:
    tracklets = project.tracklets()
    recordings = {r.recording_id: r for r in project.recordings()}
    pairs = usable(
        project.simultaneous(),
        {t.tracklet_id: recordings[t.recording_id] for t in tracklets},
        project.overlaps(),
    )
    return Facts(tracklets, pairs)


def _group(units: Sequence[int]) -> Group:
    return Group(person_of(units), tuple(sorted(units, key=lambda u: (u < 0, abs(u)))))
