"""Time, size and memory of the networks, at inference and in training, beside their detector alone.

    python benchmark.py inference                      the six models of the paper's Table IX
    python benchmark.py inference --autocast auto      also in reduced precision
    python benchmark.py training                       a step of each stage, and the data loader
    python benchmark.py inference --config-files prw/two_step_R50.yaml   beside both of its parts
    python benchmark.py compare --config-files F [F ...]   beside the first and its plain detector
    python benchmark.py inference --config-files F [F ...] [--opts KEY VALUE ...]
    python benchmark.py compare --config-files F --peer FILE.py   beside another project's network

Weights are untrained, images are noise, and the number of people is an option, so that runs
compare. What is compared is run in turns, and a ratio is the median over the rounds of two times of
the same round. Multiply-adds are of convolutions and matrix products. What --peer's file defines is
in BENCHMARKS.md, "Other projects' networks".
"""

import argparse
import copy
import logging
import platform
import statistics
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torchvision
from detectron2.modeling import META_ARCH_REGISTRY, build_model

from benchmark.comparison import compare_networks
from benchmark.inference import measure_inference
from benchmark.loader import loader_images_per_second
from benchmark.machine import peak_mebibytes, processor_name
from benchmark.networks import (
    FIXED_KEYS,
    NO_RATES,
    PROPOSALS,
    benchmark_config,
    refuse_fixed,
    training_batch,
    training_step,
)
from benchmark.peers import build_peers
from benchmark.tables import (
    comparison_table,
    inference_table,
    parts_table,
    training_table,
    two_step_table,
)
from benchmark.timing import add_clock_argument, median_ratio, time_in_turns
from fully_decoupled_ps.errors import UserError
from fully_decoupled_ps.modeling.activation_checkpointing import STAGES
from fully_decoupled_ps.utils.allocator import keep_large_buffers
from fully_decoupled_ps.utils.arguments import whole_number
from fully_decoupled_ps.utils.commands import command_parser, in_one_line
from fully_decoupled_ps.utils.files import write_json

CONFIGS = Path(__file__).resolve().parents[2] / "configs" / "prw"
MODELS = [f"{d}_R{depth}" for d in ("faster_rcnn", "retinanet", "fcos") for depth in (50, 34)]
CHECKPOINTING = "MODEL.REID.SIDE_NET.CHECKPOINTING"
ORD = ("MODEL.REID.ORD.ENABLED", True)
ONE, NINE = ("MODEL.REID.BOX_NOISE.NUM_COPIES", 1), ("MODEL.REID.BOX_NOISE.NUM_COPIES", 9)
# The stage that a step of training is of, and what the config says for it.
STEPS = {
    "detection": ("detection", ()),
    "reid, n = 1": ("reid", ONE),
    "reid, n = 1, res3 again": ("reid", (*ONE, CHECKPOINTING, ("res3",))),
    "reid, n = 1, all again": ("reid", (*ONE, CHECKPOINTING, STAGES)),
    "reid, n = 1, ORD": ("reid", (*ONE, *ORD)),
    "reid, n = 9": ("reid", NINE),
    "reid, n = 9, all again": ("reid", (*NINE, CHECKPOINTING, STAGES)),
    "reid, n = 9, ORD": ("reid", (*NINE, *ORD)),
    "joint": ("joint", ()),
    "detached": ("detached", ()),
    "hybrid": ("hybrid", ()),
}

# What each measurement reads, beside what all do.
OPTIONS = {
    "inference": (
        "no_memory",
        "size",
        "frame",
        "batch_sizes",
        "detections",
        "proposals",
        "autocast",
    ),
    "compare": ("size", "frame", "detections", "proposals", "processor_time", "plain"),
    "training": ("no_memory", "train_size", "train_batch", "persons", "stages", "workers"),
}
# Keys that each sets itself, whatever --opts say.
FIXED = {
    "inference": (*FIXED_KEYS, "TEST.AUTOCAST"),
    "compare": FIXED_KEYS,
    "training": (*FIXED_KEYS, *NO_RATES[::2]),
}


