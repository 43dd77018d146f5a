#!/usr/bin/env python
"""Write a synthetic person-search benchmark in PRW's layout.

python make_synthetic_dataset.py --output datasets/synthetic
python make_synthetic_dataset.py --output datasets/synthetic_large --preset prw

Under $DETECTRON2_DATASETS/synthetic it is known as synthetic_train and synthetic_test. A finished
dataset of the same parameters is left as it is, an interrupted one is completed.
"""

import argparse
import dataclasses
import logging
import re
import sys
from pathlib import Path

from fully_decoupled_ps.dataset_tools.synthetic import (
    PRESETS,
    SyntheticSpec,
    make_synthetic_dataset,
)
from fully_decoupled_ps.utils.arguments import MAX_SEED, whole_number
from fully_decoupled_ps.utils.commands import command_parser, in_one_line


def parse_size(text: str) -> tuple[int, int]:
    """ "480x270" -> (480, 270)"""
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if not match:
        raise argparse.ArgumentTypeError(f"'{text}' is no size; write WIDTHxHEIGHT, as in 480x270")
    return int(match[1]), int(match[2])


def get_parser() -> argparse.ArgumentParser:
    parser = command_parser(__doc__)
    parser.add_argument("--output", type=Path, required=True, metavar="DIR")
    parser.add_argument(
        "--preset", choices=sorted(PRESETS), default="demo",
        help="demo: 1,650 small frames, half a minute; prw: PRW's size, about an hour "
        "(default: demo)",
    )  # fmt: skip
    parser.add_argument("--seed", type=whole_number(0, MAX_SEED), default=0, help="default: 0")
    parser.add_argument("--frame-size", type=parse_size, metavar="WxH")
    for name in ("train-frames", "test-frames", "train-ids", "test-ids", "max-queries"):
        parser.add_argument(
            f"--{name}", type=whole_number(0), metavar="N", help="default: the preset's"
        )
    parser.add_argument(
        "--workers", type=whole_number(0), default=2, metavar="N", help="default: 2"
    )
    return parser


def get_spec(args: argparse.Namespace) -> SyntheticSpec:
    """The preset, changed by what else was given."""
    changes = {
        field.name: getattr(args, field.name, None) for field in dataclasses.fields(SyntheticSpec)
    }
    if args.frame_size:
        changes["width"], changes["height"] = args.frame_size
    changes = {name: value for name, value in changes.items() if value is not None}
    return dataclasses.replace(PRESETS[args.preset], **changes)


@in_one_line
def main(arguments: list[str] | None = None) -> None:
    args = get_parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="[synthetic] %(message)s", stream=sys.stdout)
    make_synthetic_dataset(args.output, get_spec(args), workers=args.workers)


if __name__ == "__main__":
    sys.exit(main())
