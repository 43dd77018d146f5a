"""Remove persons from an index for good: their boxes and features are overwritten on the disk.

  person-search forget --index DIR --person 1234              one detection, by its id
  person-search forget --index DIR --frame a.jpg              everybody in a picture
  person-search forget --index DIR --query a.jpg --point 140,120 --min-similarity 0.6
                                                              everybody who looks like the person

A similarity is no proof of identity, so that with --query the persons are listed first, and are
only removed with --yes. The files themselves stay, and a file that changes is indexed again with
all who are in it; to keep a person out, delete the pictures as well.
"""

import argparse
import logging

HELP = "remove persons from an index for good"

logger = logging.getLogger(__name__)

# How many persons a query can remove at once.
MAX_HITS = 10_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from .common import add_filter_arguments, add_index_argument, add_model_arguments
    from .query import add_query_arguments

    add_index_argument(parser)
    parser.add_argument(
        "--frame",
        action="append",
        default=[],
        metavar="FILE",
        help="everybody in a picture, a video, or a frame VIDEO#PTS; may be repeated",
    )
    parser.add_argument(
        "--query",
        dest="images",
        action="append",
        default=[],
        metavar="IMAGE",
        help="everybody similar to the person in a picture, who is found as in `query`",
    )
    add_query_arguments(parser)
    parser.add_argument(
        "--min-similarity",
        type=float,
        metavar="S",
        help="with --query: how similar, -1 to 1",
    )
    parser.add_argument("--yes", action="store_true", help="with --query: remove those listed")
    add_model_arguments(parser, required=False)
    add_filter_arguments(parser)


def run(args: argparse.Namespace) -> int:
    from ..errors import UserError
    from ..index import open_index

    if not (args.person or args.frame or args.images):
        raise UserError("nobody is named; use --person, --frame or --query")
    with open_index(args.index) as index:
        ids = [index.person(person_id).person_id for person_id in args.person]
        ids += _in_frames(args.frame, index)
        if args.images:
            found = _similar(args, index)
            if not args.yes:
                logger.info("Nobody has been removed; --yes removes the %d listed", len(found))
                return 0
            ids += found
        removed = index.forget(sorted(set(ids)))
        logger.info("%d persons have been removed from index %s", removed, index.location)
    return 0


def _in_frames(names: list[str], index) -> list[int]:
    import os

    from ..errors import UserError
    from ..inference.query import split_name

    ids = []
    for name in names:
        frames = index.find_frames(os.path.abspath(name))
        path, pts = split_name(name)
        if not frames and pts is not None:  # else "#" is part of the file's own name
            frames = index.find_frames(os.path.abspath(path), pts)
        if not frames:
            raise UserError(
                f"--frame {name}: index {index.location} has no such frame; name it as `query` "
                "prints it"
            )
        for frame in frames:
            ids += [person.person_id for person in index.persons(frame.frame_id)]
    return ids


def _similar(args: argparse.Namespace, index) -> list[int]:
    """Print, and return the ids of, those at least as similar as asked."""
    from tabulate import tabulate

    from ..errors import UserError
    from ..inference.hit_records import hit_rows
    from .common import read_filters
    from .queries import check_queries, find_queries

    check_queries(args)
    if args.min_similarity is None:
        raise UserError("--query needs --min-similarity: from which similarity on, such as 0.6")
    asked = argparse.Namespace(**{**vars(args), "person": []})
    features = [query.feature for query in find_queries(asked, index)]
    hits = index.search(features, MAX_HITS, read_filters(args))
    hits = [hit for hit in hits if hit.similarity >= args.min_similarity]
    columns, rows = hit_rows(hits)
    table = [[*row[:-1], ",".join(map(str, row[-1]))] for row in rows]
    print(tabulate(table, columns, disable_numparse=True))
    return [hit.person.person_id for hit in hits]
