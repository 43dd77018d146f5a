"""Where the mean average precision comes from: pairs of cameras, box heights, gallery sizes."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from .search_dataset import SearchDataset
from .search_metrics import SearchProtocol, SearchResult

# Ends of the bins of query box heights, in pixels of the original image.
HEIGHT_EDGES = (0, 50, 100, 150, 200, 300, 400, float("inf"))

Rows = list[dict[str, Any]]


def camera_protocols(dataset: SearchDataset, main: SearchProtocol) -> dict[Any, SearchProtocol]:
    """One protocol per camera: the queries of ``main``, searched in that camera's other frames.

    Empty for datasets in which not every frame has a camera.
    """
    if None in dataset.cameras:
        return {}
    cameras = np.array(dataset.cameras)
    protocols = {}
    for camera in np.unique(cameras).tolist():
        frames = np.flatnonzero((cameras == camera) & dataset.gallery_frames)
        protocols[camera] = replace(
            main,
            name=f"camera {camera}",
            galleries=[frames] * len(main),
            skip_without_ground_truth=True,
            without_own_frame=True,
        )
    return protocols


def by_camera_pair(query_cameras: Sequence[Any], results: dict[Any, SearchResult]) -> Rows:
    """One row per pair (camera of the query, camera of the gallery).

    Args:
        query_cameras: the camera of every query.
        results: camera of the gallery -> results of all queries in its frames.

    Returns:
        rows with "query_camera", "gallery_camera", and of the queries that have ground truth
        there their number "queries", "mAP" and "top1"; pairs without such queries are left out.
    """
    rows = []
    for camera in sorted(set(query_cameras)):
        for gallery_camera, result in results.items():
            chosen = [q for q, c in zip(result.queries, query_cameras) if c == camera and q.num_gt]
            if chosen:
                row = {"query_camera": camera, "gallery_camera": gallery_camera}
                rows.append({**row, **_means(chosen)})
    return rows


def by_height(heights: Sequence[float], result: SearchResult) -> Rows:
    """One row per bin of query box heights: "height" as text, "queries", "mAP" and "top1".

    Queries that the result excludes from its means are excluded here; so are empty bins.
    """
    rows = []
    for low, high in zip(HEIGHT_EDGES, HEIGHT_EDGES[1:]):
        chosen = [
            q
            for q, height in zip(result.queries, heights)
            if low <= height < high and (q.num_gt or not result.skip_without_ground_truth)
        ]
        if chosen:
            text = f"{low}-{high}" if np.isfinite(high) else f"from {low}"
            rows.append({"height": text, **_means(chosen)})
    return rows


def _means(queries) -> dict[str, float]:
    metrics = SearchResult(queries).metrics()
    return {"queries": len(queries), "mAP": metrics["mAP"], "top1": metrics["top1"]}
