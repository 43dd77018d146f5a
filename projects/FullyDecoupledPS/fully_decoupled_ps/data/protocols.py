"""A dataset's search protocols: which queries, and for each the frames to search."""

from typing import Any, Dict, List

from detectron2.data import DatasetCatalog, MetadataCatalog

from ..errors import UserError


def get_protocols(dataset_name: str) -> Dict[str, List[Dict[str, Any]]]:
    """
    Args:
        dataset_name: a registered test set

    Returns:
        for each protocol's name its queries; the first is the main one. A query is
        {"image_id": str, "bbox": [x0, y0, x1, y1] as in the frame's "queries", "person_id": int,
        "gallery": a list of image ids or None}. None is every frame but the query's own and the
        query-only ones. A list may be shared between queries, may hold the query's own frame, and
        may hold an image twice. The ground truth in a gallery frame are its annotations with the
        query's person id.

    Raises:
        UserError: no dataset has this name, or it has no queries
    """
    if dataset_name not in DatasetCatalog.list():
        known = ", ".join(sorted(n for n in DatasetCatalog.list() if _searchable(n)))
        raise UserError(
            f"dataset '{dataset_name}' is not registered; register it, or take one of: {known}"
        )
    if not _searchable(dataset_name):
        raise UserError(f"dataset '{dataset_name}' has no queries; a search needs a test set")
    return MetadataCatalog.get(dataset_name).protocols_fn()


def _searchable(dataset_name: str) -> bool:
    return hasattr(MetadataCatalog.get(dataset_name), "protocols_fn")
