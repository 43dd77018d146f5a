"""COCO files to dataset dicts; an attribute, or else the track, says whose box it is."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...data.datasets.checks import dataset_dict, image_size
from ...data.datasets.json_fields import attributes, is_ignored
from ...errors import UserError
from ...utils.names import natural
from ...utils.progress import with_progress
from .classes import ClassChoice
from .coco_file import CocoSequence
from .frames import (
    Box,
    Converted,
    Dicts,
    annotation,
    require_somebody,
    unlabel_repeated,
)
from .mot_table import MAX_WHOLE

# What tools write where nobody has said anything
NOBODY = {"", "-1", "none", "null", "unknown", "__undefined__"}


@dataclass(frozen=True)
class CocoRules:
    """Which boxes are taken, and how.

    Attributes:
        id_attribute: the attribute that says who it is, the same in all files. If no box has it,
            tracks are persons, and different ones in each file.
        stride: every so many pictures, in the order of their names.
        classes: what the user says of classes.
        min_height: pixels, after cutting at the border; lower boxes become ignore regions.
    """

    id_attribute: str = "person_id"
    stride: int = 1
    classes: ClassChoice = field(default_factory=ClassChoice)
    min_height: float = 16.0


def convert_coco(sequences: Sequence[CocoSequence], rules: CocoRules) -> Converted:
    """
    Raises:
        UserError: an entry can't be understood, or no person is left.
    """
    counts: Counter = Counter()
    categories = [c for s in sequences for c in s.content["categories"]]
    names = {str(c.get("name")) for c in categories}
    rules.classes.refuse_unused(names, (str(c.get("id")) for c in categories), "file")
    attribute: str | None = rules.id_attribute
    if any(_has(a, attribute) for s in sequences for a in s.content["annotations"]):
        assumed = [f"the attribute '{attribute}' says who it is, the same in all files"]
        identities = [_identities(s, attribute) for s in sequences]
    else:
        assumed = [
            f"no box has an attribute '{attribute}': a track_id is a person, another one in each "
            "file"
        ]
        identities = _distinct_tracks([_identities(s, None) for s in sequences])
    number = _numbers_of(i for ids in identities for i in ids if i is not None)
    if any(isinstance(identity, str) for identity in number):
        names = ", ".join(f"{n} {who}" for who, n in list(number.items())[:5])
        assumed.append(f"names were numbered in alphabetical order: {names} ...")
    converted = {}
    for sequence, ids in zip(sequences, identities):
        numbers = [-1 if i is None else number[i] for i in ids]
        converted[sequence.name] = _convert(sequence, numbers, rules, counts)
    require_somebody(converted, counts)
    return Converted(converted, counts, assumed, {})


def _distinct_tracks(tracks: Sequence[list[int | None]]) -> list[list[int | None]]:
    """The k-th file's ids, from 1, are k followed by the track's number, as wide as the widest."""
    width = max((len(str(i)) for ids in tracks for i in ids if i is not None), default=1)
    return [
        [None if i is None else k * 10**width + i for i in ids] for k, ids in enumerate(tracks, 1)
    ]


def _has(entry: dict[str, Any], attribute: str) -> bool:
    return attribute in entry or attribute in attributes(entry)


def _identities(sequence: CocoSequence, attribute: str | None) -> list[Any]:
    """One for each annotation; without an attribute, the track's whole number."""
    found = []
    key = attribute or "track_id"
    for i, a in enumerate(sequence.content["annotations"]):
        where = f"{sequence.file}, annotations[{i}], {key}"
        value = a.get(key)
        value = attributes(a).get(key) if value is None else value
        identity = _read_identity(value, where)
        if attribute is None and isinstance(identity, str):
            raise UserError(f"{where}: '{identity}' is no whole number; correct it")
        found.append(identity)
    return found


