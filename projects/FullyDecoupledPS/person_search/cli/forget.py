"""Remove persons from an index or a project for good: what was kept of them is overwritten.

  person-search forget --index DIR --person 1234              one detection, by its id
  person-search forget --index DIR --frame a.jpg              everybody in a picture
  person-search forget --index DIR --query a.jpg --point 140,120 --min-similarity 0.6
                                                              everybody who looks like the person
  person-search forget --index DIR --list                     who is kept out
  person-search forget --index DIR --undo 1234567             let somebody of that list back in
  person-search forget --project DIR --person 12              a person of a project to be labelled,
                                                              by the number on its page

A similarity is no proof of identity, so that with --query the persons are listed first, and are
only removed with --yes. The files themselves stay. The index remembers the content of the file (a
hash), the frame and the box, and no feature, so that nobody comes back when a file is touched,
copied or indexed with other settings.

Of a project go the person's tracklets with boxes, crops and features, and the decisions about them;
the frames that show the person are neither shown nor exported any more, and exports within the
project's folder that have them are removed. Networks trained from it stay.

Exit status: 0; 1 if somebody may come back because the content of a file could not be read, or an
export elsewhere shows somebody (they are listed); 2 for a mistake in the command.
"""

import argparse
import logging
import os

from tabulate import tabulate

from fully_decoupled_ps.utils.arguments import number, whole_number
from fully_decoupled_ps.utils.names import printable

from ..errors import UserError
from ..index import open_index
from ..media.times import format_time
from ..search.filters import check_cameras
from .common import add_filter_arguments, add_index_argument, add_model_arguments, read_filters
from .query import add_query_arguments

HELP = "remove persons from an index or a project for good"

logger = logging.getLogger(__name__)

# How many persons a query can remove at once.
MAX_HITS = 10_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    place = parser.add_mutually_exclusive_group(required=True)
    add_index_argument(place, required=False)
    place.add_argument("--project", metavar="DIR", help="folder of a project of `label`")
    parser.add_argument(
        "--frame",
        action="append",
        default=[],
        metavar="FILE",
        help="everybody in a picture, a video, a frame VIDEO#PTS, or in all files of a folder, "
        "which need not be there any more; may be repeated",
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
        type=number(-1, 1),
        metavar="S",
        help="with --query: how similar, -1 to 1",
    )
    parser.add_argument("--yes", action="store_true", help="with --query: remove those listed")
    parser.add_argument("--list", action="store_true", help="print who is kept out")
    parser.add_argument(
        "--undo",
        nargs="+",
        type=whole_number(0),
        default=[],
        metavar="ID",
        help="let those of the list back in: their files are read again when they are next indexed",
    )
    add_model_arguments(parser)
    add_filter_arguments(parser)


def run(args: argparse.Namespace) -> int:
    asked = bool(args.person or args.frame or args.images)
    if args.project:
        from .forget_project import forget_of_project

        return forget_of_project(args)
    if asked + args.list + bool(args.undo) > 1:
        raise UserError("--list, --undo and who is forgotten are commands of their own; name one")
    with open_index(args.index) as index:
        if args.list:
            return list_tombstones(index)
        if args.undo:
            return _undo(args.undo, index)
        if not asked:
            raise UserError("nobody is named; use --person, --frame or --query")
        return _forget(args, index)


def _forget(args: argparse.Namespace, index) -> int:
    from ..search.forgetting import Target, make_tombstones

    sources = index.sources()
    persons = [index.person(person_id) for person_id in args.person]
    targets, in_frames = _in_frames(args.frame, index, sources)
    if args.images:
        found = _similar(args, index)
        if not args.yes:
            logger.info("Nobody has been removed; --yes removes the %d listed", len(found))
            return 0
        persons += found
    for person in persons:
        f = person.frame
        targets.append(Target(f.path, f.pts is not None, f.pts, person.box, f.checksum))
    tombstones = make_tombstones(targets, sources)
    ids = {person.person_id for person in persons} | set(in_frames)
    removed = index.forget(sorted(ids), tombstones.all)
    logger.info("%d persons have been removed from index %s", removed, index.location)
    # of a missing file nothing but its name could be remembered
    gone = [t.path for t in targets if t.pts is None and t.box is None]
    index.remove_files(path for path in gone if path in tombstones.unreadable)
    return tell_problems({**tombstones.changed, **tombstones.unreadable})


