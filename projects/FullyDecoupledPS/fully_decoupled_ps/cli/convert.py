"""person-search convert: PRW, CUHK-SYSU and MOT-challenge data to the project's JSON."""

import argparse
import logging
import os
import sys
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

from tabulate import tabulate

from ..data.checks import count_person_ids
from ..data.conversion import (
    ConvertedSet,
    MotRules,
    MotSequence,
    check_output,
    choose_queries,
    convert_cuhk_sysu,
    convert_mot,
    convert_prw,
    find_sequences,
    split_by_ids,
    split_by_sequences,
    write_sets,
)
from ..data.conversion.layouts import SPLITS
from ..data.cuhk_sysu import GALLERY_SIZES
from ..errors import UserError
from .common import MAX_SEED, number, whole_number

HELP = "convert PRW, CUHK-SYSU or MOT-challenge data to the project's JSON"

QUERY_RULE = "one a test person and camera, drawn at random, for persons in two frames or more"

_positive, _share, _class = whole_number(1), number(0, 1), whole_number(0)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    formats = parser.add_subparsers(dest="format", metavar="FORMAT", required=True)
    prw = formats.add_parser("prw", help="PRW, or data in its layout")
    sysu = formats.add_parser("cuhk-sysu", help="CUHK-SYSU, or data in its layout")
    mot = formats.add_parser("mot", help="MOT-challenge ground truth, of pictures or videos")
    for layout in (prw, sysu):
        layout.add_argument("root", type=Path, metavar="DIR", help="the dataset's folder")
        layout.add_argument(
            "--split", choices=(*SPLITS, "both"), default="both", help="default: both"
        )
    sysu.add_argument(
        "--gallery-size",
        type=whole_number(1),
        choices=GALLERY_SIZES,
        default=100,
        help="default: 100",
    )
    _add_mot_arguments(mot)
    for format_parser in (prw, sysu, mot):
        add = format_parser.add_argument
        add("--output", type=Path, required=True, metavar="DIR", help="gets train.json, test.json")
        add("--copy-images", action="store_true", help="copy the pictures to DIR/images")
        add("--force", action="store_true", help="overwrite what is there")


