"""The breakdowns as pictures (PNG)."""

from typing import Any

import numpy as np

from ..utils.figures import new_axes

Rows = list[dict[str, Any]]
DPI = 150


def plot_camera_pairs(path: str, rows: Rows) -> None:
    """mAP of every pair of cameras, as rows of :func:`.breakdown.by_camera_pair`."""
    query_cameras = sorted({row["query_camera"] for row in rows})
    gallery_cameras = sorted({row["gallery_camera"] for row in rows})
    values = np.full((len(query_cameras), len(gallery_cameras)), np.nan)
    figure, axes = new_axes(2 + 0.7 * len(gallery_cameras), 1.5 + 0.6 * len(query_cameras))
    for row in rows:
        y = query_cameras.index(row["query_camera"])
        x = gallery_cameras.index(row["gallery_camera"])
        values[y, x] = row["mAP"]
        color = "white" if row["mAP"] < 60 else "black"
        axes.text(x, y, f"{row['mAP']:.1f}", ha="center", va="center", color=color)
    axes.imshow(values, vmin=0, vmax=100, cmap="viridis")
    axes.set_xticks(range(len(gallery_cameras)), gallery_cameras)
    axes.set_yticks(range(len(query_cameras)), query_cameras)
    axes.set_xlabel("camera of the gallery")
    axes.set_ylabel("camera of the query")
    axes.set_title("mAP (%)")
    figure.savefig(path, dpi=DPI)


def plot_heights(path: str, rows: Rows) -> None:
    """mAP by the query's box height, as rows of :func:`.breakdown.by_height`."""
    figure, axes = new_axes(6, 3.5)
    bars = axes.bar([row["height"] for row in rows], [row["mAP"] for row in rows])
    axes.bar_label(bars, [f"{row['mAP']:.1f}\nn={row['queries']}" for row in rows], fontsize=8)
    axes.set_ylim(0, 118)  # room for the labels
    axes.set_yticks(range(0, 101, 20))
    axes.set_xlabel("height of the query box (pixels)")
    axes.set_ylabel("mAP (%)")
    figure.savefig(path, dpi=DPI)


def plot_gallery_sizes(path: str, rows: Rows) -> None:
    """mAP and top-1 against the gallery size: rows with "gallery_size", "mAP", "top1"."""
    figure, axes = new_axes(6, 3.5)
    sizes = [row["gallery_size"] for row in rows]
    for name, label in (("mAP", "mAP"), ("top1", "top-1")):
        axes.plot(sizes, [row[name] for row in rows], marker="o", label=label)
    axes.set_xscale("log")
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.minorticks_off()
    axes.set_xlabel("gallery size (frames)")
    axes.set_ylabel("%")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=DPI)


def plot_spreads(path: str, rows: Rows, metrics: list[str]) -> None:
    """Means with their spread, one panel per metric.

    Args:
        rows: each with "detector", "training", and for each metric (mean, standard deviation).
        metrics: in percent.
    """
    detectors = list(dict.fromkeys(row["detector"] for row in rows))
    trainings = list(dict.fromkeys(row["training"] for row in rows))
    width, height = 3.2 * len(metrics) + 1, 0.45 * len(trainings) + 1.6
    figure, panels = new_axes(width, height, ncols=len(metrics), sharey=True, squeeze=False)
    for axes, metric in zip(panels[0], metrics):
        for index, detector in enumerate(detectors):
            mine = [row for row in rows if row["detector"] == detector]
            places = [trainings.index(row["training"]) + 0.22 * index for row in mine]
            means, spreads = zip(*(row[metric] for row in mine))
            axes.errorbar(means, places, xerr=spreads, fmt="o", capsize=3, label=detector)
        axes.set_yticks(range(len(trainings)), trainings)
        axes.set_xlabel(f"{metric} (%)")
        axes.grid(axis="x", alpha=0.3)
    axes.invert_yaxis()
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper right", ncols=2)
    figure.savefig(path, dpi=DPI)
