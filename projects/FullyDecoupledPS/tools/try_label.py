#!/usr/bin/env python
"""From one real recording to a trained network and a search with it, without a person.

    sudo apt install opencv-doc
    python try_label.py /usr/share/doc/opencv-doc/examples/data/vtest.avi --output output/try-label
    python try_label.py VIDEO --output DIR --outside-parts     where no ready network can be had

Runs the commands of docs/train-for-your-site.md one after the other: label, export, check-dataset,
train, index, query. In place of a person the network itself answers, by what it takes for probable,
so that identities may be wrong: this shows that the steps fit together, and not how good a network
becomes. To look at: train.png and test.png, report.html, hits.png. `--outside-parts` takes the
detector and the network for crops of try_outside_parts.py.
"""

import argparse
import logging
import sys
from pathlib import Path

from fully_decoupled_ps.errors import UserError
from fully_decoupled_ps.utils.arguments import number, whole_number
from fully_decoupled_ps.utils.commands import command_parser, in_one_line
from person_search.cli.main import main as person_search
from person_search.index import open_index
from person_search.label.labelling import Labelling
from person_search.label.records import DIFFERENT, SAME
from person_search.label.store import open_project

logger = logging.getLogger("try_label")

PROBABLE = 0.5


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    add = parser.add_argument
    add("recordings", nargs="+", metavar="RECORDING")
    add("--output", type=Path, required=True, metavar="DIR", help="a new folder, or its own")
    add("--model", default="", metavar="NETWORK", help="(default: the default ready network)")
    add("--outside-parts", action="store_true")
    add("--fps", type=number(0.1, 30), default=5.0, help="frames per second (default: 5)")
    add("--iterations", type=whole_number(1), default=100, help="of training (default: 100)")
    return parser.parse_args(arguments)


def run(*command) -> None:
    """One of the project's commands, in this process, where outside parts are known.

    Raises:
        UserError: if it fails.
    """
    words = list(map(str, command))
    logger.info("\n$ person-search %s", " ".join(words))
    status = person_search(words)
    if status > 1:  # 1: done, with something to be told, which was
        raise UserError(f"person-search {words[0]} ended with status {status}")


def answer_all(folder: Path) -> dict[str, int]:
    """Answer every question as the network would, until the target or the end; counts by kind."""
    counts = {SAME: 0, DIFFERENT: 0}
    project = open_project(folder)
    labelling = Labelling(project)
    while (question := labelling.question()) and labelling.progress().left:
        kind = SAME if question.probability >= PROBABLE else DIFFERENT
        token = f"network {len(labelling.decisions())}"
        labelling.decide(token, kind, {"a": question.a, "b": question.b}, "network")
        counts[kind] += 1
    project.close()
    return counts


@in_one_line
def main(arguments: list[str] | None = None) -> None:
    args = parse_args(arguments)
    output = args.output.absolute()
    workers = []
    if args.outside_parts:
        from try_outside_parts import write_network

        args.model = str(write_network(output / "network"))
        workers = ["--workers", 0]  # TensorFlow does not like to be forked
    model = ["--model", args.model] if args.model else []
    project, data, trained = output / "project", output / "project" / "export", output / "trained"
    run(*("label", *args.recordings, "--project", project, "--fps", args.fps), *model, *workers,
        "--no-page")  # fmt: skip
    logger.info("Answered as the network would: %s", answer_all(project))
    run("label", "--project", project, "--export")
    pictures = ["--image-root", data / "images"]
    for split in ("train", "test"):
        sheet = ["--split", split, "--sheet", output / f"{split}.png"]
        run("check-dataset", data / f"{split}.json", *pictures, *sheet)
    start = ["--start", args.model] if args.model else []
    sets = [data / "train.json", "--test", data / "test.json", *pictures]
    run("train", *sets, *start, "--output", trained, "--detector", "freeze",
        "SOLVER.MAX_ITER", args.iterations, "DATALOADER.NUM_WORKERS", 0)  # fmt: skip
    index = ["--index", output / "index", "--model", trained / "reid"]
    run("index", *args.recordings, *index, *workers)
    with open_index(str(output / "index")) as opened:
        frames = opened.frames(limit=opened.counts().frames)
        middle = max(frames, key=lambda frame: len(opened.persons(frame.frame_id)))
        person = opened.persons(middle.frame_id)[0].person_id
    run("query", "--person", person, *index, "--top", 12, "--montage", output / "hits.png")
    logger.info("\nLook at train.png, test.png, trained/report.html and hits.png in %s", output)
    logger.info("person-search serve --index %s", output / "index")


if __name__ == "__main__":
    logging.basicConfig(format="%(message)s")
    logger.setLevel(logging.INFO)
    sys.exit(main())
