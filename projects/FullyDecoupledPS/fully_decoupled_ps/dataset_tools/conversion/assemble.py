"""Converted sequences to training and test sets, with their queries, counts and warnings."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from ...data.datasets.duplicates import groups_of_copies
from .frames import OUTSIDE, Converted, drop_copies, numbered_anew
from .json_file import ConvertedSet
from .split import draw_queries, split_by_ids, split_by_sequences


def make_sets(
    converted: Converted,
    info: dict[str, Any],
    *,
    split: str,
    test_sequences: Sequence[str],
    test_share: float,
    seed: int,
) -> list[ConvertedSet]:
    """
    Args:
        converted: what is left out or changed here is counted in it, too.
        info: of the files; gets what was assumed, left out and warned of.
        split: "ids", "sequences" or "none".
        test_sequences, test_share, seed: as for :mod:`.split`.

    Returns:
        "train" and "test", or "test" alone.

    Raises:
        UserError: a picture is in two sequences, or a side of the split would be empty.
    """
    counts = converted.counts
    dicts = drop_copies(converted.dicts, counts)
    train = None
    if split == "none":
        test = [d for own in dicts.values() for d in own]
    elif split == "sequences":
        train, test, info["test_sequences"] = split_by_sequences(
            dicts, test=test_sequences, share=test_share, seed=seed
        )
    else:
        train, test, unlabelled = split_by_ids(dicts, test_share)
        counts.update(unlabelled)
    queries, without = draw_queries(test, seed)
    counts["test persons in one frame only (no query)"] += without
    info["assumed"] = converted.assumed
    info["left_out_or_changed"] = dict(+counts)
    info["warnings"] = _warnings(converted, test, queries)
    sets = [ConvertedSet("test", test, queries, info)]
    if train is not None:
        sets.insert(0, ConvertedSet("train", train, None, info))
    return sets


def warn_of_copies(sets: Sequence[ConvertedSet]) -> None:
    """Warns of pictures that are twice in a benchmark's layout, which is kept as it is."""
    groups = groups_of_copies(dict.fromkeys(d["file_name"] for s in sets for d in s.dicts))
    for s in sets if groups else ():
        s.info["warnings"] = [
            f"{len(groups)} pictures are there more than once, as '{groups[0][0]}' and "
            f"'{groups[0][1]}'; their people are split from themselves, or found in a copy"
        ]


def _warnings(converted: Converted, test: list[dict], queries: list[dict]) -> list[str]:
    found = []
    anew = numbered_anew(converted.shared_ids)
    if anew:
        found.append(
            f"--ids shared: the ids of each of {', '.join(anew)} are numbered without a gap, as "
            "CVAT and trackers number the tracks of each sequence anew; then different people "
            "were merged here. See docs/train-for-your-site.md for ids that hold across cameras"
        )
    boxes = sum(len(d["annotations"]) for own in converted.dicts.values() for d in own)
    if converted.counts[OUTSIDE] > 0.1 * (boxes + converted.counts[OUTSIDE]):
        found.append(
            f"{converted.counts[OUTSIDE]} boxes, and {boxes} inside, are outside their picture: "
            "are the pictures smaller than those that were annotated?"
        )
    cameras: dict[int, set] = {}
    for d in test:
        for a in d["annotations"]:
            cameras.setdefault(a["person_id"], set()).add(d["camera_id"])
    across = sum(len(cameras[q["person_id"]]) > 1 for q in queries)
    if not queries:
        found.append(
            "no test person is in two frames, so there is no query and no search can be measured"
        )
    elif not across:
        found.append(
            "no test person is seen by two cameras: the search across cameras (multi_view) has "
            "nobody to find, and the other one compares frames of one camera"
        )
    return found


def count_boxes(sets: Sequence[ConvertedSet]) -> list[dict[str, Any]]:
    """A row of figures for each set."""
    rows = []
    for s in sets:
        annotations = [a for d in s.dicts for a in d["annotations"]]
        ids = Counter(a["person_id"] for a in annotations if not a.get("iscrowd"))
        ignored = len(annotations) - sum(ids.values())
        rows.append(
            {
                "": f"{s.name}.json",
                "frames": len(s.dicts),
                "boxes": sum(ids.values()),
                "unlabelled": ids.pop(-1, 0),
                "persons": len(ids),
                "ignore regions": ignored,
                "queries": "" if s.queries is None else len(s.queries),
            }
        )
    return rows
