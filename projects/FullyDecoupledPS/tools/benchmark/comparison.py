"""Several networks at inference, run in turns, so that a busy machine is fair to all of them."""

import argparse
import copy
import statistics
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
from benchmark.timing import clock_of, median_ratio, time_in_turns
from fully_decoupled_ps.modeling.inference_form import prepare_for_inference

# What `person-search index` computes in, and what Detectron2 does.
DEFAULT = ("TEST.AUTOCAST", "auto")
PLAIN = (
    *("TEST.AUTOCAST", "float32", "MODEL.CHANNELS_LAST", False),
    *("MODEL.DETECTOR.PROPOSALS_AT_A_TIME", 0),
)


def compare_networks(config_files: list[str], args: argparse.Namespace) -> list[dict[str, Any]]:
    """A record for each network, as it is used, with one image a batch.

    Then one of the first's plain detector: alone, as Detectron2 builds and runs it, in float32,
    with its norms, on all proposals at once; its config may differ by ``args.plain``. Those of
    ``args.peer`` come last. Times are also divided by the first network's, and by that of the plain
    detector.

    Raises:
        UserError: as :func:`benchmark_config` and :func:`build_peers`.
    """
    first = config_files[0]
    configs = {f: benchmark_config(f, "reid", [*DEFAULT, *args.opts]) for f in config_files}
    plain = benchmark_config(first, "reid", [*args.opts, *PLAIN, *args.plain])
    device = torch.device(plain.MODEL.DEVICE)
    peers = build_peers(args.peer, args.size, device)
    model = build_for_inference(plain, args.detections)
    inputs = inference_inputs(model, 1, args.size, args.frame)
    run_plain = partial(run_detector, model, inputs)
    facts = {"plain": _facts_of_plain(first, sizes_of(model, inputs))}
    cases = {("plain", "whole"): run_plain}
    for file, cfg in configs.items():
        model = build_for_inference(cfg, args.detections, args.proposals)
        dtype = model.inference_dtype
        inputs = inference_inputs(model, 1, args.size, args.frame)
        # the parameters that were trained, before norms become part of others
        facts[file] = {"model": Path(file).stem, **sizes_of(model, inputs)}
        prepare_for_inference(model, cfg)
        cases[file, "detector"] = partial(run_detector, model, inputs, dtype)
        cases[file, "whole"] = partial(run_whole, model, inputs, dtype)
    cases.update(((peer, "whole"), peer.run) for peer in peers)
    # the same images for all, and to a two-step network its pictures besides
    fresh = {(peer, "whole"): partial(copy.deepcopy, inputs) for peer in peers}
    seconds = time_in_turns(cases, args.rounds, device, clock_of(args), fresh)
    facts.update((peer, peer.facts(inputs)) for peer in peers)
    order = [*config_files, "plain", *peers]
    return [{**facts[x], **_times(x, seconds, first)} for x in order]


def _facts_of_plain(file: str, sizes: dict[str, Any]) -> dict[str, Any]:
    detector = {name: sizes[f"detector {name}"] for name in ("parameters", "multiply-adds")}
    return {"model": f"{Path(file).stem}, plain detector", **detector}


def _times(which, seconds: dict[tuple, list[float]], first: str) -> dict[str, Any]:
    """Milliseconds of one network and their ratios, and of its detector if that was run alone."""
    rounds = {part: values for (name, part), values in seconds.items() if name == which}
    times = {
        "ms": 1e3 * statistics.median(rounds["whole"]),
        "to first": median_ratio(rounds["whole"], seconds[first, "whole"]),
        "to plain detector": median_ratio(rounds["whole"], seconds["plain", "whole"]),
        "rounds": rounds,
    }
    if detector := rounds.get("detector"):
        times["detector ms"] = 1e3 * statistics.median(detector)
        times["detector to first"] = median_ratio(detector, seconds[first, "detector"])
    return times