def measure_training(config_file: str, args: argparse.Namespace) -> list[dict[str, Any]]:
    """A record for each kind of step of one network."""
    cfg = benchmark_config(config_file, "reid", args.opts)
    can_distill = META_ARCH_REGISTRY.get(cfg.MODEL.META_ARCHITECTURE).can_distill
    prepare = {
        name: partial(_prepare_step, config_file, args, stage, opts)
        for name, (stage, opts) in STEPS.items()
        if stage in ("detection", *args.stages) and (can_distill or ORD[0] not in opts)
    }
    device = torch.device(cfg.MODEL.DEVICE)
    peers = build_peers(args.peer, args.train_size, device, training=True)
    batch = training_batch(args.train_batch, args.train_size, args.persons)
    cases = {x: x.run for x in peers}
    fresh = {x: partial(copy.deepcopy, batch) for x in peers}
    cases.update((name, run()) for name, run in prepare.items())
    seconds = time_in_turns(cases, args.rounds, device, fresh=fresh)
    records = []
    for name in (*prepare, *peers):
        records.append(
            {
                "model": Path(config_file).stem,
                "step": f"peer {name.name}" if name in peers else name,
                "ms": 1e3 * statistics.median(seconds[name]),
                "images/s": args.train_batch / statistics.median(seconds[name]),
                "ratio": median_ratio(seconds[name], seconds["detection"]),
                "rounds": seconds[name],
            }
        )
        if not args.no_memory and name in prepare:
            records[-1]["peak MiB"] = peak_mebibytes(prepare[name], device)
            records[-1]["memory ratio"] = records[-1]["peak MiB"] / records[0]["peak MiB"]
    return records


def _prepare_step(config_file: str, args: argparse.Namespace, stage: str, opts: tuple):
    opts = [*args.opts, *opts, *NO_RATES]
    cfg = benchmark_config(config_file, stage, opts)
    batch = training_batch(args.train_batch, args.train_size, args.persons)
    torch.manual_seed(0)
    return training_step(cfg, build_model(cfg), batch)


