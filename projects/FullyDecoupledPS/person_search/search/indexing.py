"""Filling an index: one pass of the network over each file that is new or changed."""

import logging
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from tqdm import tqdm

from fully_decoupled_ps.predictor import videos

from ..index import IndexWriter, NewFrame, PersonIndex
from ..media.files import MediaFile, PathReader
from ..media.links import OtherNames
from ..media.stream import End, Job, Restart, Sample, stream
from ..network import PersonDetections, Predictor
from .forgetting import ForgottenPersons, complete_tombstones
from .plan import IndexingOptions, Plan, make_plan, make_sources
from .stopping import StopRequest

logger = logging.getLogger(__name__)

# Seconds between commits: what a kill can cost.
COMMIT_SECONDS = 2.0


@dataclass
class IndexingReport:
    """What :func:`index_files` did."""

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
    # numbers of videos whose start no option gave, by what it was taken from
    starts: Counter[str] = field(default_factory=Counter)
    notes: dict[str, list[str]] = field(default_factory=dict)  # note on files -> their paths
    other_names: set[str] = field(default_factory=set)  # links to files with a better name
    superseded: list[str] = field(default_factory=list)  # such names, removed from the index
    litter: list[str] = field(default_factory=list)  # in the index, but passed over now
    stopped_by: int = 0  # signal number, 0 if the run went to its end


def index_files(
    index: PersonIndex,
    network: Predictor,
    files: list[MediaFile],
    folders: Sequence[str],
    reader: PathReader,
    options: IndexingOptions,
) -> IndexingReport:
    """Detect and embed the persons of all files that are new or changed.

    Args:
        index: made for this network.
        network: detects and embeds.
        files: of all shards; those of other shards are passed over.
        folders: named on the command line; missing files of the index below these are reported,
            and removed with ``options.prune`` if they are gone (see :mod:`.missing`).
        reader: gives a file's camera and time.
        options: see there.

    Raises:
        UserError: if another process writes to the shard, the disk is full, or a pattern of
            ``reader`` does not match a file.
    """
    sources = make_sources(files, reader, options, index.info.num_shards)
    with index.writer(options.shard) as writer:
        complete_tombstones(index)
        others = OtherNames(files, writer.states(), index)
        mine = [f for f in files if f.path in sources and f.path not in others.passed_over]
        plan = make_plan(mine, sources, writer, folders)
        report = IndexingReport(
            unchanged=len(mine) - len(plan.jobs),
            gone=plan.missing.gone,
            unreachable=plan.missing.unreachable,
            starts=Counter(reader.assumed[f.path][1] for f in mine if f.path in reader.assumed),
            other_names=others.passed_over,
            litter=plan.litter,
        )
        if options.prune:
            removed = report.gone + report.litter
            writer.remove(removed)
            report.pruned, report.gone, report.litter = len(removed), [], []
        for source in plan.updates:
            writer.update(source)
        writer.commit()
        with StopRequest() as stop:
            _run(writer, network, plan, options, report, stop, ForgottenPersons(index))
            report.stopped_by = stop.signal_number
        if not report.stopped_by:
            report.superseded = others.remove_superseded(
                index, writer, {**report.unreadable, **report.incomplete}
            )
            writer.optimize()
    index.refresh()
    return report


def _run(
    writer: IndexWriter,
    network,
    plan: Plan,
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
                        is_continued = item.path in plan.continued
                        writer.begin(source, is_continued)
                        forgotten.begin(source, is_continued)
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
    """About how many frames there are to read, by what the file says of itself."""
    try:
        count = videos.count_frames(job.file.path, fps) if job.file.is_video else 1
    except Exception:  # whatever a decoder raises; it is reported when the file is read
        count = 1
    return max(max(count, 1) - len(job.known), 0)


def _frame(
    sample: Sample, found: PersonDetections, score_thresh: float, forgotten: ForgottenPersons
) -> tuple[NewFrame, int]:
    """The frame, and how many persons are left out because they were forgotten."""
    keep = found.scores >= score_thresh
    left_out = keep & forgotten.among(sample.path, sample.pts, found.boxes, sample.checksum)
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


def _end_file(end: End, writer: IndexWriter, plan: Plan, begun: set, report) -> None:
    if end.note:
        report.notes.setdefault(end.note, []).append(end.path)
    if end.error:
        # frames that were read stay; if none was, so does what the index had of the file
        is_in_part = end.path in begun or end.path in plan.continued
        (report.incomplete if is_in_part else report.unreadable)[end.path] = end.error
        return
    if end.path not in begun:  # it had no new frame
        writer.begin(plan.sources[end.path], end.path in plan.continued)
    writer.finish(end.path)
    report.added += 1
