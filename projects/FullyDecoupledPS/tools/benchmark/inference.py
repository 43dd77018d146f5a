"""Detector alone and whole network at inference, in each type and batch size, in turns."""

import argparse
import copy
import statistics
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmark.machine import peak_mebibytes
from benchmark.networks import (
    benchmark_config,
    build_for_inference,
    inference_inputs,
    parts_of,
    person_boxes,
    run_detector,
    run_whole,
    sizes_of,
)
from benchmark.peers import Peer, build_peers
from benchmark.timing import Breakdown, median_ratio, time_in_turns
from fully_decoupled_ps.modeling.inference_form import prepare_for_inference
from fully_decoupled_ps.modeling.precision import autocast, choose_autocast


def measure_inference(config_file: str, args: argparse.Namespace) -> list[dict[str, Any]]:
    """A record for each batch size and precision of one network."""
    cfg = benchmark_config(config_file, "reid", args.opts)
    model = build_for_inference(cfg, args.detections, args.proposals)
    device, facts = model.device, {"model": Path(config_file).stem}
    peers = build_peers(args.peer, args.size, device)
    image = inference_inputs(model, 1, args.size, args.frame)
    facts.update(sizes_of(model, image))
    prepare_for_inference(model, cfg)
    records = []
    for batch_size in args.batch_sizes:
        inputs = inference_inputs(model, batch_size, args.size, args.frame)
        for record in _time_precisions(model, inputs, args, peers):
            records.append({**facts, "batch": batch_size, **record})
    if not args.no_memory:
        for record in records:
            prepare = partial(_prepare_inference, cfg, args, record["batch"], record["type"])
            record["peak MiB"] = peak_mebibytes(prepare, device)
    return records


def _time_precisions(model, inputs, args, peers: list[Peer]) -> list[dict[str, Any]]:
    """Detector alone and whole network, in each type, all in turns; and one breakdown of each."""
    types, cases = ["float32"], {("peer", x): x.run for x in peers}
    fresh = {case: partial(copy.deepcopy, inputs) for case in cases}
    types += [name for name in args.autocast if name != "float32"]
    for name in types:
        dtype = choose_autocast(name, model.device)
        cases[name, "detector"] = partial(run_detector, model, inputs, dtype)
        cases[name, "whole"] = partial(run_whole, model, inputs, dtype)
        if model.is_two_step:
            cases[name, "crops"] = partial(_crops, model, inputs, args.detections, dtype)
    # a batch of eight takes as long as eight rounds of one
    rounds = max(2, args.rounds // len(inputs))
    seconds = time_in_turns(cases, rounds, model.device, fresh=fresh)
    records = []
    for name in types:
        detector, whole = seconds[name, "detector"], seconds[name, "whole"]
        record = {
            "type": name,
            "computed in": str(choose_autocast(name, model.device) or torch.float32)[6:],
            "detector ms": _milliseconds(detector, inputs),
            "ms": _milliseconds(whole, inputs),
            "ratio": median_ratio(whole, detector),
            "to float32": median_ratio(whole, seconds["float32", "whole"]),
            "rounds": {"detector": detector, "whole": whole},
            "peers": [_peer_record(x, inputs, seconds["peer", x], whole) for x in peers],
        }
        if model.is_two_step:
            crops = record["rounds"]["crops"] = seconds[name, "crops"]
            record["crops ms"] = _milliseconds(crops, inputs)
            parts = [sum(both) for both in zip(detector, crops)]
            record["ratio to parts"] = median_ratio(whole, parts)
        breakdown = Breakdown(parts_of(model), model.device)
        with breakdown.measure():
            run_whole(model, inputs, choose_autocast(name, model.device))
        record["parts ms"] = {k: 1e3 * v / len(inputs) for k, v in breakdown.seconds.items()}
        records.append(record)
    return records


def _peer_record(peer: Peer, inputs, seconds: list[float], ours: list[float]) -> dict[str, Any]:
    times = {"ms": _milliseconds(seconds, inputs), "ratio": median_ratio(ours, seconds)}
    return {**peer.facts(inputs[:1]), **times, "rounds": seconds}


def _milliseconds(seconds: list[float], inputs: list) -> float:
    return 1e3 * statistics.median(seconds) / len(inputs)


@torch.inference_mode()
def _crops(model, inputs, detections: int, dtype=None):
    """The network for crops alone, on as many people as the detector reports."""
    pictures = [x["original_image"] for x in inputs]
    boxes = [person_boxes(detections, x.shape[1:]) for x in pictures]
    with autocast(model.device, dtype):
        return model.reid(pictures, boxes)


def _prepare_inference(cfg, args, batch_size: int, autocast: str):
    model = build_for_inference(cfg, args.detections, args.proposals)
    prepare_for_inference(model, cfg)
    inputs = inference_inputs(model, batch_size, args.size, args.frame)
    return partial(run_whole, model, inputs, choose_autocast(autocast, model.device))
