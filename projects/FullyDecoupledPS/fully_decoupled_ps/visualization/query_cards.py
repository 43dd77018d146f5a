"""Which queries the report shows, and what it says and draws of each."""

from collections.abc import Callable, Sequence
from pathlib import Path, PurePath

import numpy as np

from ..evaluation.query_results import NOT_DETECTED, NUM_HITS, PathLike, Record
from ..utils.boxes import iou
from . import visualizer
from .visualizer import picture

Read = Callable[[str], np.ndarray]

NUM_QUERIES = 12
NUM_HARDEST = 4
NUM_MISSED = 8  # missed appearances drawn per query; the rest are counted
MISSED_CROP = (96, 192)
FRAME_WIDTH = 160


def select_queries(
    ranking: Sequence[Record], count: int = NUM_QUERIES, hardest: int = NUM_HARDEST
) -> list[Record]:
    """`count` of the queries in `ranking` (best AP first), in its order.

    The last `hardest` are always in, so that a good network's failures show as well; the others
    are spread evenly over the rest of the ranking, the best and the last of that rest included.
    All, if there are no more than `count`.

    >>> select_queries("abcdefghij", count=5, hardest=2)
    ['a', 'd', 'h', 'i', 'j']
    """
    if len(ranking) <= count:
        return list(ranking)
    rest = ranking[: len(ranking) - hardest]
    spread = count - hardest
    chosen = [rest[i * (len(rest) - 1) // (spread - 1)] for i in range(spread)]
    return chosen + list(ranking[len(rest) :])


def find_image(file_name: str, image_root: PathLike | None) -> Path:
    """Where a picture is: at `file_name`, or under `image_root` if that is given.

    Under the root it is the longest tail of `file_name` that exists there (`a/b/c.jpg`, then
    `b/c.jpg`, then `c.jpg`), so that results made on another machine find their pictures here.
    """
    if image_root is None:
        return Path(file_name)
    # only plain names are joined to the root, so that no recorded path leads out of it
    full = PurePath(file_name)
    names = [part for part in full.parts if part not in (full.anchor, "..")]
    tails = [Path(image_root, *names[start:]) for start in range(len(names))]
    return next((tail for tail in tails if tail.is_file()), tails[-1])


def query_card(query: Record, read: Read) -> Record:
    """What the page shows of one query; `read` returns the frame of a `file_name`."""
    name = f"query {query['query_id']}"
    first, hits = query["first_hit_rank"], query["hits"][:NUM_HITS]
    found = {hit["image_id"]: hit["rank"] for hit in hits if hit.get("correct")}
    status = ("found" if first == 1 else "late", first_hit(query))
    if first is None or first > len(hits):
        status = ("missing", first_hit(query) + ", below those shown" * (first is not None))
    view = visualizer.draw_query(read(query["file_name"]), query)
    missed = sorted(query["missed"], key=lambda m: m["reason"] != NOT_DETECTED)
    return {
        "query": query,
        "status": status,
        "picture": picture(view, f"{name}, {place(query)}: the person to find"),
        "hits": [hit_card(hit, found.get(hit["image_id"]), name, read) for hit in hits],
        "missed": [missed_card(record, name, read) for record in missed[:NUM_MISSED]],
        "missed_not_drawn": max(len(missed) - NUM_MISSED, 0),
    }


def hit_card(hit: Record, found_at: int | None, name: str, read: Read) -> Record:
    """One gallery hit: its crop, the verdict in words, and the frame if the person is missed there.

    `found_at`: see `judge`.
    """
    image = read(hit["file_name"])
    verdict, note = judge(hit, found_at)
    alt = f"Hit {hit['rank']} of {name}, {place(hit)}: {verdict}"
    crop = picture(visualizer.draw_hit(image, hit), alt)
    frame = None
    if note and found_at is None:
        view = visualizer.draw_frame(image, hit, FRAME_WIDTH)
        frame = picture(view, f"The whole frame of hit {hit['rank']}: {note}")
    return {"hit": hit, "verdict": verdict, "note": note, "picture": crop, "frame": frame}


def judge(hit: Record, found_at: int | None) -> tuple[str, str]:
    """A hit's verdict ("right", "wrong", "not judged") and, where the person is in its frame, why.

    `found_at` is the rank of the right hit in the same frame, if one is shown: a person counts
    once per frame, by the first box that overlaps enough.
    """
    if hit.get("correct") is None:
        return "not judged", ""
    if hit["correct"]:
        return "right", ""
    if hit.get("gt_bbox") is None:
        return "wrong", ""
    overlap = iou(hit["bbox"], hit["gt_bbox"])
    if not overlap:
        who = "the person" if found_at is None else f"the person, right at rank {found_at},"
        return "wrong", f"{who} stands elsewhere in this frame"
    if found_at is not None and found_at < hit["rank"]:
        return "wrong", f"IoU {overlap:.2f} with the person, who counts once, at rank {found_at}"
    return "wrong", f"IoU {overlap:.2f} with the person: too little"


def missed_card(missed: Record, name: str, read: Read) -> Record:
    """An appearance of the query person that is not among the hits, with the evaluator's reason."""
    view = visualizer.draw_missed(read(missed["file_name"]), missed, MISSED_CROP)
    alt = f"Appearance missed for {name}, {place(missed)}: {missed['reason']}"
    return {"missed": missed, "picture": picture(view, alt)}


def first_hit(query: Record) -> str:
    """The rank of the first right hit, in words."""
    rank = query["first_hit_rank"]
    return "never found" if rank is None else f"first right hit at rank {rank}"


def place(record: Record) -> str:
    """Camera, if known, and frame, in words."""
    camera = record.get("camera_id")
    return (f"camera {camera}, " if camera is not None else "") + str(record["image_id"])
