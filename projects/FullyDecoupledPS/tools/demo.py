#!/usr/bin/env python
"""The whole job on a synthetic benchmark: train the detector, train re-id, search, score, report.

python demo.py

Each step is one of the project's own commands; what it prints goes to OUTPUT_DIR/<step>.log.
"""

import argparse
import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
from detectron2.modeling import build_model
from tabulate import tabulate

from benchmark.networks import benchmark_config, training_batch, training_step
from benchmark.timing import time_in_turns
from fully_decoupled_ps.errors import UserError
from fully_decoupled_ps.utils.commands import command_parser, in_one_line
from fully_decoupled_ps.utils.files import write_json
from make_report import parse_args as parse_report_args
from make_report import report

PROJECT = Path(__file__).resolve().parent.parent
TRAIN = [PROJECT / "train_net.py", "--config-file"]
CONFIG = PROJECT / "configs" / "synthetic" / "faster_rcnn_R18_lite.yaml"
TRAINING_DATASET, DATASET = "synthetic_train", "synthetic_test"
# What each step gets from the demo: one value for all of them would mix them up.
OWN_KEYS = {"OUTPUT_DIR", "SOLVER.STAGE", "MODEL.WEIGHTS"}
SECONDS_BETWEEN_LINES, CHARACTERS_OF_A_LINE = 10, 120
# The training steps' share of the time; the rest is drawing, scoring and starting.
SHARE_OF_STEPS = 0.9


class Steps:
    """Runs the commands one after the other, and shows now and then what each one has logged."""

    def __init__(self, output_dir: Path, dataset_dir: Path, total: int):
        self.output_dir = output_dir
        self.total = total
        self.number = 0
        self.environment = {
            **os.environ,
            "DETECTRON2_DATASETS": str(dataset_dir),
            "PYTHONUNBUFFERED": "1",
        }

    def say(self, text: str) -> None:
        print(f"[{self.number}/{self.total}] {text}", flush=True)

    def run(self, name: str, title: str, command: list) -> None:
        """
        Raises:
            UserError: if the command fails; the last lines of its log are shown first.
        """
        self.number += 1
        self.say(title)
        start = last = time.monotonic()
        log = self.output_dir / f"{name}.log"
        command = [sys.executable, *map(str, command)]
        with (
            open(log, "w") as f,
            subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                env=self.environment,
            ) as process,
        ):
            f.write(" ".join(command) + "\n")
            for line in process.stdout:
                f.write(line)
                f.flush()
                if time.monotonic() - last > SECONDS_BETWEEN_LINES:
                    self.say(f"  {line.rstrip()[:CHARACTERS_OF_A_LINE]}")
                    last = time.monotonic()
        if process.returncode:
            print("".join(log.read_text().splitlines(keepends=True)[-15:]), file=sys.stderr)
            raise UserError(f"step {name} failed with status {process.returncode}; see {log}")
        self.say(f"  done in {time.monotonic() - start:.0f} s")


@in_one_line
def main(arguments: list[str] | None = None) -> None:
    parser = command_parser(__doc__)
    parser.add_argument("--output-dir", type=Path, default=Path("output/demo"), metavar="DIR")
    parser.add_argument(
        "--config-file", type=Path, default=CONFIG, metavar="FILE",
        help=f"what is trained (default: {CONFIG.name})",
    )  # fmt: skip
    parser.add_argument(
        "opts", nargs=argparse.REMAINDER, help="KEY VALUE pairs for train_net.py, for both stages"
    )
    arguments = sys.argv[1:] if arguments is None else arguments
    args = parser.parse_args(arguments)
    # of the report, which says how to get its figures again
    command = shlex.join(["python", "tools/demo.py", *arguments]) if arguments else "make demo"
    run_demo(args.output_dir, args.config_file, args.opts, command)


