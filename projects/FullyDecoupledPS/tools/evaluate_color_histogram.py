#!/usr/bin/env python
"""Print the floor of a benchmark: colour histograms of ground-truth boxes, nothing learned.

python evaluate_color_histogram.py --dataset synthetic_test
python evaluate_color_histogram.py --dataset prw_test --output-dir output/floor
"""

import argparse
import logging
import sys

from fully_decoupled_ps.errors import UserError
from fully_decoupled_ps.evaluation.color_histogram import evaluate_color_histogram


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--dataset", required=True, metavar="NAME",
        help="a registered test set, found under $DETECTRON2_DATASETS",
    )  # fmt: skip
    parser.add_argument("--output-dir", metavar="DIR", help="write metrics and ranked lists there")
    args = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="[floor] %(message)s", stream=sys.stdout)
    try:
        evaluate_color_histogram(args.dataset, args.output_dir)
    except UserError as error:
        print(f"evaluate_color_histogram: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
