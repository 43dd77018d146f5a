#!/usr/bin/env python
"""Steps of training in automatic precision, and by parts of that, beside plain float32.

    python benchmark_training.py                                  prw/faster_rcnn_R50.yaml
    python benchmark_training.py --config-files F [F ...] [--opts KEY VALUE ...]

A detection step and a re-id step (n = 9 noisy copies, unless --copies says otherwise) in each of
several forms, all in turns:

    plain          float32, N, C, H, W, norms as they are: as before any of this
    auto           what SOLVER.AMP.ENABLED and MODEL.CHANNELS_LAST of None mean here
    folded         as plain, but the frozen detector's norms are folded (re-id steps alone)
    channels-last  as plain, with maps as N, H, W, C
    mixed          as plain, in mixed precision
    both           channels-last and mixed, and folded
    cached         as auto, with the frozen detector's maps given, as the loader reads them from
                   MODEL.REID.MAP_CACHE.FOLDER (re-id steps alone)

Ratios are medians over the rounds of two times of the same round; that of the sum is of a detection
step and a re-id step together. Weights are untrained, and images are noise.
"""

import argparse
import logging
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from detectron2.modeling import build_model
from tabulate import tabulate

from benchmark.machine import processor_name
from benchmark.networks import (
    FIXED_KEYS,
    NO_RATES,
    benchmark_config,
    refuse_fixed,
    training_batch,
    training_step,
)
from benchmark.timing import add_clock_argument, clock_of, median_ratio, time_in_turns
from fully_decoupled_ps.modeling.precision import (
    channels_last_in_training,
    is_emulated,
    name_of,
    training_type,
)
from fully_decoupled_ps.utils.allocator import keep_large_buffers
from fully_decoupled_ps.utils.arguments import whole_number
from fully_decoupled_ps.utils.commands import command_parser, in_one_line
from fully_decoupled_ps.utils.files import write_json

STAGES = ("detection", "reid")


class Form(NamedTuple):
    """How a step is taken; None: automatic."""

    mixed: bool | None
    channels_last: bool | None
    folds: bool = True
    cached: bool = False

    @property
    def stages(self) -> tuple[str, ...]:
        """Those in which it is no other form's step again."""
        return STAGES if self not in (FOLDED, CACHED) else STAGES[1:]


PLAIN, FOLDED = Form(False, False, folds=False), Form(False, False)
AUTO, CACHED = Form(None, None), Form(None, None, cached=True)
FORMS = {
    "plain": PLAIN,
    "auto": AUTO,
    "folded": FOLDED,
    "channels-last": Form(False, True, folds=False),
    "mixed": Form(True, False, folds=False),
    "both": Form(True, True),
    "cached": CACHED,
}
# Keys that forms and --copies set, whatever --opts say.
FIXED = (
    *FIXED_KEYS,
    *("SOLVER.AMP.ENABLED", "MODEL.CHANNELS_LAST", "MODEL.REID.BOX_NOISE.NUM_COPIES"),
    *NO_RATES[::2],
)
# Whose detection step is that of a form which has none of its own.
SAME_DETECTION = {"folded": "plain", "cached": "auto"}


class KeptMaps:
    """Keeps maps in memory, of the type in which the cache has them by default."""

    dtype = torch.float16

    def __init__(self):
        self.maps: dict[str, dict[str, torch.Tensor]] = {}

    def save(self, name: str, maps: dict[str, torch.Tensor]) -> None:
        self.maps[name] = {layer: x.cpu() for layer, x in maps.items()}


def prepare_step(config_file: str, args: argparse.Namespace, stage: str, form: Form) -> Callable:
    """A function that takes one step."""
    opts = [
        *args.opts,
        *("SOLVER.AMP.ENABLED", form.mixed, "MODEL.CHANNELS_LAST", form.channels_last),
        *("MODEL.REID.BOX_NOISE.NUM_COPIES", args.copies),
        *NO_RATES,
    ]
    cfg = benchmark_config(config_file, stage, opts)
    batch = training_batch(args.train_batch, args.train_size, args.persons)
    torch.manual_seed(0)
    model = build_model(cfg)
    if not form.folds:
        model.frozen_maps = lambda inputs: _unfolded(model, inputs)
    if form.cached:
        keeper = model.frozen_maps.keeper = KeptMaps()
        model.train()
        model.frozen_maps([{**x, "maps_name": str(i)} for i, x in enumerate(batch)])
        batch = [
            {"instances": x["instances"], "maps": keeper.maps[str(i)]} for i, x in enumerate(batch)
        ]
    return training_step(cfg, model, batch)


@torch.no_grad()
def _unfolded(model, batched_inputs: list[dict]) -> dict[str, torch.Tensor]:
    return model.feature_tap.run(model.detector.preprocess_image(batched_inputs).tensor)


