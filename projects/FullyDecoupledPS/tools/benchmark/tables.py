"""Tables of what was measured."""

from typing import Any

from tabulate import tabulate

SIZES = ["parameters, M", "multiply-adds, G"]
TIMES = ["detector, ms/image", "whole, ms/image"]


def _giga(number: int | None) -> str:
    return "not counted" if number is None else f"{number / 1e9:.0f}"


def _sizes(record: dict[str, Any]) -> list[str]:
    """Millions of parameters and billions of multiply-adds, in parentheses the detector's."""
    r = record
    return [
        f"{r['parameters'] / 1e6:.1f} ({r['detector parameters'] / 1e6:.1f})",
        f"{_giga(r['multiply-adds'])} ({_giga(r['detector multiply-adds'])})",
    ]


def comparison_table(records: list[dict[str, Any]]) -> str:
    """Networks that were run in turns; times are divided by those of the first."""
    rows = [
        [r["model"], *_sizes(r), f"{r['detector ms']:.0f}", f"{r['ms']:.0f}"]
        + [f"{r['detector to first']:.2f}", f"{r['to first']:.2f}"]
        for r in records
    ]
    headers = ["model", *SIZES, *TIMES, "detector, to the first", "whole, to the first"]
    return tabulate(rows, headers, tablefmt="pipe", disable_numparse=True)


def inference_table(records: list[dict[str, Any]]) -> str:
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
        ]
        for r in records
    ]
    headers = ["model", *SIZES, "batch", "type", *TIMES, "ratio", "to float32", "peak MiB"]
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
