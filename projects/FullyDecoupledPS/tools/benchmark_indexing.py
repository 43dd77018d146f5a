#!/usr/bin/env python
"""Time `person-search index`: how busy its network is, on pictures and on a video, and its start.

    python benchmark_indexing.py                             an untrained network, made-up files
    python benchmark_indexing.py --model output/demo/reid --pictures FOLDER --video FILE
    python benchmark_indexing.py --only start --config-file synthetic/faster_rcnn_R18.yaml

Made-up files are of 1920 x 1080. The network is busy while it computes on a batch, from its arrival
on the device to boxes and features on the CPU; beside it, files are decoded in worker processes and
the index is written in a thread. "files alone" are the frames a second that the workers give when
nobody computes on them. An untrained network reports as many people as it is told.

The start is that of a new process that indexes one picture: seconds of the clock from its launch
until its imports are done, its network is loaded and the picture's persons are found; and of the
whole command, also seconds of the processor.
"""

import argparse
import logging
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from tabulate import tabulate

from benchmark.machine import processor_name
from benchmark.made_up_media import make_pictures, make_video
from benchmark.networks import report_people
from benchmark.untrained_run import write_untrained_run
from fully_decoupled_ps.utils.allocator import keep_large_buffers
from fully_decoupled_ps.utils.arguments import whole_number
from fully_decoupled_ps.utils.commands import command_parser, in_one_line
from fully_decoupled_ps.utils.files import write_json
from person_search.cli.telling import tell_unread
from person_search.errors import UserError
from person_search.index import IndexInfo, open_index
from person_search.media.batches import Sample
from person_search.media.files import PathReader
from person_search.media.finding import find_files
from person_search.media.stream import Job, stream
from person_search.network import load_network
from person_search.search.indexing import index_files
from person_search.search.plan import IndexingOptions

# Of a new process: the moments at which its parts are done, as time.time() has them.
START = """
import gc, sys, time
from person_search.cli.main import COLLECTED_AFTER
gc.set_threshold(COLLECTED_AFTER)
from person_search.search.indexing import index_files
from person_search.network import load_network
from fully_decoupled_ps.predictor import load_image
from fully_decoupled_ps.utils.allocator import keep_large_buffers
keep_large_buffers()
moments = [time.time()]
network = load_network(sys.argv[1], device=sys.argv[3], precision="auto")
moments.append(time.time())
network.detect(load_image(sys.argv[2]).pixels)
print(*moments, time.time())
"""


def measure_work(name: str, path: Path, network, args: argparse.Namespace) -> dict:
    """One run of the index on files that it has not seen.

    Raises:
        UserError: if there is no file of which a frame can be read.
    """
    found = find_files([str(path)])
    files = found.files
    options = IndexingOptions(
        score_thresh=network.score_thresh if args.model else 0.0,
        batch_size=args.batch_size,
        num_workers=args.workers,
    )
    with tempfile.TemporaryDirectory(prefix="benchmark_indexing_", dir=args.folder) as folder:
        info = IndexInfo(network.fingerprint, network.dim, network.location)
        with open_index(str(Path(folder, "index")), create=info) as index:
            report = index_files(index, network, files, [], PathReader(), options)
    anything = report.frames > 0
    tell_unread({**found.problems, **report.unreadable}, report.incomplete, anything)
    if not anything:
        raise UserError(f"{path}: there is no frame in it; name another")
    return {
        "files": name,
        "frames": report.frames,
        "persons": report.persons,
        "frames/s": report.frames / report.seconds,
        "busy": report.busy_seconds / report.seconds,
        "waiting": report.waiting_seconds / report.seconds,
        "writing, ms a frame": 1e3 * report.writing_seconds / report.frames,
        "network, ms a frame": 1e3 * report.busy_seconds / report.frames,
        "files alone, frames/s": _files_alone(files, network, options),
    }