def _convert(
    sequence: CocoSequence, numbers: Sequence[int], rules: CocoRules, counts: Counter
) -> Dicts:
    kinds, names = _classes(sequence, rules.classes)
    of_image: dict[Any, list] = defaultdict(list)
    for i, a in enumerate(sequence.content["annotations"]):
        of_image[a.get("image_id")].append((i, a))
    images = sorted(sequence.content["images"], key=lambda image: natural(image["file_name"]))
    unknown = set(of_image) - {image.get("id") for image in images}
    if unknown:
        i, _ = of_image[min(unknown, key=str)][0]
        raise UserError(
            f"{sequence.file}, annotations[{i}], image_id: no image has this id; correct it"
        )
    places = [k for k, image in enumerate(images) if of_image.get(image.get("id"))]
    if not places:
        return []
    counts["frames before the first or after the last annotated one"] += len(images) - (
        places[-1] - places[0] + 1
    )
    dicts = []
    taken = [images[k] for k in range(0, len(images), rules.stride) if places[0] <= k <= places[-1]]
    for image in with_progress(taken, f"{sequence.name}: reading frames"):
        d = _frame(sequence, image)
        annotations = []
        for i, a in of_image.get(image["id"], ()):
            where = f"{sequence.file}, annotations[{i}]"
            kind, name = kinds[a["category_id"]], names[a["category_id"]]
            ignored = "boxes marked as crowd or to be ignored" if is_ignored(a, where) else ""
            box = Box(_corners(a, f"{where}, bbox"), numbers[i], kind, f"'{name}'", ignored)
            made = annotation(box, d, rules.min_height, counts)
            if made:
                annotations.append(made)
                rotated = bool(attributes(a).get("rotation"))
                counts["rotated boxes (taken as if upright)"] += rotated
        d["annotations"] = unlabel_repeated(annotations, counts)
        dicts.append(d)
    return dicts


def _classes(sequence: CocoSequence, choice: ClassChoice) -> Any:
    names: dict[Any, str] = {}
    for i, category in enumerate(sequence.content["categories"]):
        number, name = category.get("id"), category.get("name")
        if not isinstance(number, int) or not isinstance(name, str) or number in names:
            raise UserError(
                f"{sequence.file}, categories[{i}]: needs a name, and an id of its own; correct it"
            )
        names[number] = name
    used = set()
    for i, a in enumerate(sequence.content["annotations"]):
        if a.get("category_id") not in names:
            raise UserError(
                f"{sequence.file}, annotations[{i}], category_id: {a.get('category_id')!r} is no "
                "category; correct it"
            )
        used.add(a["category_id"])
    return choice.kinds(names, sorted(used), str(sequence.file)), names


def _frame(sequence: CocoSequence, image: dict[str, Any]) -> dict[str, Any]:
    path = str(sequence.pictures[image["file_name"]])
    where = f"{sequence.file}, image {image['id']}"
    size = image_size(path, where)
    told = tuple(image.get(side) for side in ("width", "height"))
    if None not in told and told != size:
        raise UserError(
            f"{where}: width and height are {told[0]} x {told[1]}, and the picture has {size[0]} x "
            f"{size[1]}; boxes would be misplaced, give the picture that was annotated"
        )
    return dataset_dict(path, f"{sequence.name}/{image['id']}", size, camera_id=sequence.camera)


def _corners(entry: dict[str, Any], where: str) -> list[float]:
    box = entry.get("bbox")
    numbers = isinstance(box, list) and len(box) == 4 and all(
        isinstance(v, (int, float)) and not isinstance(v, bool) and abs(v) < 1e9 for v in box
    )  # fmt: skip
    if not numbers or min(box[2:]) < 0:
        raise UserError(f"{where}: {box!r} is not x, y, width, height; correct it")
    return [float(v) for v in (box[0], box[1], box[0] + box[2], box[1] + box[3])]


def _read_identity(value: Any, where: str) -> int | str | None:
    """
    Returns:
        a number of 0 or more, a name, or None where nobody is named.

    Raises:
        UserError: a value that is neither.
    """
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, str):
        value = value.strip()
        if value.lower() in NOBODY:
            return None
        if value.isdecimal():
            value = int(value)
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int) or not -1 <= value < MAX_WHOLE:
        raise UserError(
            f"{where}: {value!r} names no person; give a whole number from 0 to 2^53, or a name"
        )
    return None if value == -1 else value


def _numbers_of(identities: Iterable[int | str]) -> dict[int | str, int]:
    """
    Returns:
        the number of each: a number's own, if there are numbers only; else all are names, and are
        counted from 0 in alphabetical order.
    """
    everybody = set(identities)
    if all(isinstance(identity, int) for identity in everybody):
        return {identity: identity for identity in everybody}
    return {identity: k for k, identity in enumerate(sorted(everybody, key=str))}
