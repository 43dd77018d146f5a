"""What tools/ablation.py makes of its runs: tables of means, of differences, and a picture."""

import os
import platform
import statistics
import sys
from itertools import product
from pathlib import Path

import torch
from tabulate import tabulate

from fully_decoupled_ps.evaluation.plots import plot_spreads
from fully_decoupled_ps.utils.files import replace_file, write_json

from .variants import BASE, DETECTORS, STARTS, TITLED, VARIANTS

METRICS = {
    "detection AP": ("detection", "AP"),
    "mAP": ("search", "mAP"),
    "top-1": ("search", "top1"),
}
# What f_r starts from in each of the tables' variants that compare side-fusion with none.
FUSIONS = {BASE: "both random", **{name: title for name, (title, *_) in STARTS.items()}}
NO_FUSION = {name: "no_fusion" if name == BASE else f"{name}_no_fusion" for name in FUSIONS}


def mean_and_spread(values: list[float]) -> tuple[float, float]:
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else 0.0


def by_variant(results: list[dict]) -> dict[tuple[str, str], dict[int, dict]]:
    """(detector, variant) -> seed -> run."""
    found: dict[tuple[str, str], dict[int, dict]] = {}
    for run in results:
        found.setdefault((run["detector"], run["variant"]), {})[run["seed"]] = run
    return found


def values_of(runs: dict[int, dict], metric: str) -> dict[int, float]:
    """seed -> percent"""
    task, key = METRICS[metric]
    return {seed: run["metrics"][task][key] for seed, run in runs.items()}


def differences(ours: dict[int, float], theirs: dict[int, float]) -> list[float]:
    """Of each seed that both have."""
    return [ours[seed] - theirs[seed] for seed in sorted(ours.keys() & theirs.keys())]


def summarise(results: list[dict]) -> list[dict]:
    """Mean and standard deviation over the seeds: a dict for each detector and titled variant."""
    found = by_variant(results)
    rows = []
    for detector, name in product(DETECTORS, TITLED):
        runs, base = found.get((detector, name)), VARIANTS[name].base
        if not runs:
            continue
        row = {"detector": DETECTORS[detector], "training": VARIANTS[name].title}
        row |= {"seeds": len(runs), "compared with": VARIANTS[base].title}
        row["f_d, M"] = f"{next(iter(runs.values()))['f_d parameters'] / 1e6:.2f}"
        for metric in METRICS:
            values = values_of(runs, metric)
            row[metric] = mean_and_spread(list(values.values()))
            pairs = differences(values, values_of(found.get((detector, base), {}), metric))
            if name != base and pairs:
                row[f"{metric}, difference"] = pairs
        rows.append(row)
    return rows


def format_means(rows: list[dict]) -> str:
    keys = ("detector", "training", "seeds", "f_d, M")
    body = [
        [*(row[key] for key in keys), *(with_spread(row[metric]) for metric in METRICS)]
        for row in rows
    ]
    return as_table([*keys, *METRICS], body)


def format_differences(rows: list[dict]) -> str:
    """Of every row from what it is compared with."""
    compared = [row for row in rows if "mAP, difference" in row]
    body = [
        [
            *(row[key] for key in ("detector", "training", "compared with")),
            *(with_seeds(row[f"{metric}, difference"]) for metric in METRICS),
        ]
        for row in compared
    ]
    return as_table(["detector", "training", "compared with", *METRICS], body)


def format_fusions(results: list[dict]) -> str:
    """Side-fusion against none, from each start; "" if there are no two such runs."""
    found = by_variant(results)
    body = []
    for detector, name in product(DETECTORS, FUSIONS):
        runs = found.get((detector, name), {})
        fused = values_of(runs, "mAP")
        plain = values_of(found.get((detector, NO_FUSION[name]), {}), "mAP")
        if gains := differences(fused, plain):
            alphas = [run["alpha"] for run in runs.values()]
            body.append(
                [
                    *(DETECTORS[detector], FUSIONS[name]),
                    *(with_spread(mean_and_spread(list(v.values()))) for v in (plain, fused)),
                    with_seeds(gains),
                    *(f"{statistics.fmean(a[layer] for a in alphas):.2f}" for layer in alphas[0]),
                ]
            )
    headers = ["detector", "start", "mAP without", "mAP with", "difference"]
    headers += ["alpha after conv3", "alpha after conv4"]
    return as_table(headers, body) if body else ""


def as_table(headers: list[str], body: list[list]) -> str:
    return tabulate(body, headers=headers, tablefmt="github", disable_numparse=True)


def with_spread(mean_spread: tuple[float, float]) -> str:
    return "{:.1f} ± {:.1f}".format(*mean_spread)


def with_seeds(values: list[float]) -> str:
    """The mean, and each seed's own."""
    return f"{statistics.fmean(values):+.1f} ({', '.join(f'{x:+.1f}' for x in values)})"


def write_summary(folder: Path, results: list[dict], facts: dict) -> str:
    """Write results.json, ablation.md and ablation.png; returns the table of means."""
    rows = summarise(results)
    table = format_means(rows)
    facts = {
        "command": " ".join(["python", "tools/ablation.py", *sys.argv[1:]]),
        "machine": f"{os.cpu_count()} CPU cores, {platform.machine()}",
        "versions": f"Python {platform.python_version()}, PyTorch {torch.__version__}",
        "minutes of all runs together": round(sum(r["minutes"] for r in results), 1),
        **facts,
    }
    parts = [
        table,
        "Mean and standard deviation over the seeds, in percent; f_d in million parameters.",
        "Difference to the row that a row is compared with: mean, and each seed's own.",
        format_differences(rows),
    ]
    if fusions := format_fusions(results):
        parts += ["Side-fusion, by what the nets start from:", fusions]
    parts.append("\n".join(f"- {name}: {value}" for name, value in facts.items()))
    replace_file(folder / "ablation.md", ("\n\n".join(parts) + "\n").encode())
    kept = [{k: v for k, v in r.items() if k != "command"} for r in results]
    write_json(folder / "results.json", {**facts, "runs": kept})
    plot_spreads(str(folder / "ablation.png"), rows, list(METRICS))
    return table
