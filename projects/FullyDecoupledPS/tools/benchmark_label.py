#!/usr/bin/env python
"""Label a project as a person would who knows the truth: decisions asked against quality.

    python benchmark_label.py random --output output/benchmark_label.json
    python benchmark_label.py project DIR --truth SITE/train

"random" makes up a project: how long it takes to open, and to the next question. "project" takes
one that `person-search label` made of recordings with ground truth (CAM/gt/gt.txt and
CAM/seqinfo.ini, as make_synthetic_site.py writes them, CAM being the folder that a recording is
in), and labels a copy.

The person looks at all views of the two units that a question compares, and answers truthfully:
"not a person" if most show nobody, "split" where the identity changes for good, else "same" or
"different". All of them count as decisions. Precision and recall are over pairs of boxes of
tracklets, in the truth by their IoU with it, and labelled if some decision is about their unit;
"unit" ones are over pairs of units, each with who is in most of its views. The target is of boxes,
as these are what a network is trained on.
"""

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

from tabulate import tabulate

from benchmark.labeller import Labeller, quality
from benchmark.labelling_data import Crowd, make_project, rank_1
from benchmark.labelling_truth import Truth, read_truth
from benchmark.machine import processor_name
from benchmark.timing import timed
from fully_decoupled_ps.errors import UserError
from fully_decoupled_ps.utils.arguments import MAX_SEED, number, whole_number
from fully_decoupled_ps.utils.commands import command_parser, in_one_line
from fully_decoupled_ps.utils.files import write_json
from person_search.label.labelling import TARGET_RECALL, Labelling, collect_seldom
from person_search.label.store import FILE_NAME, ProjectFile, open_project

TARGET_PRECISION = 0.99
POINTS = 20  # of the curve, per decision and tracklet


def run(project: ProjectFile, truth: Truth, most: float) -> dict:
    """Label until nothing is asked any more, or ``most`` decisions per tracklet were made."""
    seconds, labelling = timed(Labelling, project)
    collect_seldom()  # as the page does
    first, question = timed(labelling.question)
    labeller, tracklets, curve, waits = Labeller(labelling, truth), len(truth.views), [], []
    every = max(tracklets // POINTS, 1)
    while question is not None and sum(labeller.decisions.values()) < most * tracklets:
        start = time.perf_counter()
        labeller.answer(question)
        question = labelling.question()
        waits.append(time.perf_counter() - start)
        if len(waits) % every == 0 or question is None:
            curve.append(_point(labelling, truth, len(waits) / tracklets))
    return {
        "tracklets": tracklets,
        "rank_1_other_cameras": rank_1(project, truth),
        "open_s": seconds,
        "first_question_s": first,
        "next_question_ms_median": 1000 * statistics.median(waits),
        "next_question_ms_max": 1000 * max(waits),
        "decisions": dict(labeller.decisions),
        "reached": next((p for p in curve if _is_reached(p)), None),
        "said_reached": next((p for p in curve if p["left"] == 0), None),
        "curve": curve,
    }


def _point(labelling: Labelling, truth: Truth, decisions: float) -> dict:
    seconds, progress = timed(labelling.progress)
    return {
        "decisions_per_tracklet": decisions,
        **quality(labelling, truth)._asdict(),
        "estimated_recall": progress.recall,
        "left": progress.left / len(truth.views),
        "persons": progress.persons,
        "progress_ms": 1000 * seconds,
    }


def _is_reached(point: dict) -> bool:
    return point["recall"] >= TARGET_RECALL and point["precision"] >= TARGET_PRECISION


def _random(folder: Path, args: argparse.Namespace) -> tuple[ProjectFile, Truth]:
    return make_project(folder, args)


def _project(folder: Path, args: argparse.Namespace) -> tuple[ProjectFile, Truth]:
    open_project(args.project).close()
    if args.keep:
        folder = args.project
    else:
        for path in args.project.glob(FILE_NAME + "*"):
            shutil.copy2(path, folder)
    project = open_project(folder)
    if project.decisions():
        raise UserError(f"{args.project} has decisions already; take one that nobody has labelled")
    return project, read_truth(project, args.truth)


def _parse() -> argparse.Namespace:
    parser = command_parser(__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    made = commands.add_parser("random", help="a made-up project")
    made.add_argument("--tracklets", type=whole_number(2), default=10_000)
    made.add_argument("--persons", type=whole_number(1), default=800)
    made.add_argument("--cameras", type=whole_number(1), default=6)
    made.add_argument("--dim", type=whole_number(1), default=512)
    made.add_argument("--impure", type=number(0, 1), default=0.03, help="share of two persons")
    made.add_argument("--nobody", type=number(0, 1), default=0.02, help="share of no person")
    made.add_argument(
        "--noise", type=number(0), default=Crowd().of_tracklet, help="length of a tracklet's"
    )
    made.add_argument("--seed", type=whole_number(0, MAX_SEED), default=0)
    made.set_defaults(open=_random)
    given = commands.add_parser("project", help="a project of recordings with ground truth")
    given.add_argument("project", type=Path, metavar="DIR")
    given.add_argument("--truth", type=Path, required=True, metavar="DIR")
    given.add_argument("--keep", action="store_true", help="label it itself, and not a copy")
    given.set_defaults(open=_project)
    for one in (made, given):
        one.add_argument("--most", type=number(0), default=1.5, help="decisions per tracklet")
        one.add_argument("--output", type=Path, help="write the figures there as JSON")
    return parser.parse_args()


@in_one_line
def main() -> None:
    args = _parse()
    with tempfile.TemporaryDirectory(prefix="benchmark_label_") as folder:
        project, truth = args.open(Path(folder), args)
        result = run(project, truth, args.most)
        project.close()
    curve = result["curve"]
    print(tabulate(curve, headers="keys", tablefmt="pipe", floatfmt=".3f"))
    for key in result.keys() - {"curve"}:
        print(f"{key}: {result[key]}")
    if args.output:
        write_json(args.output, {"processor": processor_name(), **result})


if __name__ == "__main__":
    sys.exit(main())
