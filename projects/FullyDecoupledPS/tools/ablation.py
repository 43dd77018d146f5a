#!/usr/bin/env python
"""Train the paper's variants on the synthetic benchmark with several seeds, and compare them.

    python ablation.py                                   all of it: many hours on a CPU
    python ablation.py --detectors fcos --seeds 1 2 3    a part of it
    python ablation.py --variants incremental lite       task-incremental training, full and lite

Coupled, joint, hybrid and task-incremental training, and the last without side-fusion and without
SnA; of the paper's successor one-stage training at either net's rate, the lite and minor f_d, and
online representation distillation (ORD); mixed precision, emulated where a CPU has no bfloat16; and
side-fusion from other starts than random weights: f_r as a copy of f_d, and the one, the other or
both from a network that was trained on other persons, as a stand-in for ImageNet. Every network
gets the same number of iterations: a detector that is trained first and a re-id net that is trained
then take as many each as two nets that are trained at once. Runs that are done are not repeated, so
an interrupted command goes on where it was. Into the output folder it writes results.json,
ablation.md and ablation.png.
"""

import argparse
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import product
from pathlib import Path

from tqdm import tqdm

from ablation_study.runs import Runs, emulates_bfloat16
from ablation_study.summary import write_summary
from ablation_study.variants import DETECTORS, PRETRAINING, TITLED, VARIANTS, needs, with_needs
from fully_decoupled_ps.dataset_tools.synthetic import SyntheticSpec, make_synthetic_dataset
from fully_decoupled_ps.utils.arguments import MAX_SEED, whole_number
from fully_decoupled_ps.utils.commands import command_parser, in_one_line

# A third of the demo's frames: there are many runs.
DATASET = SyntheticSpec(train_frames=540, train_ids=120)
# What the pretrained network is trained on: as much, of other persons; it is scored on few.
OTHER_DATASET = SyntheticSpec(540, 24, 120, 6, seed=1000)


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    positive = whole_number(1)
    parser.add_argument("--output-dir", type=Path, default=Path("output/ablation"), metavar="DIR")
    parser.add_argument("--detectors", nargs="+", choices=DETECTORS, default=list(DETECTORS))
    parser.add_argument("--variants", nargs="+", choices=TITLED, default=TITLED)
    parser.add_argument("--seeds", nargs="+", type=whole_number(0, MAX_SEED), default=[1, 2, 3])
    parser.add_argument(
        "--iterations", type=positive, default=600, help="of each net (default: 600)"
    )
    parser.add_argument("--batch", type=positive, default=4, help="frames (default: 4)")
    parser.add_argument("--jobs", type=positive, default=2, help="runs at a time (default: 2)")
    return parser.parse_args(arguments)


def run_of(name: str, detector: str, seed: int, args: argparse.Namespace) -> tuple[str, int, str]:
    """(detector, seed, variant). There is one pretrained network, as there is one of ImageNet."""
    return (detector, args.seeds[0] if name == PRETRAINING else seed, name)


def run_all(args: argparse.Namespace) -> list[dict]:
    """Everything that is planned, as soon as what it starts from is there."""
    planned = {
        run_of(name, detector, seed, args): None
        for detector, seed in product(args.detectors, args.seeds)
        for name in with_needs([v for v in args.variants if detector in VARIANTS[v].detectors])
    }
    # those that others start from come first, so that none of the jobs waits for long
    planned = sorted(planned, key=lambda run: bool(VARIANTS[run[2]].title))
    make_synthetic_dataset(args.output_dir / "datasets" / "synthetic", DATASET, workers=2)
    if any(name == PRETRAINING for *_, name in planned):
        other = args.output_dir / "other_datasets" / "synthetic"
        make_synthetic_dataset(other, OTHER_DATASET, workers=2)
    futures: dict[tuple[str, int, str], Future] = {}
    with (
        tqdm(total=len(planned), unit="run", file=sys.stdout) as bar,
        ThreadPoolExecutor(args.jobs) as pool,
    ):
        runs = Runs(args.output_dir, args.iterations, args.batch, args.jobs, bar)
        for detector, seed, name in planned:
            before = [futures[run_of(n, detector, seed, args)] for n in needs(name)]
            futures[detector, seed, name] = pool.submit(runs.train, detector, seed, name, before)
        return [future.result() for future in futures.values()]


@in_one_line
def main(arguments: list[str] | None = None) -> None:
    args = parse_args(arguments)
    facts = {"iterations of each net": args.iterations, "frames a batch": args.batch}
    if "mixed_precision" in args.variants and emulates_bfloat16():
        facts["mixed precision"] = "emulated bfloat16"
    print(write_summary(args.output_dir, run_all(args), facts))
    print(f"\nWritten to {args.output_dir}: ablation.md, ablation.png, results.json")


if __name__ == "__main__":
    sys.exit(main())
