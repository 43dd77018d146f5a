"""The weight alpha of side-fusion (eq. 3) over the iterations of a run."""

from pathlib import Path

import numpy as np

from ..errors import UserError
from ..utils.figures import new_axes, to_image
from .curves import Points, read_training_log


def read_alphas(log: str | Path) -> dict[str, Points]:
    """{"alpha/res3": [(iteration, value), ...], ...} of a training's metrics.json.

    Raises:
        UserError: no such file, or a training without alphas.
    """
    series = read_training_log(log)
    alphas = {name: points for name, points in series.items() if name.startswith("alpha/")}
    if not alphas:
        raise UserError(
            f"training log {str(log)!r} has no alpha: give that of a stage that trains re-id with "
            "MODEL.REID.FUSION.NAME AlphaBlendFusion"
        )
    return alphas


def draw_alphas(alphas: dict[str, Points], title: str) -> np.ndarray:
    """(H, W, 3) uint8 RGB: one line per layer; 1: the detector's map alone, 0: that of re-id."""
    figure, axes = new_axes(8, 4.5)
    styles = ("-", "--", ":", "-.")
    for i, (name, points) in enumerate(sorted(alphas.items())):
        iterations, values = zip(*points)
        label = f"{name}: {values[-1]:.3f} at the end"
        marker = "o" if len(values) == 1 else ""
        style = styles[i % len(styles)]
        axes.plot(iterations, values, linestyle=style, marker=marker, linewidth=2, label=label)
    axes.axhline(0.5, color="0.6", linewidth=0.8)
    axes.set_ylim(0, 1)
    axes.set_xlabel("iteration")
    axes.set_ylabel("alpha")
    axes.set_title(f"{title}\nshare of the detector's map in the fused one")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    return to_image(figure)
