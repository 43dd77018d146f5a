"""Training curves as SVG pictures, from the line-JSON `metrics.json` that Detectron2 writes."""

import base64
import io
import json
import logging
import math
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..errors import UserError

logger = logging.getLogger(__name__)

Points = list[tuple[float, float]]

# What a chart shows: its title, words by which the names of its scalars are known, the least top
# of its y axis (1 for shares), and what it is.
CHARTS = (
    ("losses", ("loss",), 0.0, ""),
    ("fusion weight alpha", ("alpha",), 1.0, "Share of the detector's map in the fused one."),
    ("identity memory", ("lookup", "queue", "memory"), 1.0, "Share of its rows that are filled."),
)
# Colour and dashes (an SVG's stroke-dasharray): lines are told apart by either alone.
LINE_STYLES = (
    ("#1b1f27", ""),
    ("#0b6bcb", "7 3"),
    ("#b3470a", "2 3"),
    ("#0a7a4b", "9 3 2 3"),
    ("#9b2a8f", "4 2"),
    ("#7a6a00", "1 2"),
)
SOFT = "#545b69"  # of the page's soft text
WIDTH, HEIGHT = 380, 220
MAX_POINTS = 400  # per line; more do not show at this size
TICKS = {"nbins": 5, "steps": [1, 2, 5, 10], "min_n_ticks": 1}
# Text stays text, in a font of the reader's; equal charts are equal files.
SVG_PARAMS = {
    "svg.fonttype": "none",
    "svg.hashsalt": "charts",
    "font.sans-serif": ["Segoe UI", "Roboto", "Helvetica Neue", "Arial", "DejaVu Sans"],
    "font.size": 12,
    "lines.linewidth": 1.8,
    "lines.scale_dashes": False,
}

# What the scalars of a training log are called.
WORDS = {
    "total_loss": "all losses together",
    "loss_oim": "OIM (identity memory)",
    "loss_triplet": "triplet",
    "loss_oim_crops": "OIM of the crops",
    "loss_triplet_crops": "triplet of the crops",
    "loss_contrast": "persons among the crops' identities",
    "loss_contrast_crops": "crops among the persons' identities",
    "loss_cls": "person or not",
    "loss_box_reg": "position of the boxes",
    "loss_rpn_cls": "proposals: person or not",
    "loss_rpn_loc": "proposals: position",
    "loss_fcos_cls": "person or not",
    "loss_fcos_loc": "position of the boxes",
    "loss_fcos_ctr": "centre of the boxes",
    "memory/lookup_seen": "table of the labelled persons",
    "memory/queue_fill": "queue of the unlabelled persons",
}
# Detectron2's cascade counts its stages from 0; its ResNet calls conv3 of the paper res3.
STAGE = re.compile(r"(?P<base>.+)_stage(?P<stage>\d+)$")
ALPHA = re.compile(r"alpha/(?:res|conv)(?P<layer>\d+)$")


