#!/usr/bin/env python
"""Train the paper's variants on the synthetic benchmark with several seeds, and compare them.

    python ablation.py                                   all of it: hours on a CPU
    python ablation.py --detectors fcos --seeds 1 2 3    a part of it

Coupled, joint, hybrid and task-incremental training, and the last without side-fusion and without
SnA; and the one-stage training of the paper's successor, detached. Every network gets the same
number of iterations: a detector that is trained first and a re-id net that is trained then take as
many each as two nets that are trained at once. Runs that are done are not repeated, so an
interrupted command goes on where it was. Into the output folder it writes results.json, ablation.md
and ablation.png.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import NamedTuple

import torch
from tabulate import tabulate
from tqdm import tqdm

from fully_decoupled_ps.dataset_tools.synthetic import SyntheticSpec, make_synthetic_dataset
from fully_decoupled_ps.errors import UserError
from fully_decoupled_ps.evaluation.plots import plot_spreads
from fully_decoupled_ps.utils.arguments import MAX_SEED, whole_number
from fully_decoupled_ps.utils.commands import command_parser, in_one_line
from fully_decoupled_ps.utils.files import replace_file, write_json

PROJECT = Path(__file__).resolve().parent.parent
CONFIGS = PROJECT / "configs" / "synthetic"
DETECTORS = {"faster_rcnn": "Faster R-CNN", "fcos": "FCOS"}
# A third of the demo's frames at half its pixels: there are many runs.
DATASET = SyntheticSpec(train_frames=540, train_ids=120)
SIZE = (
    *("INPUT.MIN_SIZE_TRAIN", "(256, 270)", "INPUT.MIN_SIZE_TEST", 270),
    *("MODEL.ANCHOR_GENERATOR.SIZES", "[[44, 62, 88]]"),
)
METRICS = {
    "detection AP": ("detection", "AP"),
    "mAP": ("search", "mAP"),
    "top-1": ("search", "top1"),
}


class Variant(NamedTuple):
    """A row of the table: a stage of ``train_net.py``, and what else it is told."""

    title: str
    stage: str
    opts: tuple = ()
    from_detector: bool = True  # whether it starts from the trained detector


VARIANTS = {
    "coupled": Variant(
        "coupled", "joint", ("MODEL.META_ARCHITECTURE", "CoupledPersonSearch"), False
    ),
    "joint": Variant("joint", "joint", (), False),
    "detached": Variant("detached", "detached", (), False),
    "hybrid": Variant("hybrid", "hybrid"),
    "incremental": Variant("task-incremental", "reid"),
    "no_fusion": Variant("no side-fusion", "reid", ("MODEL.REID.FUSION.NAME", "NoFusion")),
    "no_sna": Variant("no SnA", "reid", ("MODEL.REID.BOX_NOISE.NUM_COPIES", 0)),
}
BASE = "incremental"  # what the others are compared with


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    positive = whole_number(1)
    parser.add_argument("--output-dir", type=Path, default=Path("output/ablation"), metavar="DIR")
    parser.add_argument("--detectors", nargs="+", choices=DETECTORS, default=list(DETECTORS))
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--seeds", nargs="+", type=whole_number(0, MAX_SEED), default=[1, 2, 3])
    parser.add_argument(
        "--iterations", type=positive, default=600, help="of each net (default: 600)"
    )
    parser.add_argument("--batch", type=positive, default=4, help="frames (default: 4)")
    parser.add_argument("--jobs", type=positive, default=2, help="runs at a time (default: 2)")
    return parser.parse_args(arguments)


class Runs:
    """Runs ``train_net.py``, several at a time, and remembers what is done."""

    def __init__(self, args: argparse.Namespace, bar: tqdm):
        self.args, self.bar = args, bar
        self.environment = {
            **os.environ,
            "DETECTRON2_DATASETS": str(args.output_dir / "datasets"),
            "OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // args.jobs)),
        }

    def train(self, detector: str, seed: int, name: str, variant: Variant) -> dict:
        """Train one network and return its metrics and its minutes.

        Raises:
            UserError: if the command fails.
        """
        folder = self.args.output_dir / detector / f"seed{seed}"
        log = folder / f"{name}.log"
        command = self._command(detector, seed, folder, name, variant)
        record = folder / f"{name}.json"
        if record.exists():
            found = json.loads(record.read_text())
            if found["command"] == command:
                return self._done(found, "done before")
        folder.mkdir(parents=True, exist_ok=True)
        start = time.monotonic()
        with open(log, "w") as f:
            status = subprocess.run(
                [sys.executable, *command], stdout=f, stderr=subprocess.STDOUT, env=self.environment
            ).returncode
        if status:
            raise UserError(f"{detector}, seed {seed}, {name}: status {status}; see {log}")
        metrics = folder / name / variant.stage / "inference" / "synthetic_test" / "metrics.json"
        found = {
            "command": command,
            "detector": detector,
            "seed": seed,
            "variant": name,
            "minutes": (time.monotonic() - start) / 60,
            "metrics": json.loads(metrics.read_text()),
        }
        write_json(record, found)
        return self._done(found, f"{found['minutes']:.1f} min")

    def _command(self, detector, seed, folder, name, variant) -> list[str]:
        iterations = self.args.iterations
        opts = [
            *("SEED", seed, "SOLVER.STAGE", variant.stage, "OUTPUT_DIR", folder / name),
            *("SOLVER.MAX_ITER", iterations, "SOLVER.IMS_PER_BATCH", self.args.batch),
            *("SOLVER.CHECKPOINT_PERIOD", iterations, *SIZE, *variant.opts),
        ]
        if variant.from_detector:
            opts += ["MODEL.WEIGHTS", folder / "detector" / "detection" / "model_final.pth"]
        config = CONFIGS / f"{detector}_R18.yaml"
        return [str(x) for x in (PROJECT / "train_net.py", "--config-file", config, *opts)]

    def _done(self, found: dict, text: str) -> dict:
        self.bar.write(f"{found['detector']}, seed {found['seed']}, {found['variant']}: {text}")
        self.bar.update()
        return found


def run_all(args: argparse.Namespace) -> list[dict]:
    """First every detector, then what starts from it or from nothing."""
    make_synthetic_dataset(args.output_dir / "datasets" / "synthetic", DATASET, workers=2)
    pairs = [(detector, seed) for seed in args.seeds for detector in args.detectors]
    variants = [(name, VARIANTS[name]) for name in args.variants]
    total = len(pairs) * (1 + len(variants))
    detector_alone = Variant("detector alone", "detection", (), False)
    with (
        tqdm(total=total, unit="run", file=sys.stdout) as bar,
        ThreadPoolExecutor(args.jobs) as pool,
    ):
        runs = Runs(args, bar)
        first = {p: pool.submit(runs.train, *p, "detector", detector_alone) for p in pairs}
        found = [future.result() for future in first.values()]
        rest = [pool.submit(runs.train, *pair, *item) for pair in pairs for item in variants]
        return found + [future.result() for future in rest]


def mean_and_spread(values: list[float]) -> tuple[float, float]:
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else 0.0


def summarise(results: list[dict]) -> list[dict]:
    """Mean and standard deviation over the seeds: a dict for each detector and variant."""
    by_run = {(r["detector"], r["variant"], r["seed"]): r["metrics"] for r in results}
    rows = []
    for detector, name in product(DETECTORS, VARIANTS):
        seeds = [seed for d, n, seed in by_run if (d, n) == (detector, name)]
        if not seeds:
            continue
        title = VARIANTS[name].title
        row = {"detector": DETECTORS[detector], "training": title, "seeds": len(seeds)}
        for metric, (task, key) in METRICS.items():
            values = {seed: by_run[detector, name, seed][task][key] for seed in seeds}
            row[metric] = mean_and_spread(list(values.values()))
            pairs = [
                value - by_run[detector, BASE, seed][task][key]
                for seed, value in values.items()
                if name != BASE and (detector, BASE, seed) in by_run
            ]
            if pairs:
                row[f"{metric}, difference"] = mean_and_spread(pairs)
        rows.append(row)
    return rows


def format_table(rows: list[dict], suffix: str = "", form: str = "{:.1f} ± {:.1f}") -> str:
    """Of the metrics, or with a suffix of what is beside them."""
    titles = {f"{metric}{suffix}": metric for metric in METRICS}
    body = [
        [row["detector"], row["training"], row["seeds"], *(form.format(*row[t]) for t in titles)]
        for row in rows
        if all(t in row for t in titles)
    ]
    headers = ["detector", "training", "seeds", *titles.values()]
    return tabulate(body, headers=headers, tablefmt="github")


def write_summary(args: argparse.Namespace, results: list[dict]) -> str:
    """Write results.json, ablation.md and ablation.png; returns the table."""
    rows = summarise(results)
    table = format_table(rows)
    facts = {
        "command": " ".join(["python", "tools/ablation.py", *sys.argv[1:]]),
        "machine": f"{os.cpu_count()} CPU cores, {platform.machine()}",
        "versions": f"Python {platform.python_version()}, PyTorch {torch.__version__}",
        "minutes of all runs together": round(sum(r["minutes"] for r in results), 1),
        "iterations of each net": args.iterations,
        "frames a batch": args.batch,
    }
    lines = [table, "", "Mean and standard deviation over the seeds, in percent.", ""]
    differences = format_table(rows, ", difference", "{:+.1f} ± {:.1f}")
    lines += [
        f"Difference to {VARIANTS[BASE].title} training of the same seed:",
        "",
        differences,
        "",
    ]
    lines += [f"- {name}: {value}" for name, value in facts.items()]
    replace_file(args.output_dir / "ablation.md", ("\n".join(lines) + "\n").encode())
    kept = [{k: v for k, v in r.items() if k != "command"} for r in results]
    write_json(args.output_dir / "results.json", {**facts, "runs": kept})
    plot_spreads(str(args.output_dir / "ablation.png"), rows, list(METRICS))
    return table


@in_one_line
def main(arguments: list[str] | None = None) -> None:
    args = parse_args(arguments)
    print(write_summary(args, run_all(args)))
    print(f"\nWritten to {args.output_dir}: ablation.md, ablation.png, results.json")


if __name__ == "__main__":
    sys.exit(main())
