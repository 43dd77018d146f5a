"""What ``query`` and ``forget`` share: from options to features, and from hits to rows."""

import argparse
import os
from pathlib import Path

from ..errors import UserError
from ..index import Hit, PersonIndex
from ..inference import load_network, read_frame
from ..inference.files import format_time
from ..inference.query import (
    Query,
    parse_numbers,
    query_at_point,
    query_of_box,
    read_named_frame,
)

COLUMNS = ("rank", "similarity", "person", "score", "camera", "time", "frame", "box")


def check_queries(args: argparse.Namespace) -> None:
    """Refuse pictures, boxes and points that do not go together.

    Raises:
        UserError: see there.
    """
    if not args.images and not args.person:
        raise UserError("nobody is asked for; name a picture, or a person of the index (--person)")
    for option, values in (("--box", args.box), ("--point", args.point)):
        if values and len(values) != len(args.images):
            raise UserError(
                f"{option} is given {len(values)} times for {len(args.images)} pictures; give one "
                "for each picture, in their order"
            )


def check_output(option: str, path: str | None, endings: tuple[str, ...]) -> None:
    """Refuse an output file, before any work, that has another ending, or whose folder is missing.

    Raises:
        UserError: see there.
    """
    if not path:
        return
    if not path.lower().endswith(endings):
        raise UserError(f"{option} {path}: allowed endings are {', '.join(endings)}")
    if not os.path.isdir(os.path.dirname(path) or "."):
        raise UserError(f"{option} {path}: there is no folder {os.path.dirname(path)}; make it")


def find_queries(args: argparse.Namespace, index: PersonIndex) -> list[Query]:
    """The persons asked for by pictures and by ids.

    Raises:
        UserError: if a picture can't be read, a box is not in it, nobody is at a point, the
            network is not that of the index, or the index has no such person.
    """
    queries = [_of_index(index, person_id) for person_id in args.person]
    if not args.images:
        return queries
    boxes = [parse_numbers("--box", text, 4) for text in args.box]
    points = [parse_numbers("--point", text, 2) for text in args.point]
    images = [read_named_frame(name) for name in args.images]
    location, weights = args.model or index.info.model, args.weights
    if not args.model:
        if not os.path.exists(location):
            raise UserError(
                f"the network that made the index is not at {location} any more; say with --model "
                "where it is"
            )
        weights = weights or index.info.weights
    network = load_network(location, weights, args.device)
    index.check_model(network.fingerprint)
    for i, (name, image) in enumerate(zip(args.images, images)):
        if points:
            queries.append(query_at_point(network, name, image, points[i], network.score_thresh))
        else:
            queries.append(query_of_box(network, name, image, boxes[i] if boxes else None))
    return queries


def _of_index(index: PersonIndex, person_id: int) -> Query:
    person = index.person(person_id)
    feature = index.features([person_id])[0]
    # the file may be gone; it is needed only where pictures are drawn
    return Query(person.frame.name, None, person.box, feature)


def hit_rows(hits: list[Hit]) -> tuple[tuple[str, ...], list[list]]:
    """The columns, and a row for each hit, of JSON's types."""
    rows = []
    for hit in hits:
        person, frame = hit.person, hit.person.frame
        rows.append(
            [
                *(hit.rank, round(hit.similarity, 4), person.person_id, round(person.score, 4)),
                *(frame.camera, format_time(frame.time), frame.name),
                [round(value, 1) for value in person.box],
            ]
        )
    return COLUMNS, rows


def picture_records(queries: list[Query], hits: list[Hit]) -> tuple[list[dict], list[dict], dict]:
    """What :mod:`..utils.search_pages` draws: records of queries and hits, and pictures by name."""
    shown = [
        {"file_name": q.name, "image_id": Path(q.name).name, "camera_id": None, "bbox": q.box}
        for q in queries
    ]
    records = []
    for hit in hits:
        person, frame = hit.person, hit.person.frame
        records.append(
            {
                **{"file_name": frame.name, "image_id": Path(frame.name).name},
                **{"rank": hit.rank, "similarity": hit.similarity, "bbox": person.box},
                **{"score": person.score, "camera_id": frame.camera},
                **{"person_id": person.person_id, "time": format_time(frame.time)},
            }
        )
    return shown, records, _Pictures(queries, hits)


class _Pictures:
    """Calls return the picture of a record's ``file_name``, RGB, or None if it is gone."""

    def __init__(self, queries: list[Query], hits: list[Hit]):
        self._images = {q.name: q.image for q in queries if q.image is not None}
        self._frames = {hit.person.frame.name: hit.person.frame for hit in hits}

    def __call__(self, name: str):
        if name in self._images:
            return self._images[name]
        try:
            if name in self._frames:
                return read_frame(self._frames[name].path, self._frames[name].number)
            return read_named_frame(name)
        except UserError:
            return None
