"""What a class of an annotation tool or benchmark is for person search, by its name."""

import re
from collections.abc import Iterable
from enum import Enum

from detectron2.data.datasets.builtin_meta import COCO_CATEGORIES


class Kind(Enum):
    """What becomes of a box of a class."""

    PERSON = "a person, with its id"
    UNLABELLED = "a person, without an id"
    IGNORED = "a region that counts neither for nor against a detection"
    OTHER = "no person"


PERSON_NAMES = {"person", "persons", "pedestrian", "pedestrians", "human"}
# Persons all the same, but their tracks are not made for telling people apart.
UNLABELLED_NAMES = {"person on vehicle", "static person"}
IGNORED_NAMES = {
    "crowd", "distractor", "reflection", "ignore", "ignored", "ignore region", "ignored region",
    "ignored regions", "dontcare", "dont care",
}  # fmt: skip
# COCO's things and stuff, and the other classes of the MOT challenge
OTHER_NAMES = {c["name"] for c in COCO_CATEGORIES} - PERSON_NAMES | {
    "vehicle", "motorbike", "non motorized vehicle", "occluder", "occluder on the ground",
    "occluder full", "bike", "van", "animal",
}  # fmt: skip


def kind_of_class(
    name: str,
    persons: Iterable[str] = (),
    ignored: Iterable[str] = (),
    others: Iterable[str] = (),
) -> Kind | None:
    """
    Args:
        name: of a class; case, and "_" or "-" for a blank, make no difference.
        persons, ignored, others: what the user says of classes, before what is known of the name.

    Returns:
        None if nothing is known of the name: then nobody but the user can tell.
    """
    name = plain_name(name)
    for names, kind in (
        (map(plain_name, persons), Kind.PERSON),
        (map(plain_name, ignored), Kind.IGNORED),
        (map(plain_name, others), Kind.OTHER),
        (PERSON_NAMES, Kind.PERSON),
        (UNLABELLED_NAMES, Kind.UNLABELLED),
        (IGNORED_NAMES, Kind.IGNORED),
        (OTHER_NAMES, Kind.OTHER),
    ):
        if name in names:
            return kind
    return None


def plain_name(name: str) -> str:
    """
    >>> plain_name(" Person_on-vehicle ")
    'person on vehicle'
    """
    return re.sub(r"[\s_-]+", " ", name).strip().lower()
