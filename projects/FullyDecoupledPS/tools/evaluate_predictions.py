#!/usr/bin/env python
"""Score saved predictions again, under any protocol and without the model.

    python evaluate_predictions.py output/prw/reid/inference/prw_test/predictions.npz --cbgm 30 4

TEST.SEARCH.SAVE_PREDICTIONS True makes evaluation write such a file. Other programs can write it,
too: --help says what it holds.
"""

import argparse
import logging
import sys

import fully_decoupled_ps  # noqa: F401 (registers the built-in datasets)
from fully_decoupled_ps.data import register_person_search_json
from fully_decoupled_ps.errors import UserError
from fully_decoupled_ps.evaluation import (
    PersonSearchEvaluator,
    check_plausible,
    dataset_of_predictions,
    load_predictions,
    predictions_file,
    score_thresh_of_predictions,
)
from fully_decoupled_ps.utils.arguments import number, whole_number
from fully_decoupled_ps.utils.commands import command_parser, in_one_line


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    parser.epilog = predictions_file.__doc__
    add = parser.add_argument
    add("predictions", help="the .npz file")
    add("--dataset", metavar="NAME", help="a registered test set (default: the file's own)")
    add(
        "--json", nargs=2, metavar=("FILE", "IMAGES"), help="own data: annotations and image folder"
    )
    add(
        "--score-thresh",
        type=number(0, 1),
        nargs="+",
        help="least score of the detections that are searched, one or more (default: the file's "
        "own, else 0.5); figures of detection are over all detections in the file, whatever is "
        "said here",
    )
    add("--no-cws", action="store_true", help="leave class weighted similarity out")
    add(
        "--cbgm",
        type=whole_number(1),
        nargs=2,
        metavar=("K1", "K2"),
        help="with context matching as well",
    )
    add(
        "--gallery-sizes",
        type=whole_number(1),
        nargs="+",
        default=(),
        help="only these (default: all)",
    )
    add("--gt-boxes", action="store_true", help="with ground-truth boxes as well")
    add("--coco-ap", action="store_true", help="with COCO's detection AP as well")
    add("--breakdown", action="store_true", help="mAP by pair of cameras and by box height as well")
    add("--device", default="cpu", help="where similarities are computed (default: cpu)")
    add("--output-dir", metavar="DIR", help="write metrics, per-query results and plots there")
    return parser.parse_args(argv)


def evaluate(args: argparse.Namespace) -> None:
    name = args.dataset or dataset_of_predictions(args.predictions)
    if args.json:
        name = args.dataset or args.json[0]
        register_person_search_json(name, *args.json)
    if name is None:
        raise UserError(f"{args.predictions} names no data set; give one with --dataset or --json")
    threshs = args.score_thresh or [score_thresh_of_predictions(args.predictions)]
    evaluator = PersonSearchEvaluator(
        name,
        score_thresh=threshs[0],
        more_score_threshs=threshs[1:],
        cws=not args.no_cws,
        cbgm=args.cbgm,
        gallery_sizes=args.gallery_sizes,
        gt_boxes=args.gt_boxes,
        coco_ap=args.coco_ap,
        breakdown=args.breakdown,
        device=args.device,
        output_dir=args.output_dir,
    )
    predictions = load_predictions(args.predictions, evaluator.dataset.image_ids, name)
    check_plausible(evaluator.dataset, predictions)
    evaluator.evaluate_predictions(predictions)


@in_one_line
def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    evaluate(args)


if __name__ == "__main__":
    sys.exit(main())