def estimate_seconds(config_file: Path, opts: list) -> float:
    """About how long the demo will take on this machine, from a few training steps.

    Raises:
        UserError: as the config's loading.
    """
    seconds = 0.0
    for stage in ("detection", "reid"):
        cfg = benchmark_config(str(config_file), stage, opts)
        height = round(statistics.mean(cfg.INPUT.MIN_SIZE_TRAIN))
        batch = training_batch(cfg.SOLVER.IMS_PER_BATCH, (height, height * 16 // 9), persons=6)
        step = training_step(cfg, build_model(cfg), batch)
        fastest = min(time_in_turns({"step": step}, 4, torch.device("cpu"))["step"])
        seconds += cfg.SOLVER.MAX_ITER * fastest
    return seconds / SHARE_OF_STEPS


def check(config_file: Path, opts: list) -> None:
    """
    Raises:
        UserError: if the config is not of the data that the demo draws, or a key is the demo's own.
    """
    taken = [key for key in opts[::2] if key in OWN_KEYS]
    if taken:
        raise UserError(
            f"{taken[0]} is for the demo to set, which trains two stages, one from the other; "
            "leave it out (--output-dir says where everything goes)"
        )
    datasets = benchmark_config(str(config_file), "detection", opts).DATASETS
    for split, drawn in (("TRAIN", TRAINING_DATASET), ("TEST", DATASET)):
        if tuple(datasets[split]) != (drawn,):
            raise UserError(
                f"{config_file}: DATASETS.{split} is {tuple(datasets[split])}; the demo draws "
                f"{drawn} alone, so name a config of configs/synthetic"
            )


def run_demo(output_dir: Path, config_file: Path, opts: list, command: str) -> None:
    """Every step, then the report, ``results.json`` and the table.

    Raises:
        UserError: as the config's loading, or if it is of other data; or a step fails.
    """
    start = time.monotonic()
    check(config_file, opts)
    output_dir.mkdir(parents=True, exist_ok=True)
    datasets = output_dir / "datasets"
    minutes = max(round(estimate_seconds(config_file, opts) / 60), 1)
    print(f"This takes about {minutes} minutes here", flush=True)
    steps = Steps(output_dir, datasets, total=6)
    tools = PROJECT / "tools"
    config = [config_file, "OUTPUT_DIR", output_dir, *opts]
    floor_dir = output_dir / "floor"

    steps.run(
        "dataset",
        f"Drawing the synthetic benchmark in {datasets / 'synthetic'}",
        [tools / "make_synthetic_dataset.py", "--output", datasets / "synthetic"],
    )
    steps.run(
        "floor",
        "Scoring the floor: colour histograms of the ground-truth boxes",
        [tools / "evaluate_color_histogram.py", "--dataset", DATASET, "--output-dir", floor_dir],
    )
    steps.run("detection", "Training the detector, from scratch", [*TRAIN, *config])
    steps.run(
        "untrained",
        "Scoring the search before re-id training: an untrained side-net",
        [tools / "evaluate_untrained.py", "--config-file", *config],
    )
    steps.run(
        "reid",
        "Training the re-id side-net beside the frozen detector, then searching",
        [*TRAIN, *config, "SOLVER.STAGE", "reid"],
    )
    steps.number += 1
    steps.say("Drawing the report")
    inference = output_dir / "reid" / "inference" / DATASET
    seconds = time.monotonic() - start
    title = "Person search on a synthetic benchmark"
    page = report(
        parse_report_args(["--run-dir", str(output_dir), "--dataset", DATASET, "--title", title]),
        facts={
            "Command": command,
            "Machine": f"{os.cpu_count()} CPU cores, {platform.machine()}",
            "Versions": f"Python {platform.python_version()}, PyTorch {torch.__version__}",
            "Time": f"{seconds / 60:.1f} minutes",
        },
    )
    results = collect_results(inference, floor_dir, seconds)
    write_json(output_dir / "results.json", results)
    print("\n" + format_results(results))
    print(f"\nReport: {page}")


def collect_results(inference: Path, floor_dir: Path, seconds: float) -> dict:
    """The trained network's metrics, and the search metrics of what it is compared with."""

    def metrics(folder: Path) -> dict:
        return json.loads((folder / "metrics.json").read_text())

    others = {"floor": floor_dir, "untrained": inference / "untrained"}
    searches = {name: metrics(folder)["search"] for name, folder in others.items()}
    return {**metrics(inference), **searches, "seconds": seconds}


def format_results(results: dict) -> str:
    """The table that ends the demo, in percent."""
    detection = results["detection"]
    rows = [
        ("full gallery", "search"),
        ("full gallery, CWS", "search_cws"),
        ("multi-view gallery", "search_multi_view"),
        ("before re-id training", "untrained"),
        ("floor: colour histograms", "floor"),
    ]
    names = ("mAP", "top1", "top5", "top10")
    table = [[title, *(results[key][n] for n in names)] for title, key in rows if key in results]
    return f"detection: AP {detection['AP']:.1f}, recall {detection['recall']:.1f}\n" + tabulate(
        table, headers=["search", *names], floatfmt=".1f", missingval="n/a"
    )


if __name__ == "__main__":
    sys.exit(main())
