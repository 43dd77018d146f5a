"""Whether a test set's queries can be searched for: ground truths, own frames, boxes."""

from collections import defaultdict
from typing import Any

import numpy as np

from ...utils.boxes import iou
from .findings import Findings

Dicts = list[dict[str, Any]]
Summary = dict[str, Any]

SAME_BOX = 0.5  # IoU from which a query's box is one with the annotation of its person


def inspect_queries(dicts: Dicts, protocols: dict[str, Dicts], findings: Findings) -> list[Summary]:
    """One row per protocol; finds queries that have nobody to find, or are drawn elsewhere."""
    frames_of: dict[int, set[str]] = defaultdict(set)
    for d in dicts:
        for a in d["annotations"]:
            frames_of[a["person_id"]].add(d["image_id"])
    query_only = {d["image_id"] for d in dicts if d.get("query_only")}
    main = next(iter(protocols), None)
    rows = [
        _inspect_protocol(name, queries, frames_of, query_only, findings, is_main=name == main)
        for name, queries in protocols.items()
    ]
    by_id = {d["image_id"]: d for d in dicts}
    queries = next(iter(protocols.values()), [])
    findings.warning(
        "queries.box",
        "queries without an annotation of their person at their box",
        [_place(q) for q in queries if not _is_annotated(q, by_id[q["image_id"]])],
    )
    return rows


def _inspect_protocol(
    name: str,
    queries: Dicts,
    frames_of: dict[int, set[str]],
    query_only: set[str],
    findings: Findings,
    is_main: bool,
) -> Summary:
    galleries: dict[int, set[str]] = {}  # queries share lists; a set is made of each once
    counts, without, own = [], [], []
    for query in queries:
        found = frames_of[query["person_id"]]
        gallery = query["gallery"]
        if gallery is None:
            count = len(found - query_only - {query["image_id"]})
        else:
            if id(gallery) not in galleries:
                galleries[id(gallery)] = set(gallery)
            listed = galleries[id(gallery)]
            count = len(found & listed)
            if query["image_id"] in listed:
                own.append(_place(query))
        counts.append(count)
        if count == 0:
            without.append(_place(query))
    nobody = f"queries of protocol '{name}' with nobody to find in their gallery"
    if queries and len(without) == len(queries) and is_main:
        findings.error("queries.none_findable", nobody, without)
    elif queries and len(without) == len(queries):
        findings.warning("queries.none_findable", f"{nobody}, so that its figures are n/a", without)
    else:
        findings.warning("queries.without_ground_truth", nobody, without)
    findings.warning(
        "queries.own_frame", f"queries of protocol '{name}' that search their own frame too", own
    )
    return {
        "protocol": name,
        "queries": len(queries),
        "persons": len({q["person_id"] for q in queries}),
        "ground_truths_min": min(counts, default=None),
        "ground_truths_median": float(np.median(counts)) if counts else None,
        "ground_truths_max": max(counts, default=None),
        "without_ground_truth": len(without),
        "own_frame_in_gallery": len(own),
    }


def _place(query: dict[str, Any]) -> str:
    corners = ", ".join(f"{v:g}" for v in query["bbox"])
    return f"image {query['image_id']}, query box ({corners}), person {query['person_id']}"


def _is_annotated(query: dict[str, Any], d: dict[str, Any]) -> bool:
    boxes = [a["bbox"] for a in d["annotations"] if a["person_id"] == query["person_id"]]
    return any(iou(query["bbox"], box) >= SAME_BOX for box in boxes)
