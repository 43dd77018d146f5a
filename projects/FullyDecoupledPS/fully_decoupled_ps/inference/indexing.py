"""Filling an index: which files are to be read, and one pass of the network over each."""

import json
import logging
import os
import time
import zlib
from dataclasses import dataclass, field
from typing import Sequence

import numpy as np
from tqdm import tqdm

from ..errors import UserError
from ..index import IndexWriter, NewFrame, PersonIndex, Source, SourceState
from .files import MediaFile, PathReader
from .finding import is_litter
from .forgetting import ForgottenPersons, complete_tombstones
from .frames import count_samples
from .links import OtherNames
from .missing import MissingFiles, find_missing
from .network import Detections, SearchNetwork
from .stopping import StopRequest
from .stream import End, Job, Restart, Sample, stream

logger = logging.getLogger(__name__)

# Seconds of work that a kill can cost.
COMMIT_SECONDS = 2.0
# Each is a folder with files of its own, which every search opens.
MAX_SHARDS = 1000


@dataclass(frozen=True)
class IndexingOptions:
    """How files are read."""

    score_thresh: float  # detections of a lower score are left out
    fps: float = 1.0  # frames a second that are taken of a video
    batch_size: int = 4
    num_workers: int = 2
    shard: int = 1  # of index.info.num_shards, from 1
    prune: bool = False  # remove files that are gone for certain from the folders named


@dataclass
class IndexingReport:
    """What came of it."""

    added: int = 0  # files
    unchanged: int = 0
    pruned: int = 0
    frames: int = 0
    persons: int = 0
    left_out: int = 0  # persons who were forgotten
    gone: list[str] = field(default_factory=list)  # in the index, but not on the disk any more
    unreachable: dict[str, str] = field(default_factory=dict)  # in the index; path -> why
    unreadable: dict[str, str] = field(default_factory=dict)  # path -> why
    incomplete: dict[str, str] = field(default_factory=dict)  # videos that are read in part -> why
    notes: dict[str, list[str]] = field(default_factory=dict)  # what pictures have -> their paths
    other_names: set[str] = field(default_factory=set)  # links to files in by a better name
    superseded: list[str] = field(default_factory=list)  # such names, removed from the index
    litter: list[str] = field(default_factory=list)  # in the index, but passed over nowadays
    stopped_by: int = 0  # signal number, 0 if the run went to its end


@dataclass
class _Plan:
    """What is to be done for which file."""

    jobs: list[Job]
    sources: dict[str, Source]
    continued: set[str]  # videos whose frames in the index stay, and are added to
    updates: list[Source]
    missing: MissingFiles = field(default_factory=MissingFiles)
    litter: list[str] = field(default_factory=list)


def index_files(
    index: PersonIndex,
    network: SearchNetwork,
    files: list[MediaFile],
    folders: Sequence[str],
    reader: PathReader,
    options: IndexingOptions,
) -> IndexingReport:
    """Detect and embed the persons of all files that are new or changed.

    Args:
        index: made by, or for, this network.
        network: detects and embeds.
        files: of all shards; those of other shards are passed over.
        folders: what was named on the command line; files of the index below these that are not
            there any more are reported, and removed with ``options.prune`` if they are gone for
            certain (see :mod:`.missing`).
        reader: camera and time of a file.
        options: see there.

    Raises:
        UserError: for two writers, a full disk, a file that a pattern of ``reader`` does not fit.
    """
    shards = index.info.num_shards
    mine = [f for f in files if shard_of(f.path, shards) == options.shard]
    sources = {f.path: _source(f, reader, options) for f in mine}
    with index.writer(options.shard) as writer:
        complete_tombstones(index)
        states = writer.states()
        others = OtherNames(files, states, index)
        mine = [f for f in mine if f.path not in others.passed_over]
        plan = _make_plan(mine, sources, states, writer, folders)
        report = IndexingReport(
            unchanged=len(mine) - len(plan.jobs),
            gone=plan.missing.gone,
            unreachable=plan.missing.unreachable,
            other_names=others.passed_over,
            litter=plan.litter,
        )
        if options.prune:
            _prune(writer, report)
        for source in plan.updates:
            writer.update(source)
        writer.commit()
        with StopRequest() as stop:
            _run(writer, network, plan, options, report, stop, ForgottenPersons(index))
            report.stopped_by = stop.signal_number
        if not report.stopped_by:
            report.superseded = others.remove_superseded(index, writer, report.unreadable)
            writer.optimize()
    index.refresh()
    return report


def shard_of(path: str, num_shards: int) -> int:
    """The shard, from 1, that a file belongs to: the same in every process and run."""
    return zlib.crc32(os.fsencode(path)) % num_shards + 1


def _source(file: MediaFile, reader: PathReader, options: IndexingOptions) -> Source:
    recipe = {"score_thresh": options.score_thresh}
    if file.is_video:
        recipe["fps"] = options.fps
    return Source(
        path=file.path,
        size=file.size,
        mtime_ns=file.mtime_ns,
        recipe=json.dumps(recipe, sort_keys=True),
        camera=reader.camera(file),
        start=reader.time(file),
    )


