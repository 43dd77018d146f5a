"""What ``query`` and ``forget`` share: from options to the persons asked for."""

import argparse
import os

from ..errors import UserError
from ..index import PersonIndex
from ..network import choose_network, load_network
from ..search.query import (
    Query,
    parse_numbers,
    query_at_point,
    query_of_box,
    query_of_person,
    read_named_frame,
)


def check_queries(args: argparse.Namespace) -> None:
    """Raise a UserError for pictures, boxes and points that do not go together."""
    if not args.images and not args.person:
        raise UserError("nobody is asked for; name a picture, or a person of the index (--person)")
    for option, values in (("--box", args.box), ("--point", args.point)):
        if values and len(values) != len(args.images):
            raise UserError(
                f"{option} is given {len(values)} times for {len(args.images)} pictures; give one "
                "for each picture, in their order"
            )


def check_output(option: str, path: str | None, endings: tuple[str, ...]) -> None:
    """Raise a UserError for an output file with another ending or in a folder that is missing."""
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
    queries = [query_of_person(index, person_id) for person_id in args.person]
    if not args.images:
        return queries
    boxes = [parse_numbers("--box", text, 4) for text in args.box]
    points = [parse_numbers("--point", text, 2) for text in args.point]
    images = [read_named_frame(name, index) for name in args.images]
    chosen = choose_network(args.model, args.weights, index.info)
    network = load_network(*chosen, args.device, args.models_dir, index.info.precision)
    index.check_model(network.fingerprint)
    for i, (name, image) in enumerate(zip(args.images, images)):
        if points:
            queries.append(query_at_point(network, name, image, points[i], network.score_thresh))
        else:
            queries.append(query_of_box(network, name, image, boxes[i] if boxes else None))
    return queries
