"""Planning how to bring a shard of an index up to date with the files."""

import json
import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..errors import UserError
from ..index import IndexWriter, Source, SourceState
from ..media.files import MediaFile, PathReader
from ..media.finding import is_litter
from ..media.stream import Job
from .missing import MissingFiles, find_missing

# Each is a folder of its own, whose files every search opens.
MAX_SHARDS = 1000


@dataclass(frozen=True)
class IndexingOptions:
    """How files are read."""

    score_thresh: float  # detections of a lower score are left out
    fps: float = 1.0  # frames per second that are taken from a video
    batch_size: int = 4
    num_workers: int = 2
    shard: int = 1  # of index.info.num_shards, from 1
    prune: bool = False  # remove files that are gone for certain from the folders named


@dataclass
class Plan:
    """What is to be done for which file."""

    jobs: list[Job]
    sources: dict[str, Source]
    continued: set[str]  # videos whose frames in the index stay, and of which more follow
    updates: list[Source]
    missing: MissingFiles = field(default_factory=MissingFiles)
    litter: list[str] = field(default_factory=list)


def make_sources(
    files: Sequence[MediaFile], reader: PathReader, options: IndexingOptions, num_shards: int
) -> dict[str, Source]:
    """The sources of the shard's files, by path."""
    mine = [f for f in files if shard_of(f.path, num_shards) == options.shard]
    return {f.path: _source(f, reader, options) for f in mine}


def shard_of(path: str, num_shards: int) -> int:
    """The shard of a file, from 1: the same in every process and run."""
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


def make_plan(
    files: list[MediaFile],
    sources: dict[str, Source],
    writer: IndexWriter,
    folders: Sequence[str],
) -> Plan:
    """
    Args:
        files: of the writer's shard, without those that the index has by another name.
        sources: of :func:`make_sources`.
        writer: of the shard.
        folders: that were searched.
    """
    plan, states = Plan(jobs=[], sources=sources, continued=set(), updates=[]), writer.states()
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
    """Frames of a video that was read in part or may have grown; its reader compares them."""
    if state is None or not file.is_video or state.source.recipe != source.recipe:
        return {}
    return writer.checksums(file.path)


def parse_shard(text: str) -> tuple[int, int]:
    """``i/n`` -> (i, n), with i from 1; a UserError for anything else."""
    try:
        shard, count = (int(part) for part in text.split("/"))
        if 1 <= shard <= count <= MAX_SHARDS:
            return shard, count
    except ValueError:
        pass
    raise UserError(
        f"--shard {text}: write i/n with i from 1 to n, and n at most {MAX_SHARDS}, such as 1/4"
    )
