"""Splits converted sequences into training and test sets, and chooses the queries."""

import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from ...errors import UserError

Dicts = list[dict[str, Any]]

SPLITS = ("train", "test")
QUERY_RULE = "one per test person and camera, drawn at random, for persons in two frames or more"


def split_by_sequences(
    converted: dict[str, Dicts], *, test: Sequence[str] = (), share: float = 0.5, seed: int = 0
) -> tuple[Dicts, Dicts, list[str]]:
    """
    Args:
        converted: dataset dicts by sequence.
        test: the sequences for testing; none: `share` of them, drawn with `seed`, one at least.

    Returns:
        training and test dicts, and the names of the test sequences. A person of both keeps the
        same id.

    Raises:
        UserError: an unknown name, or nothing would be left to train or to test.
    """
    names = list(converted)
    unknown = [name for name in test if name not in converted]
    if unknown:
        raise UserError(
            f"--test-sequences: '{unknown[0]}' is none of the sequences {', '.join(names)}"
        )
    if not test and len(names) > 1:
        count = min(max(round(share * len(names)), 1), len(names) - 1)
        test = random.Random(seed).sample(names, count)
    if not test or len(set(test)) == len(names):
        raise UserError(
            f"--split sequences leaves nothing to {'test' if not test else 'train'} on, with "
            f"{len(names)} sequence(s); use --split ids, or --split none"
        )
    train = [d for name in names if name not in test for d in converted[name]]
    return train, [d for name in names if name in test for d in converted[name]], sorted(test)


def split_by_ids(
    converted: dict[str, Dicts], share: float = 0.5
) -> tuple[Dicts, Dicts, dict[str, int]]:
    """
    Each sequence is cut in time: its last `share` of frames are for testing. A person that is on
    both sides belongs to the one where it has more boxes, if as many to the one with fewer persons
    (training, if as many), and is unlabelled on the other. So no frame and no id is in both.

    Returns:
        training and test dicts, and counts of what that has unlabelled.

    Raises:
        UserError: one side would have nobody labelled.
    """
    sides: tuple[Dicts, Dicts] = ([], [])
    for dicts in converted.values():
        cut = len(dicts) - round(share * len(dicts))
        sides[0].extend(dicts[:cut])
        sides[1].extend(dicts[cut:])
    boxes = [Counter(a["person_id"] for d in side for a in d["annotations"]) for side in sides]
    ids = sorted(i for i in boxes[0] + boxes[1] if i >= 0)
    side_of = {i: int(boxes[1][i] > boxes[0][i]) for i in ids if boxes[0][i] != boxes[1][i]}
    persons = Counter(side_of.values())
    for i in ids:
        if i not in side_of:
            side_of[i] = int(persons[1] < persons[0])
            persons[side_of[i]] += 1
    counts: Counter = Counter()
    for this, side in enumerate(sides):
        for a in (a for d in side for a in d["annotations"]):
            if a["person_id"] >= 0 and side_of[a["person_id"]] != this:
                a["person_id"] = -1
                counts["boxes of an id of the other split (kept, unlabelled)"] += 1
    for side, name in zip(sides, ("train", "test")):
        if not any(a["person_id"] >= 0 for d in side for a in d["annotations"]):
            raise UserError(
                f"--split ids leaves nobody to {name} on; change --test-share, or use another "
                "--split"
            )
    return sides[0], sides[1], counts


def draw_queries(dicts: Dicts, seed: int = 0) -> tuple[Dicts, int]:
    """
    For each person that is in two frames or more, by rising id: one query for each camera that
    sees it, drawn with `seed` from its boxes there.

    Returns:
        the queries of a protocol, and how many persons have none.
    """
    rng = random.Random(seed)
    seen: dict[int, dict[Any, list[tuple[dict, dict]]]] = defaultdict(lambda: defaultdict(list))
    for d in dicts:
        for a in d["annotations"]:
            if a["person_id"] >= 0:
                seen[a["person_id"]][d.get("camera_id")].append((d, a))
    queries, without = [], 0
    for person_id in sorted(seen):
        cameras = seen[person_id]
        if sum(map(len, cameras.values())) < 2:
            without += 1
            continue
        for camera in sorted(cameras, key=lambda c: (c is not None, c)):
            d, a = rng.choice(cameras[camera])
            place = {"image_id": d["image_id"], "bbox": list(a["bbox"])}
            queries.append({**place, "person_id": person_id, "gallery": None})
    return queries, without