def environment(args: argparse.Namespace) -> dict[str, Any]:
    """What the figures were measured on."""
    has_cuda = torch.cuda.is_available()
    return {
        "command": " ".join(["python", "tools/benchmark.py", *sys.argv[1:]]),
        "processor": processor_name(),
        "GPU": torch.cuda.get_device_name() if has_cuda else "none",
        "threads": torch.get_num_threads(),
        "versions": f"Python {platform.python_version()}, PyTorch {torch.__version__}, "
        f"torchvision {torchvision.__version__}",
        "time": time.strftime("%Y-%m-%d"),
        **{k: v for k, v in vars(args).items() if k not in ("output", "peer")},
        "peers": list(map(str, args.peer)),
    }


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """
    Raises:
        UserError: an option is given that has no effect on what is measured.
    """
    parser = command_parser(__doc__)
    positive, side = whole_number(1), whole_number(32)
    parser.add_argument("what", choices=("inference", "compare", "training"))
    parser.add_argument("--config-files", nargs="+", metavar="F", help="instead of the six models")
    parser.add_argument("--opts", nargs="+", default=[], metavar="KEY VALUE", help="of the configs")
    parser.add_argument("--peer", type=Path, nargs="+", action="extend", default=[],
        metavar="FILE.py", help="build networks of other projects; see BENCHMARKS.md")  # fmt: skip
    parser.add_argument("--rounds", type=positive, default=5)
    parser.add_argument("--threads", type=positive, default=torch.get_num_threads())
    parser.add_argument("--no-memory", action="store_true", help="no peak memory")
    parser.add_argument("--output", type=Path, help="write the figures there as JSON")
    group = parser.add_argument_group("inference")
    group.add_argument("--size", type=side, nargs=2, default=(900, 1500), metavar=("H", "W"))
    group.add_argument("--frame", type=side, nargs=2, default=(1080, 1920), metavar=("H", "W"),
        help="of the picture that a two-step network cuts crops from")  # fmt: skip
    group.add_argument("--batch-sizes", type=positive, nargs="+", default=[1, 8])
    group.add_argument(
        "--detections", type=positive, default=10, help="in every image (default: 10)"
    )
    group.add_argument("--proposals", type=positive, default=PROPOSALS,
        help="of an image that a head with PROPOSALS_AT_A_TIME looks at, rounded up "
        f"(default: {PROPOSALS})")  # fmt: skip
    group.add_argument(
        "--autocast", nargs="+", default=[], metavar="TYPE", help="as TEST.AUTOCAST, beside float32"
    )
    add_clock_argument(group)
    group.add_argument("--plain", nargs="+", default=[], metavar="KEY VALUE",
        help="compare: what is else in the config of the first's detector, which is run alone, in "
        "float32, as Detectron2 does")  # fmt: skip
    group = parser.add_argument_group("training")
    group.add_argument("--train-size", type=side, nargs=2, default=(480, 800), metavar=("H", "W"))
    group.add_argument("--train-batch", type=positive, default=2, help="images (default: 2)")
    group.add_argument("--persons", type=positive, default=3, help="in every image (default: 3)")
    with_reid = ("reid", "joint", "detached", "hybrid")
    group.add_argument("--stages", nargs="+", default=["reid"], choices=with_reid)
    group.add_argument(
        "--workers", type=whole_number(0), default=2, help="of the loader; 0: no loader"
    )
    args = parser.parse_args(arguments)
    # what isn't given stays None, since argparse sets no default over what is there
    given = parser.parse_args(arguments, argparse.Namespace(**dict.fromkeys(vars(args))))
    for name in (name for name, value in vars(given).items() if value is not None):
        modes = [mode for mode, read in OPTIONS.items() if name in read]
        if modes and args.what not in modes:
            raise UserError(
                f"--{name.replace('_', '-')} is of {' and '.join(modes)} alone; leave it out of "
                f"{args.what}"
            )
    return args


def _check_opts(args: argparse.Namespace) -> None:
    """Refuse keys that are given in vain."""
    fixed = FIXED[args.what]
    if args.what == "training":
        steps = [set(opts[::2]) for stage, opts in STEPS.values() if stage in args.stages]
        fixed += tuple(set.intersection(*steps))
    refuse_fixed(args.opts, fixed)
    refuse_fixed(args.plain, (*FIXED_KEYS, "TEST.AUTOCAST"), "--plain")  # it is run in float32


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure and print as it goes; returns what is written to ``--output``."""
    result: dict[str, Any] = {"environment": environment(args), "records": []}
    records = result["records"]
    if args.what == "compare":
        records += compare_networks(args.config_files, args)
        print(comparison_table(records))
        return result
    for config_file in args.config_files or [str(CONFIGS / f"{m}.yaml") for m in MODELS]:
        measure = measure_inference if args.what == "inference" else measure_training
        records += measure(config_file, args)
        print(f"{Path(config_file).stem}: done", file=sys.stderr, flush=True)
    if args.what == "inference":
        print(inference_table(records), parts_table(records), sep="\n\n")
        if two_step := [r for r in records if "crops ms" in r]:
            print("", two_step_table(two_step), sep="\n")
        return result
    print(training_table(records))
    if args.workers:
        rate = loader_images_per_second(args.train_batch, args.train_size, args.workers)
        result["loader images/s"] = rate
        print(f"\nThe data loader gives {rate:.1f} images/s with {args.workers} processes.")
    return result


@in_one_line
def main(arguments: list[str] | None = None) -> None:
    args = parse_args(arguments)
    if args.what == "compare" and not args.config_files:
        raise UserError("compare: name one network or more with --config-files")
    _check_opts(args)
    keep_large_buffers()
    logging.disable(logging.INFO)
    torch.set_num_threads(args.threads)
    result = run(args)
    if args.output:
        write_json(args.output, result)
