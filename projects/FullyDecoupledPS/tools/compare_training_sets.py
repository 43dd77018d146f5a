#!/usr/bin/env python
"""Train the same network on several training sets with several seeds, and compare what comes out.

    python compare_training_sets.py --sets a=A/train.json,A/images b=B/train.json \\
        --test T/test.json,T/images --start output/demo/reid SOLVER.MAX_ITER 400

A set is named by its file and, if they are elsewhere, the folder of its pictures behind a comma.
Each set is trained on by `person-search train` and scored on the one test set. Differences are
taken seed by seed, from the first set. What is done is not repeated, so that an interrupted command
goes on where it was. Into the output folder it writes results.json and a table.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from tabulate import tabulate
from tqdm import tqdm

from fully_decoupled_ps.errors import UserError
from fully_decoupled_ps.evaluation.query_results import read_json
from fully_decoupled_ps.utils.arguments import MAX_SEED, whole_number
from fully_decoupled_ps.utils.commands import command_parser, in_one_line
from fully_decoupled_ps.utils.files import write_json


def with_root(text: str) -> tuple[str, str]:
    """``FILE`` or ``FILE,DIR`` as a pair; of a file alone its own folder."""
    path, _, root = text.partition(",")
    root = root or os.path.dirname(path) or "."
    if not (os.path.isfile(path) and os.path.isdir(root)):
        raise argparse.ArgumentTypeError(f"{text!r}: write FILE or FILE,DIR, which are there")
    return path, root


def named_set(text: str) -> tuple[str, tuple[str, str]]:
    """``NAME=FILE,DIR``"""
    name, equals, files = text.partition("=")
    if not (name.isidentifier() and equals):
        raise argparse.ArgumentTypeError(f"{text!r}: write NAME=FILE or NAME=FILE,DIR")
    return name, with_root(files)


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    add = parser.add_argument
    add("--sets", nargs="+", type=named_set, required=True, metavar="NAME=FILE,DIR")
    add("--test", type=with_root, required=True, metavar="FILE,DIR", help="of other persons")
    add("--start", required=True, metavar="NETWORK", help="as `person-search train` takes it")
    add("--seeds", nargs="+", type=whole_number(0, MAX_SEED), default=[1, 2, 3])
    add("--output-dir", type=Path, default=Path("output/training_sets"), metavar="DIR")
    add("--detector", choices=("auto", "tune", "freeze"), default="auto")
    add("opts", nargs=argparse.REMAINDER, help="KEY VALUE pairs of the training")
    args = parser.parse_args(arguments)
    if len(dict(args.sets)) < len(args.sets):
        parser.error("--sets: two sets have one name; give each its own")
    return args


def train(
    args: argparse.Namespace, name: str, files: tuple[str, str], seed: int
) -> dict[str, float]:
    """Train, or go on with it; returns the figures of before and after.

    Raises:
        UserError: if the command fails.
    """
    folder = args.output_dir / name / f"seed{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    (path, root), (test, test_root) = files, args.test
    command = ["train", path, "--image-root", root, "--test", test, "--test-image-root", test_root]
    # ids of the sets are numbered by whoever made them
    command += ["--ids-apart", "--start", args.start, "--detector", args.detector]
    command += ["--output", str(folder)]
    command += [*args.opts, "SEED", str(seed)]
    log = folder.with_suffix(".log")
    with open(log, "w") as f:
        status = subprocess.run(
            [sys.executable, "-m", "person_search.cli.main", *command],
            stdout=f,
            stderr=subprocess.STDOUT,
        ).returncode
    if status not in (0, 1):  # 1: worse than its start, which is a result here
        raise UserError(f"{name}, seed {seed}: status {status}; see {log}")
    rows = read_json(folder / "results.json", "results")["figures"]
    return {row["figure"]: (row["before"]["value"], row["after"]["value"]) for row in rows}


def format_table(found: dict[str, list[dict]]) -> str:
    """A row for each figure and set: before, after by seed, and their differences."""
    first = next(iter(found))
    rows = []
    for figure in found[first][0]:
        base = np.array([run[figure][1] for run in found[first]])
        for name, runs in found.items():
            after = np.array([run[figure][1] for run in runs])
            differences = "" if name == first else " ".join(f"{d:+.1f}" for d in after - base)
            each = " ".join(f"{value:.1f}" for value in after)
            rows.append([figure, name, runs[0][figure][0], after.mean(), each, differences])
    heads = ["%", "set", "before", "after, mean", "each seed", f"less {first}, each seed"]
    return tabulate(rows, heads, floatfmt=".1f", disable_numparse=[4, 5])


@in_one_line
def main(arguments: list[str] | None = None) -> None:
    args = parse_args(arguments)
    jobs = [(name, files, seed) for seed in args.seeds for name, files in args.sets]
    found: dict[str, list[dict]] = {name: [] for name, _ in args.sets}
    for name, files, seed in tqdm(jobs, desc="Training"):
        found[name].append(train(args, name, files, seed))
    write_json(args.output_dir / "results.json", {"seeds": args.seeds, "figures": found})
    print(format_table(found))


if __name__ == "__main__":
    sys.exit(main())
