#!/usr/bin/env python
"""Print the floor of a benchmark: colour histograms of ground-truth boxes, nothing learned.

python evaluate_color_histogram.py --dataset synthetic_test
python evaluate_color_histogram.py --dataset prw_test --output-dir output/floor
"""

import logging
import sys

from fully_decoupled_ps.evaluation.color_histogram import evaluate_color_histogram
from fully_decoupled_ps.utils.commands import command_parser, in_one_line


@in_one_line
def main(arguments: list[str] | None = None) -> None:
    parser = command_parser(__doc__)
    parser.add_argument(
        "--dataset", required=True, metavar="NAME",
        help="a registered test set, found under $DETECTRON2_DATASETS",
    )  # fmt: skip
    parser.add_argument("--output-dir", metavar="DIR", help="write metrics and ranked lists there")
    args = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="[floor] %(message)s", stream=sys.stdout)
    evaluate_color_histogram(args.dataset, args.output_dir)


if __name__ == "__main__":
    sys.exit(main())
