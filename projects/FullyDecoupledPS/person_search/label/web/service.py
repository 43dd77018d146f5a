"""What the labelling page shows of a project."""

import math
import threading
from collections.abc import Sequence
from contextlib import contextmanager
from typing import NamedTuple

from ...errors import UserError
from ...index import Frame
from ..groups import Group
from ..labelled import LabelledBox
from ..labelling import Labelling
from ..records import View
from ..store import ProjectFile
from ..units import Unit, undone

PERSONS_PER_PAGE = 24
DECISIONS_PER_PAGE = 50
# In a question, behind the two units that are compared: further ones of the same persons.
MORE_UNITS, MORE_VIEWS = 3, 2
# Who may be in a drawn box: persons of so many frames before and behind it.
AROUND = 10


class Passage(NamedTuple):
    """A unit and its pictures."""

    unit: Unit
    views: tuple[View, ...]


class Side(NamedTuple):
    """One of the two persons that are compared."""

    group: Group
    first: Passage  # the unit that is compared
    others: tuple[Passage, ...]  # some of the person's other units, with some of their views
    num_left_out: int  # units of the person that are not shown


class Page(NamedTuple):
    """Some of many things."""

    items: tuple
    number: int  # from 1
    num_pages: int  # at least 1
    num_items: int  # on all pages


class ShownFrame(NamedTuple):
    """A frame, its boxes, and what is next to it."""

    frame: Frame
    boxes: tuple[LabelledBox, ...]
    earlier: int | None  # id of the frame before it in its recording
    later: int | None
    # persons shortly before or after it that have no box in it: (unit, number of the person)
    nearby: tuple[tuple[int, int], ...]


def cut_page(items: Sequence, number: int, size: int) -> Page:
    """Page ``number``, or the nearest one that there is."""
    num_pages = max(math.ceil(len(items) / size), 1)
    number = min(max(number, 1), num_pages)
    return Page(tuple(items[(number - 1) * size : number * size]), number, num_pages, len(items))


class LabelService:
    """Serves the threads of a web server."""

    def __init__(self, labelling: Labelling, project: ProjectFile):
        """
        Args:
            labelling: which decisions are made with.
            project: a connection of its own to the same project; this object alone uses it.
        """
        self.labelling = labelling
        self._file = project
        self.key = project.key()
        self._lock = threading.Lock()

    @contextmanager
    def _project(self):
        with self._lock:
            yield self._file

    # pictures

    def crop(self, tracklet_id: int, number: int) -> bytes:
        """A view's JPEG file; a UserError if there is none."""
        with self._project() as project:
            return project.crop(tracklet_id, number)

    def frame_picture(self, frame_id: int) -> bytes:
        """A frame as a JPEG file no wider than the page; a UserError says why there is none."""
        # they load PyTorch, which takes seconds: the page is there before, and most never need it
        from fully_decoupled_ps.visualization import visualizer

        from ...web.pictures import FRAME_WIDTH, read_indexed

        image, problem = read_indexed(self._frames_around(frame_id, 0)[0])
        if image is None:
            raise UserError(problem)
        width = min(image.shape[1], FRAME_WIDTH)
        return visualizer.encode_image(visualizer.draw_whole(image, width), ".jpg")

    # units and persons

    def passage(self, unit_id: int) -> Passage:
        unit = self.labelling.unit(unit_id)
        with self._project() as project:
            views = project.views(unit.tracklet.tracklet_id)
        return Passage(
            unit, tuple(v for v in views if unit.first_view <= v.number <= unit.last_view)
        )

    def side(self, unit_id: int, units: Sequence[int]) -> Side:
        """A person in a question.

        Args:
            unit_id: that is compared.
            units: all of the person, the most telling first.
        """
        rest = [unit for unit in units if unit != unit_id]
        others = tuple(map(self.passage, rest[:MORE_UNITS]))
        shown = tuple(Passage(p.unit, _spread(p.views, MORE_VIEWS)) for p in others)
        group = self.labelling.group_of(unit_id)
        return Side(group, self.passage(unit_id), shown, len(rest) - len(shown))

    def group_of_number(self, number: int) -> Group:
        """The person of a number.

        Raises:
            UserError: if there is none.
        """
        for group in self.labelling.groups():
            if group.person_id == number:
                return group
        raise UserError(
            f"there is no person {number}; look the number up in the list of persons, as it "
            "changes when persons are merged or split"
        )

    def persons(self, number: int) -> Page:
        """A page of persons, each as (group, passages of which the first view is shown)."""
        page = cut_page(self.labelling.groups(), number, PERSONS_PER_PAGE)
        return page._replace(
            items=tuple((group, tuple(map(self.passage, group.units[:3]))) for group in page.items)
        )

    # frames

    def _frames_around(self, frame_id: int, count: int) -> list[Frame]:
        """As :meth:`ProjectFile.frames_around`; a UserError if the frame itself is not there."""
        with self._project() as project:
            frames = project.frames_around(frame_id, count)
        if all(frame.frame_id != frame_id for frame in frames):
            raise UserError(f"the project has no frame {frame_id} that may be shown; go back")
        return frames

    def frame(self, frame_id: int) -> ShownFrame:
        """
        Raises:
            UserError: if the project has no such frame, or it shows somebody who was forgotten.
        """
        frames = self._frames_around(frame_id, AROUND)
        ids = [frame.frame_id for frame in frames]
        place = ids.index(frame_id)
        found = self.labelling.boxes(ids)
        boxes = tuple(b for b in found if b.box.frame_id == frame_id)
        here = {b.person for b in boxes}
        nearby = {
            b.person: b.unit
            for b in found
            if b.kind == "person" and b.unit is not None and b.person not in here
        }
        return ShownFrame(
            frames[place],
            boxes,
            ids[place - 1] if place else None,
            ids[place + 1] if place + 1 < len(ids) else None,
            tuple((unit, person) for person, unit in sorted(nearby.items())),
        )

    def history(self, number: int) -> Page:
        """A page of decisions, the newest first: (decision, whether it holds, or was undone).

        One may neither hold nor be undone: it contradicts others, or a later one made it void.
        """
        log = self.labelling.decisions()
        gone = undone(decision for decision, _ in log)
        page = cut_page(log, number, DECISIONS_PER_PAGE)
        return page._replace(items=tuple((d, holds, d.number in gone) for d, holds in page.items))


def _spread(items: Sequence, count: int) -> tuple:
    """At most ``count`` of them, spread over all.

    >>> _spread("abcde", 2), _spread("abc", 3), _spread("a", 2)
    (('b', 'd'), ('a', 'b', 'c'), ('a',))
    """
    if len(items) <= count:
        return tuple(items)
    step = len(items) / count
    return tuple(items[int((i + 0.5) * step)] for i in range(count))
