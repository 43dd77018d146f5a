#!/usr/bin/env python
"""How many proposals a trained Faster R-CNN needs at test: AP, recall and time over their number.

    python benchmark_proposals.py --config-file F [--numbers N ...] [--at-a-time N ...]

The detector is that of the config's last checkpoint of stage detection, or of MODEL.WEIGHTS, which
may be of any stage; frames and persons are DATASETS.TEST's first set. Every frame goes through the
detector once for each number of proposals, all at once, and once for each number at a time
(MODEL.DETECTOR.PROPOSALS_AT_A_TIME) of the largest one, in turns; f_r does not run. Milliseconds
are medians over the frames, of which the first one is not counted.
"""

import argparse
import logging
import statistics
import sys
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.modeling import build_model
from tabulate import tabulate
from torch import nn
from tqdm import tqdm

from benchmark.machine import processor_name
from benchmark.timing import add_clock_argument, clock_of, wait_for
from fully_decoupled_ps import apply_stage, load_config
from fully_decoupled_ps.checkpoint import load_parts
from fully_decoupled_ps.engine.check_config import check_config
from fully_decoupled_ps.engine.trainer import Trainer
from fully_decoupled_ps.errors import UserError
from fully_decoupled_ps.evaluation import PersonSearchEvaluator
from fully_decoupled_ps.modeling import PersonRes5ROIHeads as Heads
from fully_decoupled_ps.modeling.inference_form import prepare_for_inference
from fully_decoupled_ps.utils.allocator import keep_large_buffers
from fully_decoupled_ps.utils.arguments import whole_number
from fully_decoupled_ps.utils.commands import command_parser, in_one_line
from fully_decoupled_ps.utils.files import write_json

NUMBERS = (20, 50, 75, 100, 150, 200, 300)
AT_A_TIME = (25, 50, 75, 100)
# Points of AP and of recall that fewer proposals may cost.
TOLERANCE = 0.3


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    add, positive = parser.add_argument, whole_number(1)
    add("--config-file", required=True, metavar="F", help="the config that it was trained with")
    add("--numbers", type=positive, nargs="+", default=NUMBERS, metavar="N",
        help=f"of proposals after NMS (default: {' '.join(map(str, NUMBERS))})")  # fmt: skip
    add("--at-a-time", type=positive, nargs="*", default=AT_A_TIME, metavar="N",
        help="of the largest number, of heads that can "
        f"(default: {' '.join(map(str, AT_A_TIME))})")  # fmt: skip
    add("--threads", type=positive, default=torch.get_num_threads())
    add_clock_argument(parser)
    add("--output", type=Path, metavar="FILE", help="write the figures there as JSON")
    add("--opts", nargs="+", default=[], metavar="KEY VALUE", help="config options")
    return parser.parse_args(argv)


def load(args: argparse.Namespace) -> tuple[CfgNode, nn.Module]:
    """The config, and the network without f_r.

    Raises:
        UserError: as :func:`check_config`; if the detector has no proposals.
    """
    cfg = load_config(args.config_file, args.opts)
    apply_stage(cfg, args.opts, eval_only=True)
    cfg.TEST.SEARCH.GT_BOXES_ONLY = False  # else no detections are made
    check_config(cfg, eval_only=True)
    cfg.freeze()
    model = build_model(cfg)
    if not hasattr(getattr(model.detector, "proposal_generator", None), "post_nms_topk"):
        raise UserError(
            f"--config-file {args.config_file}: {cfg.MODEL.DETECTOR.NAME} makes no proposals; name "
            "one with GeneralizedRCNN"
        )
    load_parts(model, cfg)
    prepare_for_inference(model, cfg)
    model.reid = None
    return cfg, model


def cases(model: nn.Module, args: argparse.Namespace) -> list[tuple[int, int]]:
    """(number of proposals, how many at a time), 0 at a time for all at once."""
    numbers = sorted(set(args.numbers))
    steps = sorted(set(args.at_a_time)) if isinstance(model.detector.roi_heads, Heads) else []
    return [(n, 0) for n in numbers] + [(numbers[-1], n) for n in steps if n < numbers[-1]]