def _add_mot_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "sequences", type=Path, nargs="+", metavar="SEQUENCE",
        help="a folder with gt/gt.txt and its frames in img1 or one video file; or a folder of "
        "such folders",
    )  # fmt: skip
    add("--video", type=Path, nargs="+", default=[], metavar="FILE", help="one a sequence")
    add(
        "--camera", type=whole_number(0), nargs="+", default=[], metavar="N",
        help="one a sequence (default: the number after c, cam or camera in all their names, "
        "else 1, 2, ...)",
    )  # fmt: skip
    add(
        "--ids", choices=("distinct", "shared"), default="distinct",
        help="whether an id is another person in each sequence, or the same (default: distinct)",
    )  # fmt: skip
    add("--stride", type=_positive, default=1, metavar="N", help="every Nth frame (default: 1)")
    add(
        "--classes", type=_class, nargs="+", default=[1], help="of persons (default: 1, pedestrian)"
    )
    add(
        "--unlabelled-classes", type=_class, nargs="+", default=[], metavar="CLASS",
        help="persons to keep without an id, flagged or not, as 2 7 (on a vehicle, static)",
    )  # fmt: skip
    add("--min-visibility", type=_share, default=0.25, metavar="V", help="0 to 1 (default: 0.25)")
    add("--min-height", type=number(0), default=16, metavar="PIXELS", help="default: 16")
    add("--zero-based", action="store_true", help="x and y count from 0, not from 1 as in MOT")
    add(
        "--split", choices=("ids", "sequences", "none"), default="ids",
        help="ids: each sequence is cut in time, and a person belongs to the side where it has "
        "more boxes, so no id and no frame is in both; sequences: whole ones; none: all into "
        "test.json (default: ids)",
    )  # fmt: skip
    add("--test-sequences", nargs="+", default=[], metavar="NAME", help="for --split sequences")
    add("--test-share", type=_share, default=0.5, metavar="S", help="default: 0.5")
    add(
        "--seed", type=whole_number(0, MAX_SEED), default=0,
        help=f"draws test sequences and queries: {QUERY_RULE} (default: 0)",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """
    Raises:
        UserError: something is missing or can't be read or written, or a file is there already.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    if args.format == "mot":
        names = ["test"] if args.split == "none" else list(SPLITS)
    else:
        names = list(SPLITS) if args.split == "both" else [args.split]
    check_output(args.output, names, args.force)
    counts: Dict[str, int] = {}
    if args.format == "prw":
        sets, root = convert_prw(args.root, names), args.root
    elif args.format == "cuhk-sysu":
        sets, root = convert_cuhk_sysu(args.root, names, args.gallery_size), args.root
    else:
        sets, root, counts = _convert_mot(args)
    output = Path(os.path.abspath(args.output))
    root = write_sets(output, sets, root and Path(os.path.abspath(root)), args.copy_images)
    print(_summary(sets, counts))
    print(_next_steps(args.output, sets, root))
    return 0


def _convert_mot(
    args: argparse.Namespace,
) -> Tuple[List[ConvertedSet], Optional[Path], Dict[str, int]]:
    _check_split(args)
    sequences = find_sequences(args.sequences, args.video, args.camera)
    rules = MotRules(
        stride=args.stride,
        classes=args.classes,
        unlabelled_classes=args.unlabelled_classes,
        min_visibility=args.min_visibility,
        min_height=args.min_height,
        shared_ids=args.ids == "shared",
        first_pixel=0 if args.zero_based else 1,
    )
    frame_folder = Path(os.path.abspath(args.output)) / "images"
    root = None if args.copy_images else _image_root(sequences, frame_folder)
    converted, counts = convert_mot(sequences, rules, frame_folder)
    info: Dict[str, Any] = {
        "source": "MOT challenge",
        "sequences": {s.name: {"camera": s.camera} for s in sequences},
        "rules": {**vars(rules), "split": args.split, "seed": args.seed, "queries": QUERY_RULE},
    }
    if args.split == "none":
        train, test = None, [d for dicts in converted.values() for d in dicts]
    elif args.split == "sequences":
        train, test, info["test_sequences"] = split_by_sequences(
            converted, test=args.test_sequences, share=args.test_share, seed=args.seed
        )
    else:
        train, test, unlabelled = split_by_ids(converted, args.test_share)
        counts.update(unlabelled)
    queries, without = choose_queries(test, args.seed)
    counts["test persons in one frame only (no query)"] += without
    counts = +counts  # without the zeros
    info["left_out_or_changed"] = dict(counts)
    sets = [ConvertedSet("test", test, queries, info)]
    if train is not None:
        sets.insert(0, ConvertedSet("train", train, None, info))
    return sets, root, counts


def _image_root(sequences: Sequence[MotSequence], frame_folder: Path) -> Path:
    """The folder above all sequences of pictures, and the frames of videos."""
    folders = {frame_folder if s.video else s.folder.parent for s in sequences}
    try:
        root = Path(os.path.commonpath(folders))
    except ValueError:  # on different drives
        root = Path("/")
    if root == Path(root.anchor):
        raise UserError(
            "the pictures lie in folders with nothing in common; add --copy-images, which brings "
            "them under one"
        )
    return root


def _check_split(args: argparse.Namespace) -> None:
    if args.test_sequences and args.split != "sequences":
        raise UserError("--test-sequences is for --split sequences; add that, or leave it out")
    both = set(args.classes) & set(args.unlabelled_classes)
    if both:
        raise UserError(f"class {min(both)} is in --classes and --unlabelled-classes; keep one")


def _summary(sets: Sequence[ConvertedSet], counts: Dict[str, int]) -> str:
    rows = []
    for s in sets:
        ids = [a["person_id"] for d in s.dicts for a in d["annotations"]]
        rows.append(
            {
                "": f"{s.name}.json",
                "frames": len(s.dicts),
                "boxes": len(ids),
                "unlabelled": ids.count(-1),
                "persons": count_person_ids(s.dicts),
                "queries": "" if s.queries is None else len(s.queries),
            }
        )
    parts = [tabulate(rows, headers="keys")]
    dropped = [(n, what) for what, n in counts.items()]
    if dropped:
        parts.append("left out or changed:\n" + tabulate(dropped, tablefmt="plain"))
    if len(sets) == 2 and sets[0].info.get("rules", {}).get("split") == "sequences":
        both = set.intersection(*({a["person_id"] for d in s.dicts for a in d["annotations"]}
                                  for s in sets)) - {-1}  # fmt: skip
        if both:
            parts.append(
                f"{len(both)} persons are in both, as in PRW; --split ids keeps them apart"
            )
    return "\n\n".join(parts)


def _next_steps(output: Path, sets: Sequence[ConvertedSet], root: Path) -> str:
    lines = ["", "Check them, then register them in your own code:"]
    for s in sets:
        lines.append(
            f"  person-search check-dataset {output / s.name}.json --image-root {root} "
            f"--split {s.name}"
        )
    for s in sets:
        lines.append(
            f'  register_person_search_json("own_{s.name}", "{output / s.name}.json", "{root}", '
            f'split="{s.name}")'
        )
    return "\n".join(lines)
