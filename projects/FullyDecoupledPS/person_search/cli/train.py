"""Train a network for your own cameras, from a ready one or from one of your own.

  person-search train TRAIN.json --test TEST.json --output DIR
  person-search train TRAIN.json --test TEST.json --output DIR --start output/other-site/reid
  person-search train PROJECT --output DIR          what `person-search label` has made

The same command again goes on where it was stopped or killed. It looks at the data first (as
check-dataset does), says what there is too little of, and refuses what can't be trained or tested.
Then it tries a few steps, prints what it has chosen and why, and how long it will take:

  detector     tuned, or kept as it is where the frames are too few for it (--detector)
  batch        as large as the paper's, or as memory has room for; 2 on a CPU
  rate         in proportion to the batch
  iterations   18 times through the frames, 6 on a CPU
  pictures     of the network's own size; on a CPU smaller ones, if persons stay large enough

Each is changed by KEY VALUE at the end, a key of the config, and what depends on it follows:

  SOLVER.MAX_ITER 2000              iterations, of both stages
  SOLVER.REID.MAX_ITER 500          of the re-id stage alone; so with every key of SOLVER
  SOLVER.IMS_PER_BATCH 4            frames of a batch
  SOLVER.BASE_LR 0.001              learning rate
  INPUT.MIN_SIZE_TEST 600           shorter side of a picture, in pixels
  MODEL.REID.BOX_NOISE.NUM_COPIES 3 boxes of a person in a batch beside its own; fewer are faster

The network is evaluated on the test set before and after, and the end is a table: detection, and
search in all frames and in other cameras alone, each with the number of queries and persons behind
it and with its 95 % interval (bootstrap over persons, of the recall over frames). DIR then holds

  reid/          the trained network: person-search index --model DIR/reid
  report.html    pictures of what it finds and misses
  results.json   the table
  before/        the figures of the network that it started from
  detection/     the tuned detector alone

Exit status: 0, 1 if the new network is worse than the one that it started from by more than chance
explains, 2 for a mistake or too little data, 130 after Ctrl-C.
"""

import argparse
import logging
import os
from pathlib import Path

from fully_decoupled_ps.ready import DEFAULT_NETWORK

from ..errors import UserError
from .common import add_models_dir_argument

HELP = "train a network for your own cameras, from data sets or a labelled project"

USAGE = """person-search train TRAIN.json --test TEST.json --output DIR [options] [KEY VALUE ...]
       person-search train PROJECT --output DIR [options] [KEY VALUE ...]"""

logger = logging.getLogger(__name__)

DATABASE = "project.sqlite"  # what a folder is known by as a project of `person-search label`
EXPORT = "data"  # folder of --output with a project's data sets


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = USAGE
    # KEY VALUE pairs, which main() collects: they may stand at the end, after options
    parser.set_defaults(opts=[])
    parser.add_argument(
        "data",
        metavar="TRAIN.json|PROJECT",
        help="JSON file of the format in datasets/README.md, or folder of a project",
    )
    parser.add_argument("--test", metavar="TEST.json", help="of other persons; not with a PROJECT")
    parser.add_argument("--output", required=True, metavar="DIR", help="where everything goes")
    parser.add_argument(
        "--start",
        default=DEFAULT_NETWORK,
        metavar="NETWORK",
        help="what is trained further: name of a ready network (person-search models lists them), "
        "output folder of a training, or a yaml that names the weights of both parts "
        f"(default: {DEFAULT_NETWORK})",
    )
    parser.add_argument(
        "--image-root",
        metavar="DIR",
        help="folder of the pictures of both files (default: each file's own)",
    )
    parser.add_argument(
        "--test-image-root", metavar="DIR", help="of those of TEST.json, if it is another"
    )
    parser.add_argument(
        "--detector",
        choices=("auto", "tune", "freeze"),
        default="auto",
        help="tune it to the data, or train the re-id part alone (default: by the amount of data)",
    )
    parser.add_argument(
        "--ids-apart",
        action="store_true",
        help="equal ids in the two files are different persons (default: refused)",
    )
    parser.add_argument("--device", default="", help="cpu or cuda (default: a GPU if there is one)")
    add_models_dir_argument(parser)


