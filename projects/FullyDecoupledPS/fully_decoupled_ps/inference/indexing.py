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
from .frames import count_samples
from .network import Detections, SearchNetwork
from .stopping import StopRequest
from .stream import End, Job, Sample, stream

logger = logging.getLogger(__name__)

# Seconds of work that a kill can cost.
COMMIT_SECONDS = 2.0


@dataclass(frozen=True)
class IndexingOptions:
    """How files are read."""

    score_thresh: float  # detections of a lower score are left out
    fps: float = 1.0  # frames a second that are taken of a video
    batch_size: int = 4
    num_workers: int = 2
    shard: int = 1  # of index.info.num_shards, from 1
    prune: bool = False  # remove files that are gone from the folders named


@dataclass
class IndexingReport:
    """What came of it."""

    added: int = 0  # files
    unchanged: int = 0
    pruned: int = 0
    frames: int = 0
    persons: int = 0
    gone: list[str] = field(default_factory=list)  # in the index, but not on the disk any more
    unreadable: dict[str, str] = field(default_factory=dict)  # path -> why
    notes: dict[str, list[str]] = field(default_factory=dict)  # what pictures have -> their paths
    stopped_by: int = 0  # signal number, 0 if the run went to its end


@dataclass
class _Plan:
    """What is to be done for which file."""

    jobs: list[Job]
    sources: dict[str, Source]
    updates: list[Source]
    gone: list[str]


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
            there any more are reported, and removed with ``options.prune``.
        reader: camera and time of a file.
        options: see there.

    Raises:
        UserError: for two writers, a full disk, a file that a pattern of ``reader`` does not fit.
    """
    shards = index.info.num_shards
    mine = [f for f in files if shard_of(f.path, shards) == options.shard]
    sources = {f.path: _source(f, reader, options) for f in mine}
    with index.writer(options.shard) as writer:
        plan = _make_plan(mine, sources, writer.states(), folders)
        report = IndexingReport(unchanged=len(mine) - len(plan.jobs), gone=plan.gone)
        if options.prune and plan.gone:
            writer.remove(plan.gone)
            report.pruned, report.gone = len(plan.gone), []
        for source in plan.updates:
            writer.update(source)
        writer.commit()
        with StopRequest() as stop:
            _run(writer, network, plan, options, report, stop)
            report.stopped_by = stop.signal_number
        if not report.stopped_by:
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
    folders: Sequence[str],
) -> _Plan:
    plan = _Plan(jobs=[], sources=sources, updates=[], gone=[])
    for file in files:
        source, state = sources[file.path], states.get(file.path)
        if state is None or not state.source.same_content(source):
            plan.jobs.append(Job(file))
        elif not state.is_done:
            plan.jobs.append(Job(file, after=state.last_number))
        elif state.source != source:
            plan.updates.append(source)
    roots = tuple(os.path.join(os.path.abspath(folder), "") for folder in folders)
    plan.gone = sorted(
        path for path in states if path.startswith(roots) and not os.path.exists(path)
    )
    return plan


def _run(writer: IndexWriter, network, plan: _Plan, options, report, stop: StopRequest) -> None:
    """Read, detect, add; a commit every few seconds."""
    if not plan.jobs:
        return
    total = sum(
        count_samples(j.file.path, options.fps) if j.file.is_video else 1 for j in plan.jobs
    )
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
                        writer.begin(plan.sources[item.path])
                    frame = _frame(item, next(found), options.score_thresh)
                    writer.add(item.path, frame)
                    report.frames += 1
                    report.persons += len(frame.scores)
                    progress.update()
                else:
                    _end_file(item, writer, plan, begun, report)
            if stop or time.monotonic() - committed > COMMIT_SECONDS:
                writer.commit()
                committed = time.monotonic()
            if stop:
                return
    writer.commit()


def _frame(sample: Sample, found: Detections, score_thresh: float) -> NewFrame:
    keep = found.scores >= score_thresh
    return NewFrame(
        number=sample.number,
        offset=sample.offset,
        width=sample.inputs["width"],
        height=sample.inputs["height"],
        boxes=found.boxes[keep],
        scores=found.scores[keep],
        features=found.features[keep].astype(np.float16),
    )


def _end_file(end: End, writer: IndexWriter, plan: _Plan, begun: set, report) -> None:
    if end.note:
        report.notes.setdefault(end.note, []).append(end.path)
    if end.error:
        # what was read before is kept, as is what the index had of the file if nothing was
        report.unreadable[end.path] = end.error
        return
    if end.path not in begun:  # only its end was missing
        writer.begin(plan.sources[end.path])
    writer.finish(end.path)
    report.added += 1


def parse_shard(text: str) -> tuple[int, int]:
    """``i/n`` -> (i, n), with i from 1.

    Raises:
        UserError: if it is not of that form.
    """
    try:
        shard, count = (int(part) for part in text.split("/"))
        if 1 <= shard <= count:
            return shard, count
    except ValueError:
        pass
    raise UserError(f"--shard {text}: write i/n with i from 1 to n, such as 1/4")
