"""Matplotlib figures as RGB pictures, without pyplot: no display needed, no global state."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

DPI = 120


def new_axes(width: float, height: float, **grid: Any) -> tuple[Figure, Axes | np.ndarray]:
    """A figure, `width` x `height` inches, whose labels are never cut off, and its plot.

    `grid`: as for `Figure.subplots`, for several plots.
    """
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(**grid)


def to_image(figure: Figure) -> np.ndarray:
    """(H, W, 3) uint8 RGB."""
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[:, :, :3].copy()
