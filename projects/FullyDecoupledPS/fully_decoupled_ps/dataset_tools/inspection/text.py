"""An inspection as text for a person to read."""

from typing import Any

from tabulate import tabulate

from .findings import ERROR, WARNING, Finding
from .inspect import Inspection

SPLITS = {"train": "training", "test": "test"}
BAR_WIDTH = 40
SHOWN_PLACES = 3


def format_inspection(inspection: Inspection) -> str:
    """Counts, cameras, queries, then what was found, errors first, and a last line of totals."""
    parts = [f"{inspection.source}, checked as a {SPLITS[inspection.split]} set"]
    if inspection.summary:
        summary = inspection.summary
        parts += [_counts(summary, inspection.split), _histogram(summary["persons_per_frame"])]
        parts += [_table(summary["cameras"]), _queries(summary["queries"])]
    findings = inspection.findings
    ordered = findings.of(ERROR) + findings.of(WARNING)
    parts.append("\n".join(map(_finding, ordered)))
    parts.append(_total(len(findings.of(ERROR)), len(findings.of(WARNING))))
    return "\n\n".join(part for part in parts if part)


def _counts(s: dict[str, Any], split: str) -> str:
    gaps = "with gaps; training numbers them anew" if split == "train" else "with gaps"
    ids = "numbered from 0" if s["contiguous_ids"] else gaps
    rows = [
        ("frames", s["frames"], f"{s['frames_without_persons']} without a person"),
        ("boxes", s["boxes"], f"{s['labelled']} labelled, {s['unlabelled']} unlabelled"),
        ("identities", s["identities"], ids),
        ("", "", f"{s['identities_with_one_box']} with one box only"),
    ]
    if s["ignore_regions"]:
        rows.insert(2, ("ignore regions", s["ignore_regions"], "crowds and the like"))
    if s["left_out"]:
        left_out = ", ".join(f"{name} {n}" for name, n in s["left_out"].items())
        rows.insert(2, ("no persons", sum(s["left_out"].values()), f"left out: {left_out}"))
    if s["frames_for_queries_only"]:
        rows.insert(1, ("", "", f"{s['frames_for_queries_only']} for queries only"))
    if s["identities_in_two_cameras"] is not None:
        rows.append(("", "", f"{s['identities_in_two_cameras']} in two cameras or more"))
    rows.append(("boxes per person", "", _spread(s["boxes_per_identity"])))
    for side in ("width", "height"):
        rows.append((f"box {side}", "", _spread(s["box_sizes"][side]) + " pixels"))
    opened = "all opened" if s["opened"] == s["pictures"] else f"{s['opened']} of them opened"
    rows.append(("pictures", s["pictures"], opened))
    return tabulate(rows, tablefmt="plain", colalign=("left", "right", "left"))


def _spread(s: dict[str, Any]) -> str:
    if s["min"] is None:
        return "none"
    return f"{s['min']:g} to {s['max']:g}, median {s['median']:g}"


def _histogram(s: dict[str, Any]) -> str:
    if s["mean"] is None:
        return ""
    lines = [f"persons per frame: {_spread(s)}, mean {s['mean']:.1f}"]
    labels = [str(a) if a == b else f"{a} to {b}" for a, b, _ in s["histogram"]]
    width = max(map(len, labels))
    most = max(n for _, _, n in s["histogram"])
    for label, (_, _, n) in zip(labels, s["histogram"]):
        bar = "#" * -(-BAR_WIDTH * n // most)
        lines.append(f"  {label:>{width}}  {bar} {n}" if n else f"  {label:>{width}}  0")
    return "\n".join(lines)


def _table(rows: list[dict[str, Any]]) -> str:
    return tabulate([{k: _shown(v) for k, v in row.items()} for row in rows], headers="keys")


def _shown(value: Any) -> Any:
    return "none" if value is None else value


def _queries(rows: list[dict[str, Any]]) -> str:
    return _table(
        [
            {
                "protocol": row["protocol"],
                "queries": row["queries"],
                "persons": row["persons"],
                "ground truths": _spread(
                    {k: row[f"ground_truths_{k}"] for k in ("min", "median", "max")}
                ),
                "with none": row["without_ground_truth"],
                "own frame searched": row["own_frame_in_gallery"],
            }
            for row in rows
        ]
    )


def _finding(finding: Finding) -> str:
    head = f"{finding.level.upper()}  {finding.message}"
    if not finding.count:
        return head
    lines = [f"{head}: {finding.count}"]
    lines += [f"    {place}" for place in finding.places[:SHOWN_PLACES]]
    if finding.count > SHOWN_PLACES:
        lines.append(f"    and {finding.count - SHOWN_PLACES} more")
    return "\n".join(lines)


def _total(errors: int, warnings: int) -> str:
    def number(n: int, what: str) -> str:
        return f"{n or 'no'} {what}" + ("" if n == 1 else "s")

    return f"{number(errors, 'error')}, {number(warnings, 'warning')}"