def run(args: argparse.Namespace) -> int:
    from ..index.locking import WriterLock

    output = Path(args.output)
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--output {output}: {error.strerror}; name a folder") from error
    lock = WriterLock(output)
    try:
        return _train(args, output)
    except KeyboardInterrupt:
        logger.info("The same command goes on from here")
        raise
    finally:
        lock.release()


def _train(args: argparse.Namespace, output: Path) -> int:
    from fully_decoupled_ps.site_training import SiteRequest, train_for_site

    train_json, test_json, image_root = _data_sets(args, output)
    result = train_for_site(
        SiteRequest(
            train_json,
            test_json,
            str(output),
            image_root,
            args.test_image_root,
            start=args.start,
            detector=args.detector,
            ids_apart=args.ids_apart,
            device=args.device,
            models_dir=args.models_dir,
            opts=args.opts,
        )
    )
    print("Figures in percent, with 95 % intervals:\n\n" + result.table + "\n")
    print(f"Report with pictures: {result.report}")
    if result.is_worse:
        print(
            f"\n{result.verdict}.\nBoth are kept: the trained one is {result.run}, the one it "
            f"started from {result.start}. Go on with the latter, and annotate more, or check what "
            "is annotated: person-search check-dataset --sheet"
        )
        return 1
    print(f"Trained network: {result.run}; {result.verdict}")
    print(f"  person-search index RECORDINGS --model {result.run} --index NEW_INDEX")
    return 0


def _data_sets(args: argparse.Namespace, output: Path) -> tuple[str, str, str | None]:
    """TRAIN.json, TEST.json and the pictures' folder, exported if they are a project's."""
    is_project = (Path(args.data) / DATABASE).is_file()
    if is_project:
        for option in ("--test", "--image-root", "--test-image-root"):
            if value := getattr(args, option.strip("-").replace("-", "_")):
                raise UserError(
                    f"{option} {value}: a project ({args.data}) has its own; leave it out"
                )
        return _export(args.data, output)
    if os.path.isdir(args.data):
        raise UserError(
            f"{args.data} is a folder without {DATABASE}; name a JSON file, or the project of "
            "person-search label"
        )
    if not args.test:
        raise UserError("--test is missing; name the JSON file of the test set")
    return args.data, args.test, args.image_root


def _export(project: str, output: Path) -> tuple[str, str, str]:
    """A project's data sets, exported when a training is begun; later they must still be those."""
    import filecmp
    import shlex
    import shutil

    from ..label.export import export_project, note_moved

    kept, new = output / EXPORT, output / f"{EXPORT}.new"
    note_moved(project, kept)
    shutil.rmtree(new, ignore_errors=True)
    paths = [os.path.abspath(path) for path in export_project(project, str(new))]

    def moved(path: str) -> str:
        inside = os.path.relpath(path, os.path.abspath(new))
        return path if inside.startswith("..") else str(kept / inside)

    if not kept.exists():
        os.replace(new, kept)
        return tuple(map(moved, paths))
    old = [moved(path) for path in paths]
    is_same = all(
        os.path.isfile(b) and filecmp.cmp(a, b, shallow=False)
        for a, b in zip(paths[:2], old[:2], strict=True)
    )
    shutil.rmtree(new)
    if not is_same:
        sets = ("--test", old[1], "--image-root", old[2], "--output", str(output))
        former = shlex.join(["person-search", "train", old[0], *sets])
        raise UserError(
            f"{project} has changed since the training in {output} was begun; name another "
            f"--output to train on what it holds now, or go on with what it held: {former}"
        )
    return tuple(old)