def measure(cfg: CfgNode, model: nn.Module, cases: list[tuple[int, int]], clock) -> list[dict]:
    """A record for each of the cases."""
    dataset = cfg.DATASETS.TEST[0]
    evaluators = {case: PersonSearchEvaluator(dataset, distributed=False) for case in cases}
    seconds: dict[tuple, list[float]] = {case: [] for case in cases}
    looked_at: dict[tuple, list[int]] = {case: [] for case in cases}
    generator, heads = model.detector.proposal_generator, model.detector.roi_heads
    number_seen = 0

    def count_proposed(module, inputs, outputs):
        nonlocal number_seen
        number_seen += sum(map(len, outputs[0]))

    def count_looked_at(module, inputs):
        nonlocal number_seen
        number_seen += len(inputs[0])

    if isinstance(heads, Heads):
        heads.box_predictor.register_forward_pre_hook(count_looked_at)
    else:
        generator.register_forward_hook(count_proposed)
    with torch.inference_mode():
        for inputs in tqdm(Trainer.build_test_loader(cfg, dataset), unit="batch"):
            for case, evaluator in evaluators.items():
                generator.post_nms_topk[False], heads.proposals_at_a_time = case
                number_seen = 0
                wait_for(model.device)
                start = clock()
                outputs = model(inputs)
                wait_for(model.device)
                seconds[case].append((clock() - start) / len(inputs))
                looked_at[case].append(number_seen / len(inputs))
                evaluator.process(inputs, outputs)
    return [
        {
            "proposals": case[0],
            "at a time": case[1],
            "looked at": statistics.mean(looked_at[case]),
            **evaluator.evaluate()["detection"],
            "ms": 1e3 * statistics.median(seconds[case][1:] or seconds[case]),
        }
        for case, evaluator in evaluators.items()
    ]


def least_that_suffices(records: list[dict[str, Any]], tolerance: float = TOLERANCE) -> dict:
    """Of those whose AP and recall are within some points of those of all the proposals at once,
    the record with the fewest that were looked at.

    Raises:
        UserError: if the most find nobody, so that fewer can't be worse.
    """
    most = _most(records)
    if not most["AP"] > 0:
        raise UserError(
            f"with {most['proposals']} proposals the detector's AP is 0, so no number suffices; "
            "name a trained one with MODEL.WEIGHTS, or more --numbers"
        )
    enough = [
        r for r in records if all(r[key] >= most[key] - tolerance for key in ("AP", "recall"))
    ]
    return min(enough, key=lambda r: r["looked at"])


def _most(records: list[dict[str, Any]]) -> dict:
    return max(records, key=lambda r: (r["proposals"], not r["at a time"]))


def _name(record: dict[str, Any]) -> str:
    step = record["at a time"]
    return f"{record['proposals']}" + (f", {step} at a time" if step else "")


def table(records: list[dict[str, Any]]) -> str:
    most = _most(records)
    rows = [
        [_name(r), f"{r['looked at']:.0f}", f"{r['AP']:.2f}", f"{r['recall']:.2f}"]
        + [f"{r['ms']:.1f}", f"{r['ms'] / most['ms']:.2f}"]
        for r in records
    ]
    headers = ["proposals", "looked at", "AP", "recall", "detector, ms/image", f"to {_name(most)}"]
    return tabulate(rows, headers, tablefmt="pipe", disable_numparse=True)


@in_one_line
def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    keep_large_buffers()
    logging.disable(logging.INFO)
    torch.set_num_threads(args.threads)
    cfg, model = load(args)
    records = measure(cfg, model, cases(model, args), clock_of(args))
    least = least_that_suffices(records)
    print(table(records))
    print(f"\nThe fewest within {TOLERANCE} points of AP and recall: {_name(least)}.")
    if args.output:
        facts = {
            "processor": processor_name(),
            "threads": args.threads,
            "set": cfg.DATASETS.TEST[0],
        }
        write_json(args.output, {**facts, "weights": cfg.MODEL.WEIGHTS, "records": records})


if __name__ == "__main__":
    sys.exit(main())
