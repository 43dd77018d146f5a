#!/usr/bin/env python
"""Write the report page of a run that train_net.py has trained and evaluated.

    python make_report.py --run-dir output/demo

It reads, under the run's folder: metrics.json and queries_<protocol>.json in
reid/inference/<dataset>, the training logs detection/metrics.json and reid/metrics.json where they
are, and what the figures stand beside, also where it is or where the options say:
floor/metrics.json and reid/inference/<dataset>/untrained/metrics.json.
"""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

from fully_decoupled_ps.errors import UserError
from fully_decoupled_ps.utils.commands import command_parser, in_one_line
from fully_decoupled_ps.visualization.report import write_report

STAGES = ("detection", "reid")


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    parser.add_argument("--run-dir", type=Path, required=True, help="OUTPUT_DIR of the training")
    parser.add_argument("--dataset", help="test set to report; not needed if there is only one")
    parser.add_argument("--protocol", help="whose queries to show (default: full, or the only one)")
    parser.add_argument("--floor", type=Path, help="metrics.json of the colour-histogram matcher")
    parser.add_argument("--untrained", type=Path, help="metrics.json before the re-id training")
    parser.add_argument("--image-root", type=Path, help="folder of the pictures, if they moved")
    parser.add_argument("--title", help="heading of the page")
    parser.add_argument("--output", type=Path, help="default: report.html in the run's folder")
    return parser.parse_args(argv)


def choose(folder: Path, pattern: str, wanted: str | None, option: str) -> Path:
    """The file or folder in `folder` that fits `pattern`, its * being `wanted`, or the only one."""
    if wanted is not None:
        path = folder / pattern.replace("*", wanted)
        found = [path] if path.exists() else []
    else:
        found = sorted(folder.glob(pattern))
    if len(found) == 1:
        return found[0]
    there = ", ".join(path.name for path in sorted(folder.glob(pattern))) or "nothing"
    fix = f"name one with {option}" if there != "nothing" else "run train_net.py --eval-only first"
    raise UserError(f"{folder}: {wanted or 'one'} is wanted of {pattern}, there is {there}: {fix}")


def existing(path: Path) -> Path | None:
    return path if path.exists() else None


def report(args: argparse.Namespace, facts: Mapping[str, str] | None = None) -> Path:
    """Find the inputs of the run and write its page, with facts of it; returns the page's path."""
    run = args.run_dir
    evaluation = choose(run / "reid" / "inference", "*", args.dataset, "--dataset")
    protocol = args.protocol
    if protocol is None and (evaluation / "queries_full.json").exists():
        protocol = "full"
    logs = {stage: run / stage / "metrics.json" for stage in STAGES}
    return write_report(
        args.output or run / "report.html",
        title=args.title or f"Person search on {evaluation.name}",
        results=evaluation / "metrics.json",
        queries_file=choose(evaluation, "queries_*.json", protocol, "--protocol"),
        training_logs={stage: log for stage, log in logs.items() if log.exists()},
        floor=args.floor or existing(run / "floor" / "metrics.json"),
        untrained=args.untrained or existing(evaluation / "untrained" / "metrics.json"),
        image_root=args.image_root,
        facts=facts,
    )


@in_one_line
def main(argv: list[str] | None = None) -> None:
    print(report(parse_args(argv)))


if __name__ == "__main__":
    sys.exit(main())
