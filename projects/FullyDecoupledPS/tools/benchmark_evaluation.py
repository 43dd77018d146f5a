#!/usr/bin/env python
"""Time the evaluation on made-up predictions of PRW's and CUHK-SYSU's size.

    python benchmark_evaluation.py --output output/benchmark_evaluation.json

Frames, persons, boxes, queries and galleries are as many as in the data sets; features are random,
those of one person alike, so that right and wrong detections mix as they do in real results. A seed
fixes them. Timed is everything from a model's outputs to the metrics; reading the data set's files
is not. The plain-loop definition of the metrics (benchmark/plain_loops.py) is timed in the
same run on some of the queries, and its time for all of them is in proportion.
"""

import argparse
import logging
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from tabulate import tabulate

from benchmark import plain_loops
from benchmark.machine import processor_name, resident_mebibytes
from benchmark.timing import timed
from fully_decoupled_ps.evaluation import PersonSearchEvaluator
from fully_decoupled_ps.evaluation.predictions import collect_predictions
from fully_decoupled_ps.utils.arguments import MAX_SEED, whole_number
from fully_decoupled_ps.utils.commands import command_parser, in_one_line
from fully_decoupled_ps.utils.files import write_json

CLEAR_REFS = Path("/proc/self/clear_refs")


class Size(NamedTuple):
    """How much of everything."""

    frames: int
    boxes: int
    labelled: int
    persons: int
    queries: int
    detections: int
    cameras: int  # 0: none


PRW = Size(6112, 25062, 19127, 450, 2057, 40000, 6)
CUHK_SYSU = Size(6978, 40871, 8345, 2900, 2900, 42000, 0)


class Case(NamedTuple):
    """What is evaluated, and within how many seconds and MiB it is wanted on two cores."""

    name: str
    size: Size
    dim: int
    protocols: list[str]
    seconds: float
    mebibytes: float | None = None


CASES = [
    Case("PRW, full gallery, 2048-d", PRW, 2048, ["full"], 2.5, 1024),
    Case("PRW, full and multi-view, 2048-d", PRW, 2048, ["full", "multi_view"], 4.0),
    Case("PRW, full and multi-view, 256-d", PRW, 256, ["full", "multi_view"], 1.5),
    Case("CUHK-SYSU, gallery 100, 2048-d", CUHK_SYSU, 2048, ["gallery_100"], 1.5),
    Case("CUHK-SYSU, gallery 4000, 2048-d", CUHK_SYSU, 2048, ["gallery_4000"], 15.0),
]


