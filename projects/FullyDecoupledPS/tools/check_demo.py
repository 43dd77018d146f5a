#!/usr/bin/env python
"""Check the demo's figures against what this project promises; exit status 1 if one falls short.

python check_demo.py output/demo/results.json
"""

import argparse
import json
import math
import sys
from pathlib import Path

from fully_decoupled_ps.errors import UserError
from fully_decoupled_ps.utils.commands import in_one_line

# Least values, in percent: (what it is, where it stands in results.json, the least).
FIGURES = (
    ("detection AP", ("detection", "AP"), 90.0),
    ("detection recall", ("detection", "recall"), 95.0),
    ("search mAP", ("search", "mAP"), 70.0),
    ("search top-1", ("search", "top1"), 80.0),
)
# How many points the search must be ahead of what it is compared with.
MARGINS = (
    ("search mAP over the colour-histogram floor", ("floor", "mAP"), 25.0),
    ("search mAP over the untrained re-id network", ("untrained", "mAP"), 25.0),
)


def check(results: dict) -> list[tuple[str, float, float]]:
    """Return (what it is, the figure, the least it may be) for every promise.

    Raises:
        UserError: a figure is missing or not a finite number.
    """
    rows = [(name, _figure(results, where), least) for name, where, least in FIGURES]
    search = _figure(results, ("search", "mAP"))
    rows += [(name, search - _figure(results, where), least) for name, where, least in MARGINS]
    return rows


def _figure(results: dict, where: tuple[str, str]) -> float:
    task, metric = where
    value = results.get(task, {}).get(metric) if isinstance(results, dict) else None
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        raise UserError(f"{task}.{metric} is {value!r}, expected a number; run `make demo` again")
    return float(value)


@in_one_line
def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, help="the demo's results.json")
    path = parser.parse_args(arguments).results
    try:
        rows = check(json.loads(path.read_text()))
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; run `make demo` first") from error
    except ValueError as error:  # json's, or that of a figure
        raise UserError(f"{path}: {error}") from error
    for name, figure, least in rows:
        verdict = "ok  " if figure >= least else "FAIL"
        print(f"{verdict} {name}: {figure:.1f}, at least {least:.0f} expected")
    return int(any(figure < least for _, figure, least in rows))


if __name__ == "__main__":
    sys.exit(main())
