"""A labelled project as a data set to train and to test on."""

import logging
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from tabulate import tabulate

from fully_decoupled_ps.dataset_tools.conversion.assemble import count_boxes
from fully_decoupled_ps.dataset_tools.conversion.json_file import ConvertedSet, write_sets
from fully_decoupled_ps.dataset_tools.conversion.split import QUERY_RULE, draw_queries

from ..errors import NoIndexError, UserError, translated
from ..index import open_index
from .building import INDEX_FOLDER
from .export_folder import ExportFolder, note_export
from .export_frames import Dicts, camera_ids, labelled_dicts, timed_frames, without_missing
from .export_ids import known_persons
from .export_pictures import write_pictures
from .export_sets import (
    OTHER_SET,
    cameras_of_persons,
    choose,
    drop_single_camera,
    renumber,
    split_in_time,
    unlabel_useless,
)
from .labelling import Labelling
from .store import ProjectFile, open_project

logger = logging.getLogger(__name__)

# Half for training, as many as the demo's benchmark has.
DEFAULT_FRAMES = 3000


class ExportOptions(NamedTuple):
    frames: int = DEFAULT_FRAMES  # at most, of both sets together
    test_share: float = 0.5  # of the frames and of the time, 0 up to below 1; 0: no test set
    seed: int = 0  # draws the queries


DEFAULTS = ExportOptions()


class Exported(NamedTuple):
    train_json: Path
    test_json: Path | None
    image_root: Path


def note_moved(project_folder: str | Path, folder: str | Path) -> None:
    """Say where an export will be moved to, so that forgetting a person looks there, too."""
    with closing(open_project(project_folder)) as project:
        note_export(project, Path(folder))


def export_project(
    project_folder: str | Path,
    folder: str | Path | None = None,
    options: ExportOptions = DEFAULTS,
) -> Exported:
    """What :func:`make_export` wrote."""
    return make_export(project_folder, folder, options)[0]


@translated()
def make_export(
    project_folder: str | Path,
    folder: str | Path | None = None,
    options: ExportOptions = DEFAULTS,
) -> tuple[Exported, bool]:
    """Write what is labelled so far, in the format of datasets/README.md.

    An earlier export of the project in the folder is replaced: its lists at once, its pictures
    where they differ. The same state of a project and the same options give the same files.

    Args:
        project_folder: of the project.
        folder: for the export; None: ``export`` in the project's.

    Returns:
        tuple: what was written, and whether all recordings could be read for it.

    Raises:
        UserError: if there is no project, too little is labelled, or the folder can't be written
            or holds something else.
    """
    folder = Path(project_folder, "export") if folder is None else Path(folder)
    with closing(open_project(project_folder)) as project, ExportFolder(folder, project) as target:
        labelling = Labelling(project)
        _tell_state(labelling)
        persons = known_persons(labelling)
        sets, is_whole = _choose_sets(labelling, persons, options)
        target.begin()
        is_whole &= _write_pictures(sets, target.images, _file_sizes(project))
        numbers, converted = _finish(sets, persons, options)
        cameras = {number: name for name, number in camera_ids(project).items()}
        target.write_marker({"options": options._asdict(), "cameras": cameras, "persons": numbers})
        write_sets(target.folder, converted, target.images)
    _tell(target, converted)
    test = target.folder / "test.json" if options.test_share else None
    return Exported(target.folder / "train.json", test, target.images), is_whole


def _choose_sets(
    labelling: Labelling, persons: list[int], options: ExportOptions
) -> tuple[list[Dicts], bool]:
    """Training and test frames with ids that are indices into ``persons``; whether of all files."""
    if not persons:
        raise UserError(
            f"--project {labelling.project.path.parent}: nobody is known yet, so that nothing can "
            "be learned from it; answer questions on the page first: person-search label --project "
            f"{labelling.project.path.parent}"
        )
    project = labelling.project
    frames, is_timed = timed_frames(project)
    ids = {person: i for i, person in enumerate(persons)}
    there = without_missing(frames)
    dicts = labelled_dicts(labelling, there, ids, camera_ids(project))
    for a in (a for d in dicts for a in d["annotations"]):
        a["known_as"] = a["person_id"]  # whatever becomes of it
    sets = split_in_time(dicts, is_timed, options.test_share)
    for_test = round(options.frames * options.test_share)
    chosen = [choose(own, n) for own, n in zip(sets, (options.frames - for_test, for_test))]
    return chosen, len(there) == len(frames)


