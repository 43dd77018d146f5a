#!/usr/bin/env python
"""Time an index of made-up persons: building it, and searching it exactly and approximately.

    python benchmark_index.py --output output/benchmark_index.json
    python benchmark_index.py --sizes 20000 --dim 256

Features are written as `person-search index` writes them. Two kinds are measured. "random" ones are
uniformly random directions, in which nobody is near anybody: the worst case of any approximate
search. Of "people" each person is seen 20 times, around a direction of its own, as in real
recordings. Queries are stored features with as much noise again as one sighting has against
another. Recall at 10 is against exact search of the same queries. The last figure is that of a
random direction as the query, which is like nobody in the index.
"""

import argparse
import logging
import sys
import tempfile
import time
from pathlib import Path

import faiss
import numpy as np
import torch
from tabulate import tabulate

from benchmark.machine import processor_name, resident_mebibytes
from benchmark.timing import timed
from fully_decoupled_ps.utils.arguments import MAX_SEED, whole_number
from fully_decoupled_ps.utils.commands import command_parser, in_one_line
from fully_decoupled_ps.utils.files import write_json
from person_search.index import IndexInfo, NewFrame, Source, open_index
from person_search.index.exact import EXACT_LIMIT
from person_search.index.ivf import exact_neighbours

SIGHTINGS = 20
# Length of the noise of one sighting, against the person's own direction of length 1.
NOISE = 0.8
BLOCK = 10_000
PERSONS_A_FRAME = 50
RECALL_AT = 10


def unit(values: np.ndarray) -> np.ndarray:
    return values / np.linalg.norm(values, axis=-1, keepdims=True)


def directions(rng: np.random.Generator, rows: int, dim: int) -> np.ndarray:
    return unit(rng.standard_normal((rows, dim), dtype=np.float32))


def feature_blocks(kind: str, size: int, dim: int, rng: np.random.Generator):
    """Yields (up to BLOCK, dim) float32 features, ``size`` in all."""
    for start in range(0, size, BLOCK):
        rows = min(BLOCK, size - start)
        block = directions(rng, rows, dim)
        if kind == "people":
            persons = rng.integers(max(size // SIGHTINGS, 1), size=rows)
            # from the person's number, so that no table of them is kept
            own = np.stack([directions(np.random.default_rng(p), 1, dim)[0] for p in persons])
            block = unit(own + NOISE * block)
        yield block


def fill(index, kind: str, size: int, args: argparse.Namespace) -> dict[str, float]:
    """Write all features, then build what searches them; seconds of both."""
    rng = np.random.default_rng(args.seed)
    writing = 0.0
    with index.writer() as writer:
        for number, block in enumerate(feature_blocks(kind, size, args.dim, rng)):
            writing += timed(_add, writer, f"/benchmark/{number}.mp4", block)[0]
        building, _ = timed(writer.optimize)
    index.refresh()
    return {"write_s": writing, "build_s": building}


def _add(writer, path: str, features: np.ndarray) -> None:
    writer.begin(Source(path, 1, 1, "{}", "camera", 0.0))
    for start in range(0, len(features), PERSONS_A_FRAME):
        some = features[start : start + PERSONS_A_FRAME]
        boxes = np.tile(np.float32([100, 100, 180, 300]), (len(some), 1))
        scores = np.full(len(some), 0.9, dtype=np.float32)
        writer.add(path, NewFrame(start, start / 25, 1920, 1080, boxes, scores, some))
    writer.finish(path)
    writer.commit()


def make_queries(features: np.ndarray, args: argparse.Namespace) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(args.seed + 1)
    rows = np.sort(rng.integers(len(features), size=args.queries))
    noise = NOISE * directions(rng, args.queries, features.shape[1])
    return {
        "similar": unit(features[rows].astype(np.float32) + noise),
        "unlike": directions(rng, args.queries, features.shape[1]),
    }


def measure(index, features: np.ndarray, args: argparse.Namespace) -> dict[str, float]:
    """Milliseconds of whole searches through the interface, and recall of similar queries."""
    row = {}
    queries = make_queries(features, args)
    # loads it
    row["first_query_s"], _ = timed(index.search, queries["similar"][0], RECALL_AT)
    times, cpu_times, rows = [], [], np.arange(len(features))
    shard = index._shards[1]
    for name, some in queries.items():
        shares = []
        # no row is its own
        truth = exact_neighbours(features, rows, some, np.full(len(some), -1))
        for query, expected in zip(some, truth):
            cpu = time.process_time()
            times.append(timed(index.search, query, RECALL_AT)[0])
            cpu_times.append(time.process_time() - cpu)
            found = shard._searcher.search(query, RECALL_AT)[0]
            shares.append(np.isin(expected, found).mean())
        row[f"recall_{name}"] = float(np.mean(shares))
    row["query_ms_median"] = 1000 * float(np.median(times))
    row["query_ms_best"] = 1000 * min(times)
    # of all threads together: tells a slow search from a busy machine
    row["query_cpu_ms"] = 1000 * float(np.median(cpu_times))
    return row


def run_case(kind: str, size: int, args: argparse.Namespace) -> dict:
    with tempfile.TemporaryDirectory(prefix="benchmark_index_", dir=args.folder) as name:
        folder = Path(name)
        info = IndexInfo(fingerprint="0" * 64, dim=args.dim, model="benchmark")
        with open_index(str(folder / "index"), create=info) as index:
            row = {"kind": kind, "persons": size, "dim": args.dim}
            row["search"] = "exact" if size <= EXACT_LIMIT else "IVF"
            row.update(fill(index, kind, size, args))
            files = [path for path in folder.rglob("*") if path.is_file()]
            row["GiB"] = sum(path.stat().st_size for path in files) / 2**30
            features = np.memmap(
                next(path for path in files if path.suffix == ".f16"),
                dtype=np.float16,
                mode="r",
                shape=(size, args.dim),
            )
            row.update(measure(index, features, args))
            row["ivf"] = index._shards[1].records.get("ivf")
            return row


@in_one_line
def main() -> None:
    parser = command_parser(__doc__)
    parser.add_argument("--sizes", type=whole_number(1), nargs="+", default=[100_000, 1_000_000])
    parser.add_argument(
        "--kinds", nargs="+", default=["random", "people"], choices=["random", "people"]
    )
    parser.add_argument("--dim", type=whole_number(1), default=2048)
    parser.add_argument("--queries", type=whole_number(1), default=50)
    parser.add_argument("--threads", type=whole_number(1), default=2)
    parser.add_argument("--seed", type=whole_number(0, MAX_SEED), default=0)
    parser.add_argument(
        "--folder", help="where the index is made, and removed again (default: the system's)"
    )
    parser.add_argument("--output", type=Path, help="write the figures there as JSON")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(args.threads)
    faiss.omp_set_num_threads(args.threads)
    rows = [run_case(kind, size, args) for size in args.sizes for kind in args.kinds]
    keys = ["kind", "persons", "search", "GiB", "write_s", "build_s", "first_query_s"]
    keys += ["query_ms_best", "query_ms_median", "query_cpu_ms", "recall_similar", "recall_unlike"]
    table = [[row[key] for key in keys] for row in rows]
    print(tabulate(table, keys, tablefmt="pipe", floatfmt=".3g"))
    if args.output:
        machine = {"processor": processor_name(), "threads": args.threads}
        machine["peak_GiB"] = resident_mebibytes(peak=True) / 2**10
        write_json(args.output, {"seed": args.seed, **machine, "cases": rows})


if __name__ == "__main__":
    sys.exit(main())
