"""``person-search label --export``: the options, and what is told of the result."""

import argparse
import logging
import os

from fully_decoupled_ps.utils.arguments import MAX_SEED, number, whole_number

from ..errors import UserError

logger = logging.getLogger(__name__)

OPTIONS = ("output", "frames", "test_share", "seed")


def add_export_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("export")
    group.add_argument("--export", action="store_true", help="write the data set, and no page")
    group.add_argument(
        "--output", metavar="DIR", help="folder of the export (default: export in the project's)"
    )
    group.add_argument(
        "--frames",
        type=whole_number(2),
        metavar="N",
        help="at most so many, chosen so that persons, cameras and hours are all seen often "
        "(default: 3000)",
    )
    group.add_argument(
        "--test-share",
        type=number(0, 0.9),
        metavar="S",
        help="the last S of the time is for testing; 0: everything is for training (default: 0.5)",
    )
    group.add_argument(
        "--seed", type=whole_number(0, MAX_SEED), metavar="N", help="draws the queries (default: 0)"
    )


def check_export_arguments(args: argparse.Namespace) -> None:
    """
    Raises:
        UserError: for an option of the export without it.
    """
    for name in OPTIONS:
        if getattr(args, name) is not None and not args.export:
            option = "--" + name.replace("_", "-")
            raise UserError(f"{option} is for --export; add that, or leave {option} out")


def export(args: argparse.Namespace) -> int:
    """Returns the exit status: 1 if a recording could not be read for it, and is told."""
    from ..label.export import DEFAULTS, make_export

    said = {name: getattr(args, name) for name in DEFAULTS._fields}
    options = DEFAULTS._replace(**{k: v for k, v in said.items() if v is not None})
    exported, is_whole = make_export(args.project, args.output, options)
    logger.info("Look at it, and train on it:")
    split = [("train", exported.train_json), ("test", exported.test_json)]
    for name, path in split:
        if path is not None:
            sheet = os.path.join(os.path.dirname(path), f"{name}.png")
            logger.info(
                "  person-search check-dataset %s --image-root %s --split %s --sheet %s",
                *(path, exported.image_root, name, sheet),
            )
    if exported.test_json is not None:
        logger.info(
            "  person-search train %s --test %s --image-root %s --output output/my-site", *exported
        )
    return 0 if is_whole else 1
