"""Searching an index without the query's own detection, which would always be the best hit."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from detectron2.structures import Boxes, pairwise_iou

from ..index import Filters, Hit, PersonIndex
from .query import PersonQuery, Query, find_named_frames

# Least overlap (IoU) of the query's box with the detection in its frame that is the query itself.
OWN_IOU = 0.5


class Found(NamedTuple):
    """What a search found."""

    hits: tuple[Hit, ...]  # the most similar first; ranks count from 1
    own: tuple[int, ...]  # ids of detections that are the query itself, left out of the hits


def own_detections(index: PersonIndex, queries: Sequence[Query]) -> tuple[int, ...]:
    """Ids of the detections that are the queries themselves.

    For a person of the index it is that person; for a picture that is a frame of the index, by its
    path, the detection there that overlaps most with the query's box, if by ``OWN_IOU``.
    """
    found = set()
    for query in queries:
        if isinstance(query, PersonQuery):
            found.add(query.person.person_id)
            continue
        for frame in find_named_frames(index, query.name):
            found.update(_of_box(index.persons(frame.frame_id), query.box))
    return tuple(sorted(found))


def _of_box(persons, box) -> list[int]:
    if not persons:
        return []
    boxes = Boxes(torch.tensor([person.box for person in persons]))
    overlaps = pairwise_iou(boxes, Boxes(torch.tensor([box])))[:, 0]
    best = int(overlaps.argmax())
    return [persons[best].person_id] if overlaps[best] >= OWN_IOU else []


def search_others(
    index: PersonIndex,
    queries: Sequence[Query],
    filters: Filters,
    top: int,
    *,
    cws: bool,
    own: Sequence[int],
) -> Found:
    """The ``top`` persons most similar to the one searched, without those of ``own``.

    Args:
        queries: of one person.
        filters: who is looked at.
        top, cws: see :meth:`PersonIndex.search`.
        own: of :func:`own_detections`.
    """
    features = np.stack([query.feature for query in queries])
    # ask for as many more as may be left out; an invalid `top` is refused by the index
    hits = index.search(features, top + len(own) if top > 0 else top, filters, cws=cws)
    others = [hit for hit in hits if hit.person.person_id not in own][:top]
    return Found(
        tuple(hit._replace(rank=rank) for rank, hit in enumerate(others, start=1)), tuple(own)
    )
