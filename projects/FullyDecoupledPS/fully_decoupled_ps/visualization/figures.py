"""Matplotlib figures as RGB pictures, without pyplot: no display needed, no global state."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

DPI = 120


def new_axes(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure of one plot, `width` x `height` inches, whose labels are never cut off."""
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def to_image(figure: Figure) -> np.ndarray:
    """(H, W, 3) uint8 RGB."""
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[:, :, :3].copy()