def tell_problems(problems: dict[str, str]) -> int:
    """Log the files whose content is not known; returns the exit status."""
    if not problems:
        return 0
    logger.warning(
        "%d file(s) could not be read as they were indexed. Who was forgotten in them is kept out "
        "as soon as `index` finds such a file unchanged, but not once it is changed or moved:",
        len(problems),
    )
    for problem in problems.values():
        logger.warning("  %s", problem)
    return 1


def _in_frames(names: list[str], index, sources) -> tuple[list, list[int]]:
    """The targets of ``--frame``, and the ids of the persons in them."""
    from ..search.forgetting import Target
    from ..search.query import split_name

    targets, ids = [], []
    for name in names:
        files, pts = _file(name, sources) or _files_below(name, sources), None
        if not files:  # else "#" is part of the file's own name
            path, pts = split_name(name)
            files = [] if pts is None else _file(path, sources)
        found = {file: index.find_frames(file, pts) for file in files}
        if not any(found.values()):
            raise UserError(
                f"--frame {name}: index {index.location} has no such frame; name it as `query` "
                "prints it"
            )
        for file, frames in found.items():
            is_video = any(frame.pts is not None for frame in frames)
            checksum = frames[0].checksum if pts is not None and frames else None
            targets.append(Target(file, is_video, pts, checksum=checksum))
            for frame in frames:
                ids += [person.person_id for person in index.persons(frame.frame_id)]
    return targets, ids


def _file(name: str, sources) -> list[str]:
    """The file of the index, or none; ``name`` may be a link to it."""
    from ..search.query import absolute_paths

    return [path for path in absolute_paths(name) if path in sources][:1]


def _files_below(name: str, sources) -> list[str]:
    """The files of the index below a folder; ``name`` may be a link to it."""
    from ..search.query import absolute_paths

    roots = tuple(os.path.join(path, "") for path in absolute_paths(name))
    return [path for path in sources if path.startswith(roots)]


def list_tombstones(index) -> int:
    rows = [
        (
            *(t.tombstone_id, format_time(t.forgotten_at)),
            printable(t.path if t.pts is None else f"{t.path}#{t.pts}"),
            "everybody" if t.box is None else ",".join(f"{value:.1f}" for value in t.box),
            "yes" if t.digest else "not read yet",
        )
        for t in index.tombstones()
    ]
    print(tabulate(rows, ("id", "forgotten", "frame", "box", "kept out"), disable_numparse=True))
    return 0


def _undo(ids: list[int], index) -> int:
    from ..search.forgetting import lift_tombstones

    known = {tombstone.tombstone_id: tombstone for tombstone in index.tombstones()}
    for asked in ids:
        if asked not in known:
            raise UserError(
                f"--undo {asked}: nobody of that id was forgotten from index {index.location}; "
                "--list prints the ids"
            )
    paths = lift_tombstones(index, [known[asked] for asked in ids])
    logger.info(
        "%d are no longer kept out; they are found again when `index` next reads their files: %s",
        *(len(set(ids)), ", ".join(paths) or "none is in the index now"),
    )
    return 0


def _similar(args: argparse.Namespace, index) -> list:
    """The persons that are at least as similar as asked; they are printed, too."""
    from ..search.hit_records import COLUMNS, text_rows
    from .queries import check_queries, find_queries

    check_queries(args)
    if args.min_similarity is None:
        raise UserError("--query needs --min-similarity: from which similarity on, such as 0.6")
    asked = argparse.Namespace(**{**vars(args), "person": []})
    features = [query.feature for query in find_queries(asked, index)]
    filters = read_filters(args)
    check_cameras(filters.cameras, index.cameras())
    hits = index.search(features, MAX_HITS, filters)
    hits = [hit for hit in hits if hit.similarity >= args.min_similarity]
    print(tabulate(text_rows(hits), COLUMNS, disable_numparse=True))
    return [hit.person for hit in hits]
