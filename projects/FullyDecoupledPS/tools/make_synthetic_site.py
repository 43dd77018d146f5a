#!/usr/bin/env python
"""Write a synthetic site: videos of cameras that the same people pass, with ground truth.

python make_synthetic_site.py --output datasets/site

The first half of the time is DIR/train, the second half DIR/test, with other people; each has a
folder per camera with its video and gt/gt.txt (MOT 1.1 as CVAT writes it). A finished site of the
same parameters is left as it is, an interrupted one is completed.
"""

import argparse
import dataclasses
import logging
import sys
from pathlib import Path

from fully_decoupled_ps.dataset_tools.synthetic import SiteSpec, make_synthetic_site
from fully_decoupled_ps.utils.arguments import MAX_SEED, whole_number
from fully_decoupled_ps.utils.commands import command_parser, in_one_line

logger = logging.getLogger("make_synthetic_site")


def get_parser() -> argparse.ArgumentParser:
    parser = command_parser(__doc__)
    parser.add_argument("--output", type=Path, required=True, metavar="DIR")
    for field in dataclasses.fields(SiteSpec):
        parser.add_argument(
            f"--{field.name.replace('_', '-')}",
            type=whole_number(0, MAX_SEED),
            default=field.default,
            metavar="N",
            help=f"default: {field.default}",
        )
    parser.add_argument(
        "--workers", type=whole_number(0), default=2, metavar="N",
        help="processes, each of which draws a video (default: 2)",
    )  # fmt: skip
    return parser


@in_one_line
def main(arguments: list[str] | None = None) -> None:
    options = vars(get_parser().parse_args(arguments))
    output, workers = options.pop("output"), options.pop("workers")
    logging.basicConfig(level=logging.INFO, format="[site] %(message)s", stream=sys.stdout)
    make_synthetic_site(output, SiteSpec(**options), workers=workers)
    logger.info(
        "each video holds the time of its start (creation time): no --start or --time-pattern is "
        "needed; the ground truth is read by: person-search convert mot %s --ids shared",
        output / "train",
    )


if __name__ == "__main__":
    sys.exit(main())
