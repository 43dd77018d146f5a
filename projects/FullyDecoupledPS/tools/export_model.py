#!/usr/bin/env python
"""Write a trained network as ONNX files, and check them with onnxruntime.

    python export_model.py --config-file F --output DIR [KEY VALUE ...]

DIR gets reid.onnx (images and boxes in, features out) and person_search.onnx (an image in; boxes,
scores and features out); of a two-step network reid.onnx (crops in, features out) and detector.onnx
(an image in, boxes and scores out); each with a JSON that says how to use it. SOLVER.STAGE reid is
implied where the config trains in stages; the weights are that stage's last checkpoint, or
MODEL.WEIGHTS.

Each file is run at other sizes than it was exported with, on the pictures of --image or on the
first frames of DATASETS.TEST; if a feature is not PyTorch's to 1e-4, the file is removed.
"""

import argparse
import logging
import sys
from pathlib import Path

import torch
from detectron2.data import DatasetCatalog
from detectron2.modeling import build_model

from fully_decoupled_ps import apply_stage, load_config
from fully_decoupled_ps.checkpoint import load_parts
from fully_decoupled_ps.checkpoint.trained_with import check_trained_with
from fully_decoupled_ps.config import find_config
from fully_decoupled_ps.data import PersonSearchMapper, get_protocols
from fully_decoupled_ps.engine.check_config import check_parts
from fully_decoupled_ps.errors import UserError
from fully_decoupled_ps.export import (
    CropPath,
    DetectorPath,
    ReIDPath,
    WholeNetwork,
    describe,
    require_packages,
    write_checked,
)
from fully_decoupled_ps.modeling import CoatPersonSearch, CoupledPersonSearch
from fully_decoupled_ps.ready import fetch_into
from fully_decoupled_ps.utils.commands import command_parser, in_one_line
from fully_decoupled_ps.utils.files import write_json

PARTS = {
    "reid": (ReIDPath, "reid.onnx"),
    "whole": (WholeNetwork, "person_search.onnx"),
    "detector": (DetectorPath, "detector.onnx"),
}
NUM_FRAMES = 2  # of the test set, for the check

logger = logging.getLogger("export_model")


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    add = parser.add_argument
    add("--config-file", required=True, metavar="F", help="the config that it was trained with")
    add("--output", required=True, type=Path, metavar="DIR", help="where the files are written")
    add("--only", choices=PARTS, help="one of the files (default: what the architecture has)")
    # not nargs="+", which would take the config options as well
    add("--image", action="append", metavar="FILE", help="a picture with persons, for the check; "
        "may be given several times")  # fmt: skip
    add("opts", nargs=argparse.REMAINDER, metavar="KEY VALUE", help="config options, at the end")
    return parser.parse_args(argv)


def setup(args: argparse.Namespace):
    """The config of the trained network, on the CPU."""
    cfg = load_config(args.config_file, args.opts)
    if "SOLVER.STAGE" not in args.opts[::2] and cfg.SOLVER.STAGE == "detection":
        cfg.SOLVER.STAGE = "reid"
    cfg.MODEL.DEVICE = "cpu"
    apply_stage(cfg, [*args.opts, "MODEL.DEVICE", "cpu"], eval_only=True)
    check_parts(cfg)
    if args.config_file:
        fetch_into(cfg, find_config(args.config_file))
    check_trained_with(cfg)
    cfg.freeze()
    return cfg


def read_pictures(cfg, files: list[str] | None) -> list[torch.Tensor]:
    """(3, H, W) pictures at the network's resolution: the user's, or of the first test set."""
    if not files:
        try:
            name = cfg.DATASETS.TEST[0] if cfg.DATASETS.TEST else ""
            get_protocols(name)  # refuses a name that is not registered
            files = [x["file_name"] for x in DatasetCatalog.get(name)[:NUM_FRAMES]]
        except UserError as error:
            raise UserError(
                f"no pictures for the check: {error}; or name some with --image"
            ) from error
    mapper = PersonSearchMapper(cfg, is_train=False)
    return [mapper({"file_name": name, "image_id": name})["image"].float() for name in files]


def parts_of(model) -> list[str]:
    """What can be exported of a network; the classes of the others say why not."""
    if model.is_two_step:
        return ["reid", "detector"]
    if isinstance(model, CoupledPersonSearch):
        return ["whole"]
    return ["reid"] if isinstance(model, CoatPersonSearch) else ["reid", "whole"]


def graph_of(model, part: str):
    """
    Raises:
        UserError: if the architecture has no such part.
    """
    if part == "reid" and model.is_two_step:
        return CropPath(model)
    return PARTS[part][0](model)


def export(args: argparse.Namespace) -> None:
    require_packages()
    cfg = setup(args)
    try:
        args.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--output {args.output}: {error}") from error
    pictures = read_pictures(cfg, args.image)
    model = build_model(cfg).eval()
    load_parts(model, cfg)
    parts = [args.only] if args.only else parts_of(model)
    graphs = {part: graph_of(model, part) for part in parts}
    for part, graph in graphs.items():
        path = args.output / PARTS[part][1]
        exported = write_checked(graph, model, pictures, path)
        write_json(path.with_suffix(".json"), describe(cfg, graph, exported, path.name))


@in_one_line
def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    for name in ("onnxscript", "onnx_ir"):  # a line for each constant that they fold
        logging.getLogger(name).setLevel(logging.WARNING)
    export(args)


if __name__ == "__main__":
    sys.exit(main())