def _make_plan(
    files: list[MediaFile],
    sources: dict[str, Source],
    states: dict[str, SourceState],
    writer: IndexWriter,
    folders: Sequence[str],
) -> _Plan:
    plan = _Plan(jobs=[], sources=sources, continued=set(), updates=[])
    for file in files:
        source, state = sources[file.path], states.get(file.path)
        if state is None or not (state.is_done and state.source.same_content(source)):
            job = Job(file, _known_frames(file, source, state, writer))
            plan.jobs.append(job)
            if job.known:
                plan.continued.add(file.path)
        elif state.source != source:
            plan.updates.append(source)
    plan.missing = find_missing(states.keys() - sources.keys(), folders)
    there = states.keys() - set(plan.missing.gone) - plan.missing.unreachable.keys()
    plan.litter = sorted(path for path in there if is_litter(path, folders))
    return plan


def _known_frames(
    file: MediaFile, source: Source, state: SourceState | None, writer: IndexWriter
) -> dict[int, int | None]:
    """Of a video that was read in part, or that may have grown since; the reader compares them."""
    if state is None or not file.is_video or state.source.recipe != source.recipe:
        return {}
    return writer.checksums(file.path)


def _prune(writer: IndexWriter, report: IndexingReport) -> None:
    removed = report.gone + report.litter
    if removed:
        writer.remove(removed)
    report.pruned, report.gone, report.litter = len(removed), [], []


def _run(
    writer: IndexWriter,
    network,
    plan: _Plan,
    options,
    report,
    stop: StopRequest,
    forgotten: ForgottenPersons,
) -> None:
    """Read, detect, add; a commit every few seconds."""
    if not plan.jobs:
        return
    total = sum(_count(job, options.fps) for job in plan.jobs)
    batches = stream(
        plan.jobs,
        network.mapper,
        fps=options.fps,
        batch_size=options.batch_size,
        num_workers=options.num_workers,
    )
    committed = time.monotonic()
    begun = set()
    with tqdm(total=total, unit="frame", desc="Indexing", smoothing=0.05) as progress:
        for batch in batches:
            samples = [item for item in batch if isinstance(item, Sample)]
            found = iter(network.run([sample.inputs for sample in samples]) if samples else [])
            for item in batch:
                if isinstance(item, Sample):
                    if item.path not in begun:
                        begun.add(item.path)
                        source = plan.sources[item.path]
                        writer.begin(source, item.path in plan.continued)
                        forgotten.begin(source)
                    frame, left_out = _frame(item, next(found), options.score_thresh, forgotten)
                    report.left_out += left_out
                    writer.add(item.path, frame)
                    report.frames += 1
                    report.persons += len(frame.scores)
                    progress.update()
                elif isinstance(item, Restart):
                    plan.continued.discard(item.path)
                else:
                    _end_file(item, writer, plan, begun, report)
            if stop or time.monotonic() - committed > COMMIT_SECONDS:
                writer.commit()
                committed = time.monotonic()
            if stop:
                return
    writer.commit()


def _count(job: Job, fps: float) -> int:
    """About how many frames there are to read."""
    try:
        count = count_samples(job.file.path, fps) if job.file.is_video else 1
    except Exception:  # whatever a decoder raises; it is told when the file is read
        count = 1
    return max(count - len(job.known), 0)


def _frame(
    sample: Sample, found: Detections, score_thresh: float, forgotten: ForgottenPersons
) -> tuple[NewFrame, int]:
    """The frame, and how many persons are left out because they were forgotten."""
    keep = found.scores >= score_thresh
    left_out = keep & forgotten.among(sample.path, sample.pts, found.boxes)
    keep &= ~left_out
    frame = NewFrame(
        pts=sample.pts,
        offset=sample.offset,
        width=sample.inputs["width"],
        height=sample.inputs["height"],
        boxes=found.boxes[keep],
        scores=found.scores[keep],
        features=found.features[keep].astype(np.float16),
        checksum=sample.checksum,
    )
    return frame, int(left_out.sum())


def _end_file(end: End, writer: IndexWriter, plan: _Plan, begun: set, report) -> None:
    if end.note:
        report.notes.setdefault(end.note, []).append(end.path)
    if end.error:
        # what was read before is kept, as is what the index had of the file if nothing was
        is_in_part = end.path in begun or end.path in plan.continued
        (report.incomplete if is_in_part else report.unreadable)[end.path] = end.error
        return
    if end.path not in begun:  # nothing new was in it
        writer.begin(plan.sources[end.path], end.path in plan.continued)
    writer.finish(end.path)
    report.added += 1


def parse_shard(text: str) -> tuple[int, int]:
    """``i/n`` -> (i, n), with i from 1.

    Raises:
        UserError: if it is not of that form.
    """
    try:
        shard, count = (int(part) for part in text.split("/"))
        if 1 <= shard <= count <= MAX_SHARDS:
            return shard, count
    except ValueError:
        pass
    raise UserError(
        f"--shard {text}: write i/n with i from 1 to n, and n at most {MAX_SHARDS}, such as 1/4"
    )
