"""person-search check-dataset: whether a dataset is fit to be trained on, before it is."""

import argparse
import dataclasses
import json
import logging
import os
import sys
from typing import TYPE_CHECKING

from ..errors import UserError
from ..utils.arguments import MAX_SEED, whole_number
from ..utils.files import replace_file
from ..utils.names import printable

if TYPE_CHECKING:
    from .inspection import Inspection

HELP = "check a dataset before training: counts, ids, boxes, pictures, queries"

_positive = whole_number(1)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "dataset", metavar="NAME|JSON",
        help="a registered name, as prw_train (under $DETECTRON2_DATASETS), or a JSON file of the "
        "format in datasets/README.md",
    )  # fmt: skip
    add("--image-root", metavar="DIR", help="a JSON file's image folder (default: its own)")
    add(
        "--split", choices=("train", "test"),
        help="what a JSON file is for (default: test if it lists queries, else train)",
    )  # fmt: skip
    add(
        "--person-class", action="append", default=[], metavar="NAME",
        help="a category of a JSON file that is persons, beside person and pedestrian; "
        "may be repeated",
    )  # fmt: skip
    add("--id-attribute", metavar="NAME", help="a JSON file's field that holds the identity")
    add(
        "--against", metavar="NAME|JSON",
        help="a set that should share no picture with this one, as the training set",
    )  # fmt: skip
    add("--sample", type=_positive, metavar="N", help="open N pictures (default: all)")
    add(
        "--seed", type=whole_number(0, MAX_SEED), default=0, metavar="N",
        help="draws the sample and the sheet (default: 0)",
    )  # fmt: skip
    add(
        "--workers", type=_positive, default=os.cpu_count() or 1, metavar="N",
        help="processes that open pictures (default: one per CPU)",
    )  # fmt: skip
    add("--sheet", metavar="OUT.png", help="draw sample frames with their boxes and ids")
    add("--sheet-frames", type=_positive, default=12, metavar="N", help="default: 12")
    add("--json", action="store_true", help="print the report as JSON")
    add("--strict", action="store_true", help="warnings count as problems, too")


def run(args: argparse.Namespace) -> int:
    """
    Returns:
        0: fit; 1: errors were found, or with --strict warnings.

    Raises:
        UserError: there is nothing to check, or the sheet can't be written.
    """
    from .inspection import format_inspection, inspect_dataset
    from .inspection.findings import ERROR, WARNING

    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    if args.sheet:
        _check_sheet_path(args.sheet)
    inspection = inspect_dataset(
        args.dataset,
        image_root=args.image_root,
        split=args.split,
        person_classes=args.person_class,
        id_attribute=args.id_attribute,
        against=args.against,
        sample=args.sample,
        workers=args.workers,
        seed=args.seed,
    )
    if args.json:
        print(_as_json(inspection))
    else:
        print(printable(format_inspection(inspection), keep="\n"))
    if args.sheet:
        _write_sheet(args, inspection)
    levels = {finding.level for finding in inspection.findings}
    return int(ERROR in levels or (args.strict and WARNING in levels))


def _check_sheet_path(path: str) -> None:
    if os.path.splitext(path)[1].lower() not in (".png", ".jpg"):
        raise UserError(f"--sheet {path}: give a name that ends in .png or .jpg")
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise UserError(f"--sheet {path}: there is no folder '{folder}'; make it first")


def _write_sheet(args: argparse.Namespace, inspection: "Inspection") -> None:
    from ..visualization.frame_boxes import draw_dataset_sheet
    from ..visualization.visualizer import encode_image

    if not inspection.dicts:
        logging.getLogger(__name__).warning("no sheet: there is no frame to draw")
        return
    title = f"{args.dataset}: sample frames, persons with their ids, unlabelled ones grey"
    picture = draw_dataset_sheet(inspection.dicts, title, frames=args.sheet_frames, seed=args.seed)
    extension = os.path.splitext(args.sheet)[1].lower()
    replace_file(args.sheet, encode_image(picture, extension))
    logging.getLogger(__name__).info("sheet: %s", args.sheet)


def _as_json(inspection: "Inspection") -> str:
    from .inspection.findings import ERROR, WARNING

    findings = [dataclasses.asdict(finding) for finding in inspection.findings]
    return json.dumps(
        {
            "version": 1,
            "dataset": inspection.source,
            "split": inspection.split,
            "errors": sum(f["level"] == ERROR for f in findings),
            "warnings": sum(f["level"] == WARNING for f in findings),
            "summary": inspection.summary,
            "findings": findings,
        },
        indent=2,
    )