def make_dicts(size: Size, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Dataset dicts; a person is at most once in a frame, and every person in two or more."""
    frame_of = np.concatenate([np.arange(size.frames), rng.integers(0, size.frames, size.boxes)])
    frame_of = frame_of[: size.boxes]
    person_of = np.full(size.boxes, -1)
    labelled = rng.permutation(size.boxes)[: size.labelled]
    person_of[labelled] = np.arange(size.labelled) % size.persons
    x0, y0 = rng.uniform(0, 1600, size.boxes), rng.uniform(0, 700, size.boxes)
    h = rng.uniform(60, 380, size.boxes)
    boxes = np.stack([x0, y0, x0 + 0.4 * h, y0 + h], axis=1).round()
    dicts = [
        {"file_name": f"{i}.jpg", "image_id": f"frame_{i:05d}.jpg", "height": 1080, "width": 1920}
        for i in range(size.frames)
    ]
    seen = [set() for _ in dicts]
    for i, d in enumerate(dicts):
        d["annotations"] = []
        if size.cameras:
            d["camera_id"] = i * size.cameras // size.frames + 1
    for frame, person, box in zip(frame_of.tolist(), person_of.tolist(), boxes.tolist()):
        person = -1 if person in seen[frame] else person
        seen[frame].add(person)
        dicts[frame]["annotations"].append({"bbox": box, "bbox_mode": 0, "person_id": person})
    return dicts


def make_queries(dicts: list[dict], size: Size, rng: np.random.Generator) -> list[dict]:
    """Boxes of labelled persons, each person at least once; the frames get their "queries"."""
    labelled = [(d, a) for d in dicts for a in d["annotations"] if a["person_id"] >= 0]
    order = rng.permutation(len(labelled))
    first = {labelled[i][1]["person_id"]: i for i in order}
    chosen = list(first.values())
    more = set(order.tolist()) - set(chosen)
    chosen = (chosen + sorted(more))[: size.queries]
    queries = []
    for d, a in (labelled[i] for i in chosen):
        d.setdefault("queries", []).append(a["bbox"])
        queries.append({"image_id": d["image_id"], "bbox": a["bbox"], "person_id": a["person_id"]})
    return queries


def make_protocols(dicts, queries, names, rng) -> dict[str, list[dict[str, Any]]]:
    """Galleries by name: "full", "multi_view", or "gallery_<frames>" with a list a query."""
    images = [d["image_id"] for d in dicts]
    frames_of: dict[int, list[str]] = {}
    for d in dicts:
        for a in d["annotations"]:
            frames_of.setdefault(a["person_id"], []).append(d["image_id"])
    camera = {d["image_id"]: d.get("camera_id") for d in dicts}
    others = {c: [i for i in images if camera[i] != c] for c in set(camera.values())}

    def listed(query: dict[str, Any], count: int) -> list[str]:
        right = [i for i in frames_of[query["person_id"]] if i != query["image_id"]][:count]
        wrong = [images[i] for i in rng.choice(len(images), count, replace=False)]
        return list(dict.fromkeys(right + wrong))[:count]

    galleries = {
        "full": lambda query: None,
        "multi_view": lambda query: others[camera[query["image_id"]]],
    }
    protocols = {}
    for name in names:
        if name in galleries:
            chosen = [galleries[name](query) for query in queries]
        else:
            chosen = [listed(query, int(name.split("_")[1])) for query in queries]
        protocols[name] = [{**q, "gallery": gallery} for q, gallery in zip(queries, chosen)]
    return protocols


def make_records(
    dicts: list[dict], size: Size, dim: int, rng: np.random.Generator
) -> list[dict[str, Any]]:
    """A model's outputs: most persons found, somewhat shifted; the rest lies anywhere."""
    people = rng.standard_normal((size.persons, dim), dtype=np.float32)

    def features(person_ids: np.ndarray) -> np.ndarray:
        """Of one person, some alike and others hardly so."""
        values = rng.standard_normal((len(person_ids), dim), dtype=np.float32)
        alike = (rng.uniform(0, 8 / dim**0.5, len(person_ids)) * (person_ids >= 0))[:, None]
        values += alike.astype(np.float32) * people[person_ids]
        return values / np.linalg.norm(values, axis=1, keepdims=True)

    extra = rng.multinomial(size.detections - size.boxes, np.full(size.frames, 1 / size.frames))
    records = []
    for d, anywhere in zip(dicts, extra):
        boxes = np.array([a["bbox"] for a in d["annotations"]]).reshape(-1, 4)
        persons = np.array([a["person_id"] for a in d["annotations"]], dtype=np.int64)
        boxes = boxes + rng.normal(0, 5, boxes.shape)
        corner = rng.uniform(0, 700, (anywhere, 2))
        boxes = np.concatenate([boxes, np.hstack([corner, corner + [80, 200]])])
        persons = np.concatenate([persons, np.full(anywhere, -1)])
        queries = np.array(d.get("queries", []), dtype=np.float32).reshape(-1, 4)
        ids = {tuple(a["bbox"]): a["person_id"] for a in d["annotations"]}
        asked = np.array([ids[tuple(q)] for q in d.get("queries", [])], dtype=np.int64)
        records.append(
            {
                "image_id": d["image_id"],
                "boxes": boxes.astype(np.float32),
                "scores": rng.uniform(0.5, 1, len(boxes)).astype(np.float32),
                "features": features(persons),
                "query_boxes": queries,
                "query_features": features(asked),
            }
        )
    return records


def time_product(name: str, records: list[dict], repeat: int) -> dict[str, Any]:
    """Best of ``repeat`` runs from records to metrics, and the memory that the first one took."""
    evaluator = PersonSearchEvaluator(name, distributed=False)
    seconds, results = [], None
    before = reset_peak_mebibytes()
    for run in range(repeat):
        collecting, predictions = timed(
            collect_predictions, records, evaluator.dataset.image_ids, name
        )
        scoring, results = timed(evaluator.evaluate_predictions, predictions)
        seconds.append(collecting + scoring)
        if run == 0:
            # The flat copy of the predictions is theirs, what is above it is the evaluation's.
            features = predictions.detections.features.nbytes / 2**20
            memory = resident_mebibytes(peak=True) - before - features
    return {"seconds": min(seconds), "mebibytes": memory, "results": results}


def time_reference(name: str, records: list[dict], queries: int) -> float:
    """Seconds that the plain loops would take for all queries and the detection metrics."""
    frames, feature_of = [], {}
    for d, r in zip(DatasetCatalog.get(name), records):
        frames.append(
            {
                "image_id": d["image_id"],
                "query_only": False,
                "gts": [(a["bbox"], a["person_id"]) for a in d["annotations"]],
                "dets": list(zip(r["boxes"].tolist(), r["scores"], r["features"])),
            }
        )
        for box, feature in zip(d.get("queries", []), r["query_features"]):
            feature_of[d["image_id"], tuple(box)] = feature
    total, _ = timed(plain_loops.detection, frames)
    for protocol in MetadataCatalog.get(name).protocols_fn().values():
        some = protocol[:: max(1, len(protocol) // queries)]
        for q in some:
            q = {**q, "feature": feature_of[q["image_id"], tuple(q["bbox"])]}
            for cws in (False, True):
                seconds, _ = timed(plain_loops.search_query, frames, q, cws)
                total += seconds * len(protocol) / len(some)
    return total


def reset_peak_mebibytes() -> float:
    """What the process holds now; its peak counts from here. Linux only, else NaN."""
    if CLEAR_REFS.exists():
        CLEAR_REFS.write_text("5")
    return resident_mebibytes()


def run_case(case: Case, args: argparse.Namespace) -> dict[str, Any]:
    rng = np.random.default_rng(args.seed)
    dicts = make_dicts(case.size, rng)
    protocols = make_protocols(dicts, make_queries(dicts, case.size, rng), case.protocols, rng)
    records = make_records(dicts, case.size, case.dim, rng)
    name = f"benchmark_{case.name}"
    DatasetCatalog.register(name, lambda: dicts)
    MetadataCatalog.get(name).set(protocols_fn=lambda: protocols)
    row = {"case": case.name, **time_product(name, records, args.repeat)}
    row["wanted_seconds"], row["wanted_mebibytes"] = case.seconds, case.mebibytes
    if args.reference_queries:
        row["reference_seconds"] = time_reference(name, records, args.reference_queries)
        row["ratio"] = row["reference_seconds"] / row["seconds"]
    return row


@in_one_line
def main() -> None:
    parser = command_parser(__doc__)
    parser.add_argument("--output", type=Path, help="write the figures there as JSON")
    parser.add_argument("--case", default="", help="only cases whose name holds this")
    parser.add_argument(
        "--repeat", type=whole_number(1), default=5, help="take the best of so many runs"
    )
    parser.add_argument(
        "--reference-queries",
        type=whole_number(0),
        default=10,
        help="queries for the plain loops; 0: none",
    )
    parser.add_argument("--threads", type=whole_number(1), default=2)
    parser.add_argument("--seed", type=whole_number(0, MAX_SEED), default=0)
    args = parser.parse_args()
    logging.disable(logging.INFO)
    torch.set_num_threads(args.threads)
    rows = []
    for case in CASES:
        if args.case in case.name:
            rows.append(run_case(case, args))
            print(f"{case.name}: {rows[-1]['seconds']:.2f} s", file=sys.stderr)
    keys = ["case", "seconds", "wanted_seconds", "mebibytes", "reference_seconds", "ratio"]
    table = [[row.get(key) for key in keys] for row in rows]
    print(tabulate(table, keys, tablefmt="pipe", floatfmt=".2f"))
    if args.output:
        machine = {"processor": processor_name(), "threads": args.threads}
        write_json(args.output, {"seed": args.seed, **machine, "cases": rows})


if __name__ == "__main__":
    sys.exit(main())