def read_training_log(path: str | Path) -> dict[str, Points]:
    """Name of each scalar -> its points (iteration, value), in the order of the iterations.

    Where a resumed run logged an iteration again, the later line counts. Lines that are not valid
    JSON (a run killed while writing leaves one) are skipped, and the log says how many. Raises
    UserError if the file is missing or holds no line with an iteration.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UserError(
            f"training log {str(path)!r} cannot be read ({error.strerror}): give the metrics.json "
            "that training writes into its output folder"
        ) from error
    series: defaultdict[str, dict[float, float]] = defaultdict(dict)
    broken = 0
    for line in lines:
        try:
            record = json.loads(line)
            iteration = float(record.pop("iteration"))
        except (ValueError, KeyError, TypeError, AttributeError):
            broken += 1
            continue
        for name, value in record.items():
            if isinstance(value, (int, float)) and math.isfinite(value):
                series[name][iteration] = float(value)
    if not series:
        raise UserError(
            f"training log {str(path)!r} has no line with a field 'iteration': give the "
            "metrics.json of a training run, not that of an evaluation"
        )
    if broken:
        logger.warning("%s: %d of %d lines left out (no iteration)", path, broken, len(lines))
    return {name: sorted(points.items()) for name, points in series.items()}


def training_charts(log: dict[str, Points]) -> list[dict[str, Any]]:
    """The charts that `log` has scalars for, as {"title", "note", "picture", "alt", "legend"}."""
    charts = []
    for title, words, y_top, note in CHARTS:
        # total_loss first: the first style is the strongest
        names = [name for name in log if any(word in name.lower() for word in words)]
        names.sort(key=lambda n: (n != "total_loss", n))
        if not names:
            continue
        series = {scalar_words(name): log[name] for name in names}
        if len(series) < len(names):  # no line may hide another
            series = {name: log[name] for name in names}
        ends = [(name, f"{p[0][1]:.4g}", f"{p[-1][1]:.4g}") for name, p in series.items()]
        charts.append(
            {
                "title": title,
                "note": note,
                "picture": line_chart(series, y_top),
                "alt": f"{title}: " + "; ".join(f"{n} from {a} to {b}" for n, a, b in ends),
                "legend": [
                    {"name": name, "swatch": _swatch(i), "last": last}
                    for i, (name, _, last) in enumerate(ends)
                ],
            }
        )
    return charts


def scalar_words(name: str) -> str:
    """A scalar's name in words; of one that is not known its own, readable.

    >>> scalar_words("loss_cls_stage0"), scalar_words("alpha/res3"), scalar_words("loss_new_part")
    ('person or not, stage 1', 'after conv3', 'new part')
    """
    if name in WORDS:
        return WORDS[name]
    if match := STAGE.match(name):
        return f"{scalar_words(match['base'])}, stage {int(match['stage']) + 1}"
    if match := ALPHA.match(name):
        return f"after conv{match['layer']}"
    return name.rpartition("/")[2].removeprefix("loss_").replace("_", " ")


def line_chart(series: dict[str, Points], y_top: float = 0.0) -> str:
    """An SVG as a data URI, with a line per series; the y axis spans 0, `y_top` and all values."""
    with matplotlib.rc_context(SVG_PARAMS):
        figure = Figure(figsize=(WIDTH / 72, HEIGHT / 72), layout="constrained")  # an SVG's points
        axes = figure.add_subplot()
        for i, points in enumerate(series.values()):
            color, dashes = LINE_STYLES[i % len(LINE_STYLES)]
            shown = np.linspace(0, len(points) - 1, min(len(points), MAX_POINTS), dtype=int)
            axes.plot(
                *np.array(points)[shown].T,
                color=color,
                linestyle=(0, [float(d) for d in dashes.split()] or None),
                marker="o" if len(points) == 1 else "",
                clip_on=False,
            )
        axes.margins(0)
        low, high = axes.get_ylim()
        ticks = MaxNLocator(**TICKS).tick_values(min(low, 0), max(high, y_top))
        axes.set_yticks(ticks)  # the axis ends at round values, too
        axes.xaxis.set_major_locator(MaxNLocator(**TICKS, integer=True))
        axes.spines[:].set_visible(False)
        axes.grid(axis="y", color="#e4e7ec", clip_on=False)
        axes.tick_params(length=0, labelcolor=SOFT)
        axes.set_xlabel("iteration", color=SOFT)
        svg = io.BytesIO()
        figure.savefig(svg, format="svg", transparent=True, metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(svg.getvalue()).decode()


def ranking_chart(values: Sequence[float], shown: Sequence[int]) -> Markup:
    """Every query's AP (0..1) as a bar, in the given order; those at indices `shown` stand out.

    The picture has no text and may be stretched: x counts queries, y is percent, downwards.
    """
    parts = [f'<path class="grid" d="M0 {y}H{len(values)}"/>' for y in (0, 50, 100)]
    for name, least_width in (("other", 0.0), ("shown", len(values) / 250)):
        outline = ""
        for i, value in enumerate(values):
            if (i in shown) == (name == "shown"):
                width = max(0.8, least_width)
                bar = f"v{-max(100 * value, 1):.4g}h{width:.4g}V"
                outline += f"M{i + 0.5 - width / 2:.4g} 100{bar}100z"
                if name == "shown":  # a pointer below the bar: not by colour alone
                    outline += f"M{i + 0.5 - width / 2:.4g} 106v5h{width:.4g}v-5z"
        parts.append(f'<path class="{name}" d="{outline}"/>')
    label = f"Average precision of {len(values)} queries, best first; {len(shown)} are shown below"
    return Markup(
        f'<svg class="chart ranked" viewBox="0 0 {len(values)} 116" preserveAspectRatio="none" '
        f'role="img" aria-label="{label}">{"".join(parts)}</svg>'
    )


def _swatch(index: int) -> Markup:
    color, dash = LINE_STYLES[index % len(LINE_STYLES)]
    line = f'<path d="M0 5H26" stroke="{color}" stroke-dasharray="{dash}"/>'
    return Markup(f'<svg class="swatch" viewBox="0 0 26 10" aria-hidden="true">{line}</svg>')
