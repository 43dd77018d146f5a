"""What ``person-search convert`` does with its arguments, and what it prints."""

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tabulate import tabulate

from ...errors import UserError
from .assemble import count_boxes, make_sets, warn_of_copies
from .classes import ClassChoice
from .coco import CocoRules, convert_coco
from .coco_file import CocoSequence, find_coco
from .json_file import ConvertedSet, check_output, write_sets
from .layouts import convert_cuhk_sysu, convert_prw
from .mot import MotRules, convert_mot
from .mot_frames import Numbering
from .mot_sequence import MotSequence, find_sequences
from .split import QUERY_RULE, SPLITS

Result = tuple[list[ConvertedSet], Path | None]


def convert(args: argparse.Namespace) -> int:
    """
    Raises:
        UserError: something is missing or can't be read or written, or a file is there already.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    if args.format in ("mot", "coco"):
        names = ["test"] if args.split == "none" else list(SPLITS)
    else:
        names = list(SPLITS) if args.split == "both" else [args.split]
    check_output(args.output, names, args.force)
    root: Path | None
    if args.format == "prw":
        sets, root = convert_prw(args.root, names), args.root
    elif args.format == "cuhk-sysu":
        sets, root = convert_cuhk_sysu(args.root, names, args.gallery_size), args.root
    else:
        sets, root = _convert_sequences(args)
    if args.format in ("prw", "cuhk-sysu"):
        warn_of_copies(sets)
    output = Path(os.path.abspath(args.output))
    root = write_sets(output, sets, root and Path(os.path.abspath(root)), args.copy_images)
    print(_summary(sets))
    print(_next_steps(args.output, sets, root))
    return 0


def _convert_sequences(args: argparse.Namespace) -> Result:
    _check_options(args)
    frame_folder = Path(os.path.abspath(args.output)) / "images"
    classes = ClassChoice(args.person_class, args.ignore_class, args.other_class)
    sequences: Sequence[MotSequence] | Sequence[CocoSequence]
    rules: MotRules | CocoRules
    if args.format == "mot":
        sequences = find_sequences(args.sequences, args.video, args.camera)
        rules = _mot_rules(args, classes, has_pictures=any(s.video is None for s in sequences))
        convert = partial(convert_mot, sequences, rules, frame_folder)
        folders = {frame_folder if s.video else s.folder.parent for s in sequences}
    else:
        sequences = find_coco(args.sequences, args.camera)
        rules = CocoRules(args.id_attribute, args.stride, classes, args.min_height)
        convert = partial(convert_coco, sequences, rules)
        # one folder above all pictures of all files
        folders = {Path(os.path.commonpath([p.parent for p in s.pictures.values()])).parent
                   for s in sequences}  # fmt: skip
    root = None if args.copy_images else _image_root(folders)
    converted = convert()
    told = {k: vars(v) if hasattr(v, "__dict__") else v for k, v in vars(rules).items()}
    told.update(split=args.split, seed=args.seed, queries=QUERY_RULE)
    cameras = {s.name: {"camera": s.camera} for s in sequences}
    info = {"source": args.format.upper(), "sequences": cameras, "rules": told}
    sets = make_sets(
        converted,
        info,
        split=args.split,
        test_sequences=args.test_sequences,
        test_share=args.test_share,
        seed=args.seed,
    )
    return sets, root


def _mot_rules(args: argparse.Namespace, classes: ClassChoice, has_pictures: bool) -> MotRules:
    numbering = None
    if args.first_frame is not None or args.frame_step is not None:
        numbering = Numbering(args.first_frame or 0, args.frame_step or 1)
        if args.first_frame is None and has_pictures:
            raise UserError("--frame-step of pictures: say the number of the first, --first-frame")
    return MotRules(
        format=args.mot_format,
        stride=args.stride,
        classes=classes,
        min_visibility=args.min_visibility,
        min_height=args.min_height,
        shared_ids=args.ids == "shared",
        zero_based=args.zero_based,
        numbering=numbering,
    )


def _image_root(folders: set[Path]) -> Path:
    """The folder above all of these, from which pictures are named."""
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


def _check_options(args: argparse.Namespace) -> None:
    if args.test_sequences and args.split != "sequences":
        raise UserError("--test-sequences is for --split sequences; add that, or leave it out")
    given = [*args.person_class, *args.ignore_class, *args.other_class]
    twice = [name for name in given if given.count(name) > 1]
    if twice:
        raise UserError(
            f"class '{twice[0]}' is given twice, in --person-class, --ignore-class or "
            "--other-class; keep one"
        )


def _summary(sets: Sequence[ConvertedSet]) -> str:
    parts = [tabulate(count_boxes(sets), headers="keys")]
    info = sets[0].info
    if info.get("sequences"):
        cameras = [f"{name} is {s['camera']}" for name, s in info["sequences"].items()]
        parts.append(f"cameras: {', '.join(cameras)} (--camera gives others)")
    if info.get("assumed"):
        parts.append("assumed:\n" + "\n".join(f"  {what}" for what in info["assumed"]))
    dropped = [(n, what) for what, n in info.get("left_out_or_changed", {}).items()]
    if dropped:
        parts.append("left out or changed:\n" + tabulate(dropped, tablefmt="plain"))
    if len(sets) == 2 and info.get("rules", {}).get("split") == "sequences":
        both = set.intersection(*({a["person_id"] for d in s.dicts for a in d["annotations"]}
                                  for s in sets)) - {-1}  # fmt: skip
        if both:
            parts.append(
                f"{len(both)} persons are in both, as in PRW; --split ids keeps them apart"
            )
    parts += [f"WARNING: {warning}" for warning in info.get("warnings", ())]
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
