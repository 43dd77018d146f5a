"""Search an index for a person, shown in one picture or several.

  person-search query a.jpg --box 100,50,180,260 --index DIR    the person in the box
  person-search query a.jpg --point 140,120 --index DIR         the person detected there
  person-search query crop.jpg --index DIR                      the whole picture is the person
  person-search query --person 1234 --index DIR                 a person of the index

Several pictures of one person, each with its --box or --point in the same order, are merged by
their mean feature. The detection that is the query itself is left out of the hits: the person of
--person, and the one at the query's box where the picture is a frame of the index. A frame of a
video is VIDEO#PTS, as hits are printed. Similarities are cosines, -1 to 1. They are no proof of
identity; pictures of hits below 0.5 are drawn pale.
"""

import argparse
import logging

from tabulate import tabulate

from fully_decoupled_ps.utils.arguments import whole_number

from ..index import open_index
from ..search.filters import check_cameras, describe_range
from .common import add_filter_arguments, add_index_argument, add_model_arguments, read_filters

HELP = "search an index for a person in a picture"

logger = logging.getLogger(__name__)

# Hits of one search: their rows and, with --html, their pictures are in memory at once.
MAX_TOP = 1_000_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("images", nargs="*", metavar="IMAGE", help="picture, or VIDEO#PTS")
    add_index_argument(parser)
    add_query_arguments(parser)
    add_model_arguments(parser)
    parser.add_argument(
        "--top", type=whole_number(1, MAX_TOP), default=50, help="how many hits (default 50)"
    )
    parser.add_argument(
        "--cws",
        action="store_true",
        help="multiply similarities by the detections' scores (class weighted similarity)",
    )
    add_filter_arguments(parser)
    output = parser.add_argument_group("output")
    kind = output.add_mutually_exclusive_group()
    kind.add_argument("--json", action="store_true", help="print JSON instead of a table")
    kind.add_argument("--csv", action="store_true", help="print CSV instead of a table")
    output.add_argument("--html", metavar="OUT", help="write a page with the hits' pictures")
    output.add_argument("--montage", metavar="OUT.png", help="write a picture of the hits")


def add_query_arguments(parser: argparse.ArgumentParser) -> None:
    """Options that name the person, beside the pictures."""
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--box", action="append", default=[], metavar="x0,y0,x1,y1", help="the person's box"
    )
    where.add_argument(
        "--point", action="append", default=[], metavar="x,y", help="a point on the person"
    )
    parser.add_argument(
        "--person",
        action="append",
        type=whole_number(0),
        default=[],
        help="id of a person of the index",
    )


def run(args: argparse.Namespace) -> int:
    from ..search.searching import own_detections, search_others
    from .queries import check_output, check_queries, find_queries

    check_queries(args)
    check_output("--html", args.html, (".html", ".htm"))
    check_output("--montage", args.montage, (".png", ".jpg", ".jpeg"))
    filters = read_filters(args)
    with open_index(args.index) as index:
        check_cameras(filters.cameras, index.cameras())
        queries = find_queries(args, index)
        own = own_detections(index, queries)
        found = search_others(index, queries, filters, args.top, cws=args.cws, own=own)
        # first, as a reader of what is printed may close the pipe
        _write_pictures(args, queries, found.hits)
        _print(args, queries, found)
        if own:
            ids = ", ".join(map(str, own))
            logger.info("Left out, for it is the query itself: person %s of the index", ids)
        if not found.hits:
            others = "other " if own else ""
            times = describe_range(index)
            logger.warning("No %sperson of the index passes the filters; %s", others, times)
    return 0


def _print(args, queries, found) -> None:
    from ..search.hit_records import COLUMNS, csv_text, json_text, text_rows

    if args.json:
        print(json_text(args.index, queries, found.hits, found.own))
    elif args.csv:
        print(csv_text(found.hits), end="")
    elif found.hits:
        print(tabulate(text_rows(found.hits), COLUMNS, disable_numparse=True))


def _write_pictures(args, queries, hits) -> None:
    from fully_decoupled_ps.predictor import replace_file

    from ..search.search_pages import make_montage, make_page

    if args.html:
        replace_file(args.html, make_page(args.index, queries, hits))
        logger.info("Written: %s", args.html)
    if args.montage:
        extension = ".png" if args.montage.lower().endswith(".png") else ".jpg"
        replace_file(args.montage, make_montage(queries, hits, extension))
        logger.info("Written: %s", args.montage)
