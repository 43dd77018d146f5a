"""``person-search SUBCOMMAND``: search one's own pictures and videos for a person."""

import argparse
import copy
import gc
import importlib
import logging
import os
import sys
from collections.abc import Sequence

from fully_decoupled_ps.utils.allocator import keep_large_buffers
from fully_decoupled_ps.utils.names import printable, take_all_names

from ..errors import UserError, translated

# Name of a subcommand -> its module, which has HELP (one line), add_arguments(parser) and
# run(args) -> exit status. A module imports what is slow or optional only in run.
SUBCOMMANDS = {
    "index": ".index",
    "query": ".query",
    "serve": ".serve",
    "forget": ".forget",
    "label": ".label",
    "models": ".models",
    "train": ".train",
    "check-dataset": "fully_decoupled_ps.dataset_tools.check_dataset",
    "convert": "fully_decoupled_ps.dataset_tools.convert",
}

# New objects until garbage is looked for among them. With Python's own 700 that is a sixth of the
# imports' time; a frame makes 200, and leaves none in cycles.
COLLECTED_AFTER = 20_000

DESCRIPTION = """\
Find a person in your own pictures and videos:

  person-search index PHOTOS --index DIR     detect everybody in them
  person-search serve --index DIR --open     search them on a page

Nothing has to be trained: `index` downloads a ready network (person-search models) at its first
use. Hits are similarities, no proof of identity; searching for people in recordings may need a
legal basis and their consent."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a subcommand.

    Args:
        argv: without the program's name; None: ``sys.argv``.

    Returns:
        int: exit status: that of the subcommand, 2 for a user's mistake, 130 after Ctrl-C.
    """
    args = _parse(argv)
    # a terminal or pipe of any encoding takes every name
    take_all_names(sys.stdout)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_PrintableFormatter("%(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    for package in ("fully_decoupled_ps", "person_search"):
        logging.getLogger(package).setLevel(logging.INFO)
    try:
        keep_large_buffers()
        gc.set_threshold(COLLECTED_AFTER)
        with translated():
            status = args.run(args)
        sys.stdout.flush()
        return status
    except UserError as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # of `person-search query ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


class _PrintableFormatter(logging.Formatter):
    """Escapes what the names in a message would do to a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        record = copy.copy(record)
        if isinstance(record.args, tuple):
            record.args = tuple(
                printable(arg) if isinstance(arg, str) else arg for arg in record.args
            )
        return super().format(record)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="person-search",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    subparsers = parser.add_subparsers(dest="subcommand", metavar="SUBCOMMAND", required=True)
    for name, module_name in SUBCOMMANDS.items():
        module = importlib.import_module(module_name, __package__)
        subparser = subparsers.add_parser(
            name,
            help=module.HELP,
            description=module.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(subparser)
        subparser.set_defaults(run=module.run)
    args, pairs = parser.parse_known_args(argv)
    # argparse takes a list of any length only where no option stands before it
    unknown = pairs if not hasattr(args, "opts") else [p for p in pairs if p.startswith("--")]
    if unknown:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    if pairs:
        args.opts = pairs
    return args


if __name__ == "__main__":
    sys.exit(main())
