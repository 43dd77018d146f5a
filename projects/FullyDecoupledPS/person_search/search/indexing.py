"""Filling an index: one pass of the network over each file that is new or changed."""

import logging
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from tqdm import tqdm

from fully_decoupled_ps.predictor import videos

from ..index import IndexWriter, PersonIndex
from ..media.batches import Sample
from ..media.files import MediaFile, PathReader
from ..media.links import OtherNames
from ..media.stream import Job, stream
from ..network import Predictor
from .beside import Beside
from .forgetting import ForgottenPersons, complete_tombstones
from .plan import IndexingOptions, Plan, make_plan, make_sources
from .recording import Recorder
from .stopping import StopRequest

logger = logging.getLogger(__name__)


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
    seconds: float = 0.0  # that it took to read, detect and write
    busy_seconds: float = 0.0  # of these, the network's
    waiting_seconds: float = 0.0  # and those in which it waited for frames
    writing_seconds: float = 0.0  # beside the network


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
    """Read in processes, detect here, and write in a thread, all at once."""
    if not plan.jobs:
        return
    recorder = Recorder(writer, plan, options, report, forgotten)
    total = sum(_count(job, options.fps) for job in plan.jobs)
    batches = stream(
        plan.jobs,
        network.mapper,
        fps=options.fps,
        batch_size=options.batch_size,
        num_workers=options.num_workers,
    )
    clock = _Clock()
    with (
        tqdm(total=total, unit="frame", desc="Indexing", smoothing=0.05) as progress,
        Beside(recorder.record) as beside,
    ):
        for batch in clock.waiting(batches):
            inputs = [item.inputs for item in batch if isinstance(item, Sample)]
            with clock.computing():
                found = network.run(inputs) if inputs else []
            beside.put(batch, found)
            progress.update(len(inputs))
            if stop:
                break
    writer.commit()
    report.seconds, report.busy_seconds = clock.elapsed(), clock.busy_seconds
    report.waiting_seconds = clock.waiting_seconds


class _Clock:
    """How long the network computes, and how long it waits for frames."""

    def __init__(self):
        self._start = time.monotonic()
        self.busy_seconds = self.waiting_seconds = 0.0

    def elapsed(self) -> float:
        return time.monotonic() - self._start

    @contextmanager
    def computing(self):
        start = time.monotonic()
        yield
        self.busy_seconds += time.monotonic() - start

    def waiting(self, batches: Iterable) -> Iterator:
        """What ``batches`` yields."""
        batches = iter(batches)
        while True:
            start = time.monotonic()
            batch = next(batches, None)
            self.waiting_seconds += time.monotonic() - start
            if batch is None:
                return
            yield batch


def _count(job: Job, fps: float) -> int:
    """About how many frames there are to read, by what the file says of itself."""
    try:
        count = videos.count_frames(job.file.path, fps) if job.file.is_video else 1
    except Exception:  # whatever a decoder raises; it is reported when the file is read
        count = 1
    return max(max(count, 1) - len(job.known), 0)
