"""Several networks at inference, run in turns, so that a busy machine is fair to all of them."""

import argparse
import statistics
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmark.networks import (
    benchmark_config,
    build_for_inference,
    inference_inputs,
    run_detector,
    run_whole,
    sizes_of,
)
from benchmark.peers import build_peers
from benchmark.timing import median_ratio, time_in_turns


def compare_networks(config_files: list[str], args: argparse.Namespace) -> list[dict[str, Any]]:
    """A record for each network, in float32 and with one image a batch; ratios are to the first.

    Those of ``args.peer`` come last, without a detector of their own to be told apart.

    Raises:
        UserError: as :func:`benchmark_config` and :func:`build_peers`.
    """
    configs = {f: benchmark_config(f, "reid", args.opts) for f in config_files}
    device = torch.device(configs[config_files[0]].MODEL.DEVICE)
    peers = build_peers(args.peer, args.size, device)
    cases, sizes = {}, {}
    for file, cfg in configs.items():
        model = build_for_inference(cfg, args.detections)
        inputs = inference_inputs(model, 1, args.size, args.frame)
        sizes[file] = sizes_of(model, inputs)
        cases[file, "detector"] = partial(run_detector, model, inputs)
        cases[file, "whole"] = partial(run_whole, model, inputs)
    # the same images for all, and to a two-step network its pictures besides
    cases.update(((peer, "whole"), partial(peer.run, inputs)) for peer in peers)
    clock = time.process_time if args.processor_time else time.perf_counter
    seconds = time_in_turns(cases, args.rounds, device, clock)
    first = config_files[0]
    records = [
        {
            "model": Path(file).stem,
            **sizes[file],
            "detector ms": 1e3 * statistics.median(seconds[file, "detector"]),
            "ms": 1e3 * statistics.median(seconds[file, "whole"]),
            "detector to first": median_ratio(
                seconds[file, "detector"], seconds[first, "detector"]
            ),
            "to first": median_ratio(seconds[file, "whole"], seconds[first, "whole"]),
            "rounds": {part: seconds[file, part] for part in ("detector", "whole")},
        }
        for file in config_files
    ]
    for peer in peers:
        whole = seconds[peer, "whole"]
        times = {"ms": 1e3 * statistics.median(whole)}
        times["to first"] = median_ratio(whole, seconds[first, "whole"])
        records.append({**peer.facts(inputs), **times, "rounds": {"whole": whole}})
    return records