def measure(config_file: str, args: argparse.Namespace) -> list[dict[str, Any]]:
    """A record for each form of one network."""
    cfg = benchmark_config(config_file, "reid", args.opts)
    device = torch.device(cfg.MODEL.DEVICE)
    # a processor without the instructions takes minutes for a step in bfloat16
    slow = {n for n, form in FORMS.items() if form.mixed and is_emulated(torch.bfloat16, device)}
    names = args.forms or [name for name in FORMS if name not in slow]
    chosen = {name: FORMS[name] for name in dict.fromkeys(("plain", *names))}
    steps = {
        (name, stage): prepare_step(config_file, args, stage, form)
        for name, form in chosen.items()
        for stage in form.stages
    }
    seconds = time_in_turns(steps, args.rounds, device, clock_of(args))
    for name, same in SAME_DETECTION.items():
        if name in chosen and (same, STAGES[0]) in seconds:
            seconds[name, STAGES[0]] = seconds[same, STAGES[0]]
    return [_record(config_file, cfg, name, form, seconds) for name, form in chosen.items()]


def _record(config_file: str, cfg, name: str, form: Form, seconds: dict) -> dict[str, Any]:
    cfg = cfg.clone()
    cfg.SOLVER.AMP.ENABLED, cfg.MODEL.CHANNELS_LAST = form.mixed, form.channels_last
    dtype = training_type(cfg)
    rounds = {stage: seconds[name, stage] for stage in STAGES if (name, stage) in seconds}
    plain = {stage: seconds["plain", stage] for stage in STAGES}
    record = {
        "model": Path(config_file).stem,
        "form": name,
        "computed in": name_of(dtype),
        "channels last": channels_last_in_training(cfg, dtype),
        "ms": {stage: 1e3 * statistics.median(values) for stage, values in rounds.items()},
        "to plain": {stage: median_ratio(v, plain[stage]) for stage, v in rounds.items()},
        "rounds": rounds,
    }
    if len(rounds) == 2:
        both, both_plain = (
            [sum(pair) for pair in zip(*(x[stage] for stage in STAGES))] for x in (rounds, plain)
        )
        record["to plain"]["sum"] = median_ratio(both, both_plain)
    return record


def table(records: list[dict[str, Any]]) -> str:
    """Of what :func:`measure` returns."""
    columns = (*STAGES, "sum")
    rows = [
        [
            r["model"],
            r["form"],
            r["computed in"],
            "N, H, W, C" if r["channels last"] else "N, C, H, W",
            *(f"{r['ms'][s]:.0f}" if s in r["ms"] else "" for s in STAGES),
            *(f"{r['to plain'][c]:.2f}" if c in r["to plain"] else "" for c in columns),
        ]
        for r in records
    ]
    headers = ["model", "form", "type", "order", *(f"{s}, ms" for s in STAGES)]
    headers += [f"{column}, to plain" for column in columns]
    return tabulate(rows, headers, tablefmt="pipe", disable_numparse=True)


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    positive, side = whole_number(1), whole_number(32)
    parser.add_argument("--config-files", nargs="+", metavar="F",
        default=["prw/faster_rcnn_R50.yaml"])  # fmt: skip
    parser.add_argument("--opts", nargs="+", default=[], metavar="KEY VALUE", help="of the configs")
    parser.add_argument("--forms", nargs="+", choices=list(FORMS), metavar="FORM",
        help="beside plain (default: all that the device has instructions for)")  # fmt: skip
    parser.add_argument("--copies", type=whole_number(0), default=9, help="n (default: 9)")
    parser.add_argument("--rounds", type=positive, default=5)
    parser.add_argument("--threads", type=positive, default=torch.get_num_threads())
    parser.add_argument("--train-size", type=side, nargs=2, default=(480, 800), metavar=("H", "W"))
    parser.add_argument("--train-batch", type=positive, default=2, help="images (default: 2)")
    parser.add_argument("--persons", type=positive, default=3, help="in every image (default: 3)")
    add_clock_argument(parser)
    parser.add_argument("--output", type=Path, help="write the figures there as JSON")
    return parser.parse_args(arguments)


@in_one_line
def main(arguments: list[str] | None = None) -> None:
    args = parse_args(arguments)
    refuse_fixed(args.opts, FIXED)
    keep_large_buffers()
    logging.disable(logging.INFO)
    torch.set_num_threads(args.threads)
    records = []
    for config_file in args.config_files:
        records += measure(config_file, args)
    print(table(records))
    if args.output:
        facts = {"processor": processor_name(), "threads": args.threads, "torch": torch.__version__}
        write_json(args.output, {"environment": facts, "records": records})


if __name__ == "__main__":
    sys.exit(main())
