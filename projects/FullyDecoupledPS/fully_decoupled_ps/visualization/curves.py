"""Training curves as inline SVG, from the line-JSON `metrics.json` that Detectron2 writes."""

import json
import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

from ..errors import UserError
from .scalar_names import scalar_words

logger = logging.getLogger(__name__)

Points = list[tuple[float, float]]

# What a chart shows: its title, words by which the names of its scalars are known, the least top
# of its y axis (1 for shares), and what it is.
CHARTS = (
    ("losses", ("loss",), 0.0, ""),
    ("fusion weight alpha", ("alpha",), 1.0, "Share of the detector's map in the fused one."),
    ("identity memory", ("lookup", "queue", "memory"), 1.0, "Share of its rows that are filled."),
)
# Colour and dash pattern: lines are told apart by either alone.
LINE_STYLES = (
    ("#1b1f27", ""),
    ("#0b6bcb", "7 3"),
    ("#b3470a", "2 3"),
    ("#0a7a4b", "9 3 2 3"),
    ("#9b2a8f", "4 2"),
    ("#7a6a00", "1 2"),
)
MAX_POINTS = 400  # more do not show at this size
WIDTH, HEIGHT = 380, 220
LEFT, RIGHT, TOP, BOTTOM = 48, 10, 10, 36  # margins of the plot area


def read_training_log(path: str | Path) -> dict[str, Points]:
    """Name of each scalar -> its points (iteration, value), in the order of the iterations.

    Where a resumed run logged an iteration again, the later line counts. Lines that are no JSON
    (a run killed while writing leaves one) are left out and counted in the log. Raises UserError if
    the file is missing or holds no line with an iteration.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UserError(
            f"training log {str(path)!r} cannot be read ({error.strerror}): give the metrics.json "
            "that training writes into its output folder"
        ) from error
    series: dict[str, dict[float, float]] = {}
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
                series.setdefault(name, {})[iteration] = float(value)
    if not series:
        raise UserError(
            f"training log {str(path)!r} has no line with a field 'iteration': give the "
            "metrics.json of a training run, not that of an evaluation"
        )
    if broken:
        logger.warning("%s: %d of %d lines left out (no iteration)", path, broken, len(lines))
    return {name: sorted(points.items()) for name, points in series.items()}


def training_charts(log: dict[str, Points]) -> list[dict[str, Any]]:
    """The charts that `log` has scalars for, as {"title", "note", "svg", "legend"}."""
    charts = []
    for title, words, y_top, note in CHARTS:
        # total_loss first: the first style is the strongest
        names = sorted(
            (name for name in log if _is_about(name, words)), key=lambda n: (n != "total_loss", n)
        )
        if names:
            words = [scalar_words(name) for name in names]
            if len(set(words)) < len(words):  # no line may hide another
                words = names
            series = {word: log[name] for word, name in zip(words, names)}
            legend = [
                {"name": word, "swatch": _swatch(i), "last": f"{points[-1][1]:.4g}"}
                for i, (word, points) in enumerate(series.items())
            ]
            svg = line_chart(series, title, y_top)
            charts.append({"title": title, "note": note, "svg": svg, "legend": legend})
    return charts


def _is_about(name: str, words: Sequence[str]) -> bool:
    return any(word in name.lower() for word in words)


def line_chart(series: dict[str, Points], title: str, y_top: float = 0.0) -> Markup:
    """An SVG with a line a series; the y axis spans 0, `y_top` and all values."""
    xs = [x for points in series.values() for x, _ in points]
    ys = [y for points in series.values() for _, y in points]
    x_ticks, y_ticks = _ticks(min(xs), max(xs)), _ticks(min(ys + [0.0]), max(ys + [y_top]))
    x_low, x_high = min(xs), max(max(xs), min(xs) + 1e-9)
    y_low, y_high = y_ticks[0], y_ticks[-1]

    def place(x: float, y: float) -> tuple[float, float]:
        return (
            LEFT + (x - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT),
            TOP + (y_high - y) / (y_high - y_low) * (HEIGHT - TOP - BOTTOM),
        )

    parts = []
    for tick in y_ticks:
        _, y = place(x_low, tick)
        parts.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" class="y">{tick:g}</text>')
    for tick in x_ticks:
        if x_low <= tick <= x_high:
            x, _ = place(tick, y_low)
            parts.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 16}" class="x">{tick:g}</text>')
    center = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text x="{center}" y="{HEIGHT - 3}" class="x">iteration</text>')
    for i, points in enumerate(series.values()):
        color, dash = LINE_STYLES[i % len(LINE_STYLES)]
        shown = points[:: -(-len(points) // MAX_POINTS)]
        if shown[-1] != points[-1]:
            shown = shown + points[-1:]
        shown = shown * 2 if len(shown) == 1 else shown  # with round line ends: a dot
        path = " ".join("{:.1f},{:.1f}".format(*place(x, y)) for x, y in shown)
        parts.append(f'<polyline points="{path}" stroke="{color}" stroke-dasharray="{dash}"/>')
    label = escape(f"{title}: {_summary(series)}")
    return Markup(
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">'
        f"{''.join(parts)}</svg>"
    )


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


def _ticks(low: float, high: float, count: int = 5) -> list[float]:
    """About `count` round numbers that span [low, high]."""
    span = high - low or max(abs(high), 1.0)
    step = 10.0 ** math.floor(math.log10(span / count))
    step *= next(factor for factor in (1, 2, 5, 10) if span / (step * factor) <= count)
    first = math.floor(low / step + 1e-9)
    last = max(math.ceil(high / step - 1e-9), first + 1)
    return [round(i * step, 12) for i in range(first, last + 1)]


def _summary(series: dict[str, Points]) -> str:
    return "; ".join(
        f"{name} from {points[0][1]:.4g} to {points[-1][1]:.4g}" for name, points in series.items()
    )


def _swatch(index: int) -> Markup:
    color, dash = LINE_STYLES[index % len(LINE_STYLES)]
    line = f'<path d="M0 5H26" stroke="{color}" stroke-dasharray="{dash}"/>'
    return Markup(f'<svg class="swatch" viewBox="0 0 26 10" aria-hidden="true">{line}</svg>')