def _file_sizes(project: ProjectFile) -> dict[str, int]:
    """Bytes that the files had when they were read, where the project's index knows it."""
    try:
        with open_index(str(project.path.parent / INDEX_FOLDER)) as index:
            return {source.path: source.size for source in index.sources().values()}
    except NoIndexError:
        return {}


def _write_pictures(sets: list[Dicts], folder: Path, sizes: Mapping[str, int]) -> bool:
    """Frames without a picture are left out of the sets, and told; returns if all could be read."""
    names = {d["frame"]: d["file_name"] for own in sets for d in own}
    failed, copies = write_pictures(names, folder, sizes)
    left_out = failed | copies
    for own in sets:
        own[:] = [d for d in own if d["frame"] not in left_out]
        for d in own:
            d["file_name"] = str(folder / d["file_name"])
    for reason, count in Counter(left_out.values()).items():
        logger.warning("%d chosen frame(s) are left out: %s", count, reason)
    return not failed


def _finish(
    sets: list[Dicts], persons: list[int], options: ExportOptions
) -> tuple[dict[str, Any], list[ConvertedSet]]:
    """The numbers of the project's persons by set and id, and the sets, that for training last."""
    numbers: dict[str, dict[int, int]] = {}
    converted: list[ConvertedSet] = []
    for name, dicts in zip(("train", "test"), sets):
        is_test = name == "test"
        if is_test and not options.test_share:
            continue
        counts = _counts(dicts)
        unlabel_useless(dicts, is_test, counts)
        if not cameras_of_persons(dicts):
            raise UserError(
                f"nobody who is known has two boxes in the {name}ing frames; label more, or take "
                "more of them with --frames" + " (or --test-share 0)" * is_test
            )
        former = renumber(dicts, sum(map(len, numbers.values())))
        numbers[name] = {i: persons[index] for i, index in former.items()}
        info = _info(options, counts)
        drop_single_camera(dicts)
        queries = draw_queries(dicts, options.seed)[0] if is_test else None
        converted.insert(0, ConvertedSet(name, dicts, queries, info))
    return numbers, converted


def _counts(dicts: Dicts) -> Counter:
    """What is left out or changed so far, by reason."""
    counts: Counter = Counter()
    for d in dicts:
        counts.update(d["counts"])
        counts[OTHER_SET] += sum(a["person_id"] != a["known_as"] for a in d["annotations"])
    return counts


def _info(options: ExportOptions, counts: Mapping[str, int]) -> dict[str, Any]:
    rules = {**options._asdict(), "queries": QUERY_RULE}
    return {"source": "person-search label", "rules": rules, "left_out_or_changed": counts}


def _tell_state(labelling: Labelling) -> None:
    progress = labelling.progress()
    if progress.left:
        logger.warning(
            "Of the pairs of tracklets that are one person, about %.0f %% have been found (%.0f %% "
            "are aimed at, with about %d decisions more): somebody may have two ids, which teaches "
            "that they are two people",
            *(100 * progress.recall, 100 * progress.target, progress.left),
        )
    for line in labelling.contradictions():
        logger.warning("%s", line)


def _tell(target: ExportFolder, converted: list[ConvertedSet]) -> None:
    """What was written, and what is missing in it, in words."""
    for row in tabulate(count_boxes(converted[::-1]), headers="keys").splitlines():
        logger.info("%s", row)
    for one in converted[::-1]:
        for reason, count in sorted(one.info["left_out_or_changed"].items()):
            if count:
                logger.info("%s.json: %d %s", one.name, count, reason)
        for shortcoming in shortcomings(one):
            logger.warning("%s.json: %s", one.name, shortcoming)
    logger.info("Written to %s; pictures are in %s", target, target.images)


def shortcomings(one: ConvertedSet) -> list[str]:
    """What a set lacks for training or testing, a sentence each."""
    found = []
    if any("camera_id" not in d for d in one.dicts):
        found.append("all frames are of one camera, so that nothing says how it looks from another")
    else:
        cameras = cameras_of_persons(one.dicts)
        across = sum(len(seen) > 1 for seen in cameras.values())
        if not across:
            found.append(
                f"none of the {len(cameras)} persons is seen by two cameras; a search across "
                "cameras can't be learned or measured by it: label more across cameras"
            )
    return found
