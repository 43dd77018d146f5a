"""Making and extending a project: index, track, compare; each step goes on where it stopped."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from ..errors import UserError
from ..index import IndexInfo, PersonIndex, open_index
from ..index.disk import explain_disk_errors
from ..index.locking import WriterLock
from ..media.files import PathReader
from ..network import Predictor
from ..search.indexing import IndexingReport, index_files
from ..search.plan import IndexingOptions
from .growing_file import GrowingFile
from .known import Comparison, compare
from .recordings import FoundRecording
from .records import ProjectInfo
from .relations import update_relations
from .store import FILE_NAME
from .tracklets import PASSES, make_recording

logger = logging.getLogger(__name__)

INDEX_FOLDER = "index"
# Detections of this score or more are kept: the low ones continue tracks.
LOW_SCORE = 0.1
# What a project's folder may hold when its file is made; "lock" of a run that was killed.
OWN_FILES = {"lock", INDEX_FOLDER, "export"}


@dataclass
class BuildingReport(Comparison):
    """What :func:`add_recordings` did."""

    indexing: IndexingReport = field(kw_only=True)
    added: list[str] = field(default_factory=list)  # paths of recordings


@contextmanager
def locked_project(folder: str, fps: float | None = None) -> Iterator[GrowingFile]:
    """The project in a folder, to which no other process adds meanwhile; made if there is none.

    Args:
        fps: what the user says; None: nothing.

    Raises:
        UserError: if the folder holds something else, another process writes to the project, or
            it was made with other frames per second.
    """
    path = Path(folder)
    with explain_disk_errors(path):
        path.mkdir(parents=True, exist_ok=True)
        names = sorted(p.name for p in path.iterdir())
        others = [n for n in names if n not in OWN_FILES and not n.startswith(FILE_NAME)]
        if others and FILE_NAME not in names:
            raise UserError(
                f"--project {folder} holds other files ({others[0]} for one); name an empty or a "
                "new folder"
            )
        lock = WriterLock(path)
    try:
        project = GrowingFile(path / FILE_NAME)
        try:
            info = project.info()
            if info is not None and fps not in (None, info.fps):
                raise UserError(
                    f"--fps {fps:g}: project {folder} has {info.fps:g} frames a second; leave the "
                    "option out, or make another project"
                )
            yield project
        finally:
            project.close()
    finally:
        lock.release()


def add_recordings(
    project: GrowingFile,
    recordings: Sequence[FoundRecording],
    network: Predictor,
    reader: PathReader,
    fps: float,
    *,
    batch_size: int = 4,
    num_workers: int = 2,
) -> BuildingReport:
    """Detect and track everybody in the recordings that the project does not have yet.

    Args:
        project: of :func:`locked_project`.
        recordings: those that the command line names.
        network: the one that the project was made with.
        reader: gives a file's camera and time.
        fps: frames per second that are taken from a video, if the project is new.

    Raises:
        UserError: if the network is another one, or the disk is full; what was added stays.
    """
    info = project.info()
    if info is None:
        info = ProjectInfo(network.fingerprint, network.dim, network.location, network.weights, fps)
        project.set_info(info)
    check_network(project, info, network)
    options = IndexingOptions(LOW_SCORE, info.fps, batch_size, num_workers)
    files = [file for recording in recordings for file in recording.files]
    create = IndexInfo(
        *(info.fingerprint, info.dim, info.model, info.weights), precision=network.precision
    )
    location = str(project.path.parent / INDEX_FOLDER)
    with open_index(location, create=create) as index:
        done = index_files(index, network, files, [], reader, options)
        if done.stopped_by:
            return BuildingReport(indexing=done)
        report = BuildingReport(**vars(compare(project, index, recordings)), indexing=done)
        _track(project, index, network.score_thresh, report)
    update_relations(project)
    return report


def check_network(project: GrowingFile, info: ProjectInfo, network: Predictor) -> None:
    """Raise a UserError for another network than the project's."""
    if network.fingerprint != info.fingerprint:
        raise UserError(
            f"--model: its fingerprint is {network.fingerprint[:12]}, but project "
            f"{project.path.parent} was made with {info.fingerprint[:12]} (from {info.model}); "
            "features of two networks can't be compared: use that one, or make another project"
        )


def _track(
    project: GrowingFile, index: PersonIndex, score_thresh: float, report: BuildingReport
) -> None:
    olds = {recording.path: old for old, recording in report.again}
    todo = report.new + [recording for _, recording in report.again]
    total = PASSES * sum(len(index.find_frames(file.path)) for r in todo for file in r.files)
    with tqdm(total=total, unit="frame", desc="Tracking", disable=not total) as progress:
        for recording in todo:
            try:
                made = make_recording(recording, index, score_thresh, progress.update)
            except UserError as error:
                report.failed[recording.path] = str(error)
                continue
            if made is None:
                continue
            if recording.path in olds:
                project.replace_recording(olds[recording.path], made)
                report.updated[recording.path] = "it has changed, and was tracked again"
            else:
                project.add_recording(made)
                report.added.append(recording.path)
