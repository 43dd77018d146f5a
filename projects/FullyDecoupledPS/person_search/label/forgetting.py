"""Removing persons from a project for good, and keeping them out of it."""

from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..errors import NoIndexError, UserError
from ..index import Frame, PersonIndex, Tombstone, open_index
from ..index.locking import WriterLock
from ..index.tombstones import is_forgotten
from ..search.forgetting import Target, make_tombstones
from .building import INDEX_FOLDER
from .crop_paint import paint_over
from .export_folder import IMAGES, exports_of, read_marker, remove_export
from .export_pictures import frame_of_picture
from .forgetting_file import ForgettingFile
from .forgotten_log import Remainder, units_of_tracklets, without
from .labelling import Labelling
from .records import ADD_BOX, Decision
from .store import FILE_NAME, open_project

# Seconds before and after a tracklet in which the person may be there, not yet detected.
MARGIN = 1.0

# Of each frame that shows somebody, where: boxes x0, y0, x1, y1.
Places = dict[Frame, list[tuple[float, ...]]]


@dataclass
class Forgotten:
    """What :func:`forget_persons` removed."""

    tracklets: list[int]
    decisions: int = 0
    frames: int = 0  # that are not shown or exported any more
    detections: int = 0  # of the project's index
    # persons who had a part of one of the tracklets, which is gone with the rest of it
    also: list[int] = field(default_factory=list)
    exports: list[Path] = field(default_factory=list)  # removed, in the project's folder
    other_exports: list[Path] = field(default_factory=list)  # that show them, elsewhere: left
    # files whose content is not known, so that somebody may come back: path -> why
    problems: dict[str, str] = field(default_factory=dict)


def forget_persons(folder: str | Path, persons: Sequence[int]) -> Forgotten:
    """Remove persons with their tracklets, boxes, crops, features and what was decided of them.

    Their detections are removed from the project's index too, and its tombstones keep them out.
    All frames in which they are seen are withheld from page and export, since without a box they
    would be learned as background. Exports in the project's folder that show them are removed.

    A tracklet of which another person has a part is removed whole. Killed at any moment, the same
    call goes on from there: the persons can be named until all of it is done.

    Args:
        folder: of the project.
        persons: their numbers on the page.

    Raises:
        UserError: if there is no such person, or the project or an export of it is in use.
    """
    open_project(folder).close()  # raises if there is none
    with ExitStack() as stack:
        lock = WriterLock(Path(folder))
        stack.callback(lock.release)
        project = stack.enter_context(closing(ForgettingFile(Path(folder, FILE_NAME))))
        labelling = Labelling(project)
        known = {group.person_id: group.units for group in labelling.groups()}
        for person in persons:
            if person not in known:
                raise UserError(
                    f"--person {person}: project {folder} has no such person (any more); the page "
                    "shows the numbers of persons"
                )
        gone = {labelling.unit(u).tracklet.tracklet_id for p in persons for u in known[p]}
        done = Forgotten(sorted(gone))
        done.also = [
            person
            for person, units in sorted(known.items())
            if person not in persons
            and any(labelling.unit(u).tracklet.tracklet_id in gone for u in units)
        ]
        # an export that begins now waits for the end of the transaction, and finds nobody
        with project.transaction():
            _forget(project, labelling, done, stack)
        project.vacuum()
    return done


def _forget(
    project: ForgettingFile, labelling: Labelling, done: Forgotten, stack: ExitStack
) -> None:
    log = project.decisions()
    units = units_of_tracklets(log, done.tracklets)
    box_ids = {box.box_id for t in done.tracklets for box in project.boxes_of_tracklet(t)}
    places = _places(project, labelling, log, units, done.tracklets)
    withheld = project.withhold(done.tracklets, MARGIN, [frame.frame_id for frame in places])
    done.frames = len(withheld)
    _remove_exports(project, set(withheld), done, stack)
    _forget_in_index(project, places, done)
    removed, changed = without(log, units, box_ids)
    done.decisions = len(removed)
    remainder = Remainder(labelling, units)
    _paint_over(project, places, set(done.tracklets))
    project.remove_boxes(_uncertain(project, places))
    project.remove_tracklets(done.tracklets)
    project.rewrite_decisions(removed, changed)
    remainder.restore(project)