def _files_alone(files, network, options: IndexingOptions) -> float:
    start = time.perf_counter()
    batches = stream(
        [Job(file) for file in files],
        network.mapper,
        fps=options.fps,
        batch_size=options.batch_size,
        num_workers=options.num_workers,
    )
    number = sum(isinstance(item, Sample) for batch in batches for item in batch)
    return number / (time.perf_counter() - start)


def measure_start(model: str, picture: Path, device: str) -> dict:
    """One start of each kind."""
    launched = time.time()
    run = [sys.executable, "-c", START, model, str(picture), device]
    done = subprocess.run(run, check=True, stdout=subprocess.PIPE, text=True)
    imports, loaded, found = (float(x) - launched for x in done.stdout.split()[-3:])
    with tempfile.TemporaryDirectory(prefix="benchmark_indexing_") as folder:
        before, start = _processor_seconds(), time.perf_counter()
        command = [sys.executable, "-m", "person_search.cli.main", "index", str(picture)]
        command += ["--model", model, "--index", str(Path(folder, "index")), "--device", device]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
        whole, processor = time.perf_counter() - start, _processor_seconds() - before
    return {
        "imports, s": imports,
        "network loaded, s": loaded,
        "first frame, s": found,
        "whole command, s": whole,
        "of the processor, s": processor,
    }


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def parse_args() -> argparse.Namespace:
    parser = command_parser(__doc__)
    add, positive = parser.add_argument, whole_number(1)
    add("--model", help="as person-search takes it (default: untrained, of --config-file)")
    add("--config-file", default="prw/faster_rcnn_R50.yaml", metavar="F")
    add("--opts", nargs="+", default=[], metavar="KEY VALUE", help="of the config file")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    add("--only", choices=("work", "start"))
    add("--pictures", type=Path, metavar="FOLDER", help="instead of made-up ones")
    add("--video", type=Path, metavar="FILE", help="instead of a made-up one")
    add("--frames", type=positive, default=40, help="pictures, and seconds of video, made up")
    add("--detections", type=positive, default=10, help="people in a frame, of no --model")
    add("--batch-size", type=positive, default=4)
    add("--workers", type=whole_number(0), default=2)
    add("--threads", type=positive, default=torch.get_num_threads())
    add("--rounds", type=positive, default=3, help="of the start, of which the median is given")
    add("--folder", type=Path, help="where files are made, and removed (default: the system's)")
    add("--output", type=Path, help="write the figures there as JSON")
    return parser.parse_args()


def run(args: argparse.Namespace, folder: Path) -> dict:
    model = args.model or str(write_untrained_run(args.config_file, folder / "run", args.opts))
    result = {"processor": processor_name(), "threads": args.threads, "work": [], "start": []}
    if args.only != "start":
        # as person-search index
        network = load_network(model, device=args.device, precision="auto")
        if not args.model:
            report_people(network.model, args.detections)
        network.detect(torch.zeros(1080, 1920, 3, dtype=torch.uint8).numpy())  # the first is slower
        pictures = args.pictures or make_pictures(folder / "pictures", args.frames)
        result["work"].append(measure_work("pictures", pictures, network, args))
        video = args.video or make_video(folder / "video.mp4", args.frames)
        result["work"].append(measure_work("video", video, network, args))
    if args.only != "work":
        picture = make_pictures(folder / "one", 1) / "00000.jpg"
        starts = [measure_start(model, picture, args.device) for _ in range(args.rounds)]
        result["start"] = [sorted(starts, key=lambda x: x["whole command, s"])[len(starts) // 2]]
    return result


@in_one_line
def main() -> None:
    args = parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    keep_large_buffers()
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory(prefix="benchmark_indexing_", dir=args.folder) as folder:
        result = run(args, Path(folder))
    for rows in (result["work"], result["start"]):
        if rows:
            print(tabulate(rows, "keys", tablefmt="pipe", floatfmt=".3g"), end="\n\n")
    if args.output:
        write_json(args.output, result)


if __name__ == "__main__":
    sys.exit(main())
