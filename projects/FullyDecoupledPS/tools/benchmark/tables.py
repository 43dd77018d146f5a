"""Tables of what was measured."""

from typing import Any

from tabulate import tabulate

SIZES = ["parameters, M", "multiply-adds, G"]
TIMES = ["detector, ms/image", "whole, ms/image"]


def _counted(number: int | None, unit: float, decimals: int) -> str:
    return "not counted" if number is None else f"{number / unit:.{decimals}f}"


def _sizes(record: dict[str, Any]) -> list[str]:
    """Millions of parameters and billions of multiply-adds, in parentheses the detector's."""
    cells = []
    for name, *unit in (("parameters", 1e6, 1), ("multiply-adds", 1e9, 0)):
        cells.append(_counted(record[name], *unit))
        if f"detector {name}" in record:  # not in a peer's
            cells[-1] += f" ({_counted(record[f'detector {name}'], *unit)})"
    return cells


def comparison_table(records: list[dict[str, Any]]) -> str:
    """Networks that were run in turns; ratios are to the first, and to its plain detector."""
    decimals = {"detector ms": 0, "ms": 0, "detector to first": 2, "to first": 2}
    decimals["to plain detector"] = 2
    rows = [
        [r["model"], *_sizes(r)]
        + [f"{r[name]:.{n}f}" if name in r else "" for name, n in decimals.items()]
        for r in records
    ]
    headers = ["model", *SIZES, *TIMES, "detector, to the first", "whole, to the first"]
    headers.append("whole, to the plain detector")
    return tabulate(rows, headers, tablefmt="pipe", disable_numparse=True)


def inference_table(records: list[dict[str, Any]]) -> str:
    """Each peer, which all records have alike, has two columns."""
    peers = [peer["model"] for peer in records[0]["peers"]]
    rows = [
        [
            r["model"],
            *_sizes(r),
            r["batch"],
            r["type"],
            f"{r['detector ms']:.0f}",
            f"{r['ms']:.0f}",
            f"{r['ratio']:.2f}",
            f"{r['to float32']:.2f}",
            f"{r['peak MiB']:.0f}" if "peak MiB" in r else "",
            *(x for peer in r["peers"] for x in (f"{peer['ms']:.0f}", f"{peer['ratio']:.2f}")),
        ]
        for r in records
    ]
    headers = ["model", *SIZES, "batch", "type", *TIMES, "ratio", "to float32", "peak MiB"]
    headers += [x for name in peers for x in (f"{name}, ms/image", f"whole, to {name}")]
    return tabulate(rows, headers, tablefmt="pipe", disable_numparse=True)


def parts_table(records: list[dict[str, Any]]) -> str:
    names = list(dict.fromkeys(part for r in records for part in r["parts ms"]))
    rows = [
        [r["model"], r["batch"], r["type"], *(f"{r['parts ms'].get(n, 0):.0f}" for n in names)]
        for r in records
    ]
    return tabulate(rows, ["model", "batch", "type", *names], tablefmt="pipe")


def two_step_table(records: list[dict[str, Any]]) -> str:
    """A two-step network beside its two networks, each alone."""
    rows = [
        [
            r["model"],
            r["batch"],
            r["type"],
            *(f"{r[key]:.0f}" for key in ("detector ms", "crops ms", "ms")),
            f"{r['ratio to parts']:.2f}",
        ]
        for r in records
    ]
    headers = ["model", "batch", "type", "detector, ms/image", "crops, ms/image"]
    headers += ["whole, ms/image", "to both together"]
    return tabulate(rows, headers, tablefmt="pipe", disable_numparse=True)


def training_table(records: list[dict[str, Any]]) -> str:
    rows = [
        [
            r["model"],
            r["step"],
            f"{r['ms']:.0f}",
            f"{r['images/s']:.2f}",
            f"{r['ratio']:.2f}",
            f"{r['peak MiB']:.0f}" if "peak MiB" in r else "",
            f"{r['memory ratio']:.2f}" if "peak MiB" in r else "",
        ]
        for r in records
    ]
    headers = ["model", "step", "ms", "images/s", "to detection", "peak MiB", "to detection"]
    return tabulate(rows, headers, tablefmt="pipe", disable_numparse=True)
