"""A dataset's search protocols: which queries, and for each the frames to search."""

from collections import defaultdict
from typing import Any

from detectron2.data import DatasetCatalog, MetadataCatalog

from ...errors import UserError


def get_protocols(dataset_name: str) -> dict[str, list[dict[str, Any]]]:
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


def frames_of_no_gallery(dataset_name: str) -> set[str]:
    """Image ids of the query-only frames, less those that a query's gallery lists nevertheless."""
    only = {d["image_id"] for d in DatasetCatalog.get(dataset_name) if d.get("query_only")}
    galleries = {
        id(query["gallery"]): query["gallery"]
        for queries in (get_protocols(dataset_name).values() if only else ())
        for query in queries
        if query["gallery"] is not None
    }
    return only.difference(*galleries.values())


def add_query(
    d: dict[str, Any], box: list[float], person_id: int, gallery: list[str] | None
) -> dict[str, Any]:
    """A protocol's entry for a query in frame `d`; its box goes into the frame's "queries" too."""
    boxes = d.setdefault("queries", [])
    if box not in boxes:
        boxes.append(box)
    return {"image_id": d["image_id"], "bbox": box, "person_id": person_id, "gallery": gallery}


def choose_queries(dicts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """
    The rule for a file without "queries". For each person that stands in two images or more, by
    rising id: its box in the first image (in the file's order) of each camera, or, when an image
    has no camera_id, in the first image of all.
    """
    by_camera = all("camera_id" in d for d in dicts)
    seen: dict[int, list[tuple[dict, dict]]] = defaultdict(list)
    for d in dicts:
        for a in d["annotations"]:
            if a["person_id"] >= 0:
                seen[a["person_id"]].append((d, a))
    queries = []
    for person_id in sorted(i for i, places in seen.items() if len(places) > 1):
        cameras = set()
        for d, a in seen[person_id]:
            camera = d["camera_id"] if by_camera else None
            if camera not in cameras:
                cameras.add(camera)
                queries.append(add_query(d, list(a["bbox"]), person_id, None))
    return queries


def multi_view(queries: list[dict[str, Any]], dicts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """
    The same queries with the frames of the query's camera left out of their galleries, as for PRW.

    Args:
        queries: a protocol's queries; those with a gallery keep its frames of other cameras
        dicts: dataset dicts, all with a "camera_id"
    """
    camera = {d["image_id"]: d["camera_id"] for d in dicts}
    frames = [d["image_id"] for d in dicts if not d.get("query_only")]
    other_cameras = {c: [f for f in frames if camera[f] != c] for c in set(camera.values())}

    def gallery(query: dict[str, Any]) -> list[str]:
        own = camera[query["image_id"]]
        if query["gallery"] is None:
            return other_cameras[own]
        return [frame for frame in query["gallery"] if camera[frame] != own]

    return [{**query, "gallery": gallery(query)} for query in queries]


def _searchable(dataset_name: str) -> bool:
    return hasattr(MetadataCatalog.get(dataset_name), "protocols_fn")
