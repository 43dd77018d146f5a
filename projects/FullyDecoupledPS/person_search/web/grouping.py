"""Hits grouped by camera and time, so that one visit of a person is one group."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..index import Hit


@dataclass(frozen=True)
class HitGroup:
    """Hits of one camera that follow each other closely."""

    camera: str
    start: float  # seconds since the epoch, of the first
    end: float  # and of the last
    hits: tuple[Hit, ...]  # the most similar first


def group_hits(hits: Sequence[Hit], pause: float) -> list[HitGroup]:
    """Split each camera's hits where no hit follows within ``pause`` seconds.

    Args:
        hits: the most similar first.
        pause: seconds, 0 or more.

    Returns:
        list: every hit is in one group; the group with the best hit comes first.
    """
    groups: list[list[Hit]] = []
    last = None
    for hit in sorted(hits, key=lambda h: (h.person.frame.camera, h.person.frame.time)):
        frame = hit.person.frame
        if last is None or frame.camera != last.camera or frame.time - last.time > pause:
            groups.append([])
        groups[-1].append(hit)
        last = frame
    made = []
    for group in groups:
        first, last = group[0].person.frame, group[-1].person.frame
        ranked = tuple(sorted(group, key=lambda hit: hit.rank))
        made.append(HitGroup(first.camera, first.time, last.time, ranked))
    return sorted(made, key=lambda group: group.hits[0].rank)
