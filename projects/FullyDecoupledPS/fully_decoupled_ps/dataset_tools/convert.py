"""person-search convert: PRW, CUHK-SYSU, MOT and COCO data to the project's JSON."""

import argparse
from pathlib import Path

from ..utils.arguments import MAX_SEED, number, whole_number
from .conversion.mot_formats import FORMATS
from .conversion.split import QUERY_RULE, SPLITS

HELP = "convert PRW, CUHK-SYSU, MOT or COCO data to the project's JSON"

_positive, _share = whole_number(1), number(0, 1)


def run(args: argparse.Namespace) -> int:
    """
    Raises:
        UserError: something is missing or can't be read or written, or a file is there already.
    """
    from .conversion.command import convert

    return convert(args)


def _gallery_size(text: str) -> int:
    from ..data.datasets.cuhk_sysu import GALLERY_SIZES

    if text not in map(str, GALLERY_SIZES):
        allowed = ", ".join(map(str, GALLERY_SIZES))
        raise argparse.ArgumentTypeError(f"{text!r} is none of {allowed}")
    return int(text)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    formats = parser.add_subparsers(dest="format", metavar="FORMAT", required=True)
    prw = formats.add_parser("prw", help="PRW, or data in its layout")
    sysu = formats.add_parser("cuhk-sysu", help="CUHK-SYSU, or data in its layout")
    mot = formats.add_parser("mot", help="MOT ground truth, of pictures or videos; CVAT's too")
    coco = formats.add_parser("coco", help="COCO files with who is who; CVAT's and others'")
    for layout in (prw, sysu):
        layout.add_argument("root", type=Path, metavar="DIR", help="the dataset's folder")
        layout.add_argument(
            "--split", choices=(*SPLITS, "both"), default="both", help="default: both"
        )
    sysu.add_argument(
        "--gallery-size",
        type=_gallery_size,
        default=100,
        metavar="FRAMES",
        help="of each query's gallery: 50, 100, 500, 1000, 2000 or 4000 (default: 100)",
    )
    _add_mot_arguments(mot)
    _add_coco_arguments(coco)
    for sequences in (mot, coco):
        _add_box_arguments(sequences)
        _add_split_arguments(sequences)
    for format_parser in (prw, sysu, mot, coco):
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
    add(
        "--format", dest="mot_format", choices=tuple(FORMATS),
        help="whose files they are: where x and y start, and what classes, flags and visibilities "
        "mean (default: recognised for each sequence, and printed)",
    )  # fmt: skip
    add(
        "--video", type=Path, nargs="+", default=[], metavar="FILE", help="one for each sequence"
    )  # fmt: skip
    add(
        "--first-frame", type=whole_number(0), metavar="N",
        help="frame 1 of gt.txt is the picture of this number, or this frame of the video, from "
        "0 (default: numbers or order must tell it without doubt)",
    )  # fmt: skip
    add(
        "--frame-step", type=_positive, metavar="N",
        help="from a frame of gt.txt to the next, in those numbers (default: 1)",
    )  # fmt: skip
    add(
        "--ids", choices=("distinct", "shared"), default="distinct",
        help="whether an id is another person in each sequence, or the same (default: distinct)",
    )  # fmt: skip
    add("--min-visibility", type=_share, default=0.25, metavar="V",
        help="persons less visible are kept without an id; 0 to 1 (default: 0.25)")  # fmt: skip
    add("--zero-based", action="store_true", help="x and y count from 0, whatever the format")


def _add_coco_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "sequences", type=Path, nargs="+", metavar="EXPORT",
        help="a COCO file, or an unpacked export's folder, whose files are all taken "
        "(annotations/*.json, images); or a folder of such folders",
    )  # fmt: skip
    add(
        "--id-attribute", default="person_id", metavar="NAME",
        help="the attribute that says who it is, by a number or a name, the same in all files; if "
        "no box has it, a track_id is a person, another one in each file (default: person_id)",
    )  # fmt: skip


def _add_box_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--camera", type=whole_number(0), nargs="+", default=[], metavar="N",
        help="one for each sequence (default: the last number after c, cam or camera in all their "
        "names, else 1, 2, ...)",
    )  # fmt: skip
    add("--stride", type=_positive, default=1, metavar="N", help="every Nth frame (default: 1)")
    for option, what in (
        ("person", "persons (default: person, pedestrian and the like)"),
        ("ignore", "regions that count neither for nor against a detection (default: crowd, "
         "distractor, reflection and the like)"),
        ("other", "no persons (default: the classes of COCO and MOT that are none)"),
    ):  # fmt: skip
        add(f"--{option}-class", action="append", default=[], metavar="CLASS",
            help=f"a class, by name or number, of {what}; may be given several times")  # fmt: skip
    add("--min-height", type=number(0), default=16, metavar="PIXELS",
        help="lower boxes become ignore regions (default: 16)")  # fmt: skip


def _add_split_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
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