def _places(
    project: ForgettingFile,
    labelling: Labelling,
    log: Sequence[Decision],
    units: set[int],
    tracklets: Sequence[int],
) -> Places:
    """Where the tracklets' boxes are: as found, and where they were moved to or drawn."""
    found = [box for t in tracklets for box in project.boxes_of_tracklet(t)]
    drawn = [d.payload for d in log if d.kind == ADD_BOX and d.payload["unit"] in units]
    frame_ids = {box.frame_id for box in found} | {payload["frame_id"] for payload in drawn}
    found += [box.box for box in labelling.boxes(sorted(frame_ids)) if box.unit in units]
    boxes = [(box.frame_id, tuple(box.box)) for box in found]
    boxes += [(payload["frame_id"], tuple(payload["box"])) for payload in drawn]
    places: Places = {}
    frames = {frame.frame_id: frame for frame in project.frames(sorted(frame_ids))}
    for frame_id, box in sorted(set(boxes)):
        places.setdefault(frames[frame_id], []).append(box)
    return places


def _remove_exports(
    project: ForgettingFile, frame_ids: set[int], done: Forgotten, stack: ExitStack
) -> None:
    """Remove the exports that have one of the frames, or note those that are elsewhere."""
    own_folder = project.path.parent.absolute()
    own = project.project_id()
    folders = [f for f in exports_of(project) if read_marker(f).get("project") == own]
    for folder in folders:
        stack.callback(WriterLock(folder).release)  # nobody writes one at this moment
    for folder in folders:
        pictures = folder / IMAGES
        names = [path.name for path in pictures.iterdir()] if pictures.is_dir() else []
        if frame_ids.isdisjoint(map(frame_of_picture, names)):
            continue
        if own_folder in folder.parents:
            remove_export(folder)
            done.exports.append(folder)
        else:
            done.other_exports.append(folder)


def _forget_in_index(project: ForgettingFile, places: Places, done: Forgotten) -> None:
    try:
        index = open_index(str(project.path.parent / INDEX_FOLDER))
    except NoIndexError:
        return
    with index:
        sources = index.sources()
        targets = [
            (frame, Target(frame.path, frame.pts is not None, frame.pts, box, frame.checksum))
            for frame, boxes in places.items()
            for box in boxes
            if frame.path in sources
        ]
        made = make_tombstones([target for _, target in targets], sources)
        of_frame: dict[Frame, list[Tombstone]] = {}
        for (frame, _), tombstone in zip(targets, made.all):
            of_frame.setdefault(frame, []).append(tombstone)
        ids = [i for f, tombstones in of_frame.items() for i in _detections(index, f, tombstones)]
        done.detections = index.forget(ids, made.all)
        done.problems = {**made.changed, **made.unreadable}


def _detections(index: PersonIndex, frame: Frame, tombstones: Sequence[Tombstone]) -> list[int]:
    """Ids of the index's persons in a frame whom the tombstones keep out."""
    persons = [
        person
        for found in index.find_frames(frame.path, frame.pts)
        for person in index.persons(found.frame_id)
    ]
    boxes = np.array([person.box for person in persons]).reshape(-1, 4)
    gone = is_forgotten(tombstones, frame.pts, boxes, frame.checksum)
    return [person.person_id for person, is_gone in zip(persons, gone) if is_gone]


def _uncertain(project: ForgettingFile, places: Places) -> list[int]:
    """Boxes of no tracklet that may be of the persons: where these are."""
    ids = []
    for frame, shown in places.items():
        boxes = [b for b in project.boxes_of_frames([frame.frame_id]) if not b.tracklet_id]
        own = [Tombstone("", 0, 0, None, None, box, 0.0) for box in shown]
        gone = is_forgotten(own, None, np.array([b.box for b in boxes]).reshape(-1, 4))
        ids += [box.box_id for box, is_gone in zip(boxes, gone) if is_gone]
    return ids


def _paint_over(project: ForgettingFile, places: Places, gone: set[int]) -> None:
    """Paint over the persons in the crops of others, whose surroundings they are in."""
    by_id = {frame.frame_id: frame for frame in places}
    for view in project.views_in(by_id):
        if view.tracklet_id in gone:
            continue
        frame = by_id[view.frame_id]
        jpeg = project.crop(view.tracklet_id, view.number)
        painted = paint_over(jpeg, view.box, places[frame], (frame.width, frame.height))
        if painted is not None:
            project.set_crop(view, painted)
