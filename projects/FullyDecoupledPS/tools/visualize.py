#!/usr/bin/env python
"""Pictures of a training and of what it led to, as PNG.

python visualize.py detections   predictions.npz                    boxes on sample frames
python visualize.py embedding    predictions.npz                    t-SNE (or UMAP), coloured by id
python visualize.py similarities predictions.npz                    same and different persons
python visualize.py worst        queries_full.json                  queries of lowest AP, and hits
python visualize.py alpha        output/prw/reid/metrics.json       the fusion weight over time
python visualize.py sna          --dataset prw_train --config-file F    the noisy boxes of re-id

TEST.SEARCH.SAVE_PREDICTIONS True makes evaluation write predictions.npz; queries_<protocol>.json
lies beside it. TEST.SEARCH.PICTURES True shows the same in TensorBoard. `visualize.py <picture>
--help` has the options.
"""

import argparse
import functools
import logging
import os
import sys

import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog

from fully_decoupled_ps.config import load_config
from fully_decoupled_ps.data import register_person_search_json
from fully_decoupled_ps.data.images import read_image
from fully_decoupled_ps.errors import UserError
from fully_decoupled_ps.evaluation import dataset_of_predictions, load_predictions
from fully_decoupled_ps.evaluation.predictions import Predictions
from fully_decoupled_ps.evaluation.query_results import load_queries
from fully_decoupled_ps.evaluation.search_dataset import SearchDataset
from fully_decoupled_ps.modeling import BoxNoise
from fully_decoupled_ps.utils.arguments import MAX_SEED, number, whole_number
from fully_decoupled_ps.utils.commands import command_parser, in_one_line
from fully_decoupled_ps.utils.files import replace_file
from fully_decoupled_ps.visualization.alpha_curve import draw_alphas, read_alphas
from fully_decoupled_ps.visualization.embedding_map import METHODS, draw_embedding_map
from fully_decoupled_ps.visualization.frame_pictures import draw_box_noise, draw_detections
from fully_decoupled_ps.visualization.labelled_features import labelled_features
from fully_decoupled_ps.visualization.query_cards import find_image
from fully_decoupled_ps.visualization.similarity_histograms import draw_similarity_histograms
from fully_decoupled_ps.visualization.visualizer import encode_image
from fully_decoupled_ps.visualization.worst_queries import draw_worst_queries


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    pictures = parser.add_subparsers(dest="picture", metavar="PICTURE", required=True)
    dataset = argparse.ArgumentParser(add_help=False)
    add = dataset.add_argument
    add("--dataset", metavar="NAME", help="a registered dataset (default: the predictions' own)")
    add(
        "--json", nargs=2, metavar=("FILE", "IMAGES"), help="own data: annotations and image folder"
    )
    common = argparse.ArgumentParser(add_help=False)
    add = common.add_argument
    add("--output", metavar="OUT.png", help="default: <picture>.png beside the input")
    add("--title", help="written above the picture")
    add("--seed", type=whole_number(0, MAX_SEED), default=0, help="default: 0")
    for name, what, draw in (
        ("detections", "detections and annotated persons on sample frames", detections),
        ("embedding", "a map of the embeddings, coloured by id", embedding),
        ("similarities", "histograms of same and different persons", similarities),
    ):
        picture = pictures.add_parser(name, help=what, parents=[dataset, common])
        picture.set_defaults(draw=draw)
        picture.add_argument("input", metavar="PREDICTIONS", help="predictions.npz")
        picture.add_argument("--score-thresh", type=number(0, 1), default=0.5, help="default: 0.5")
        if name == "detections":
            picture.add_argument("--frames", type=whole_number(1), default=6, help="default: 6")
        if name == "embedding":
            picture.add_argument("--method", choices=METHODS, default="tsne")
            picture.add_argument("--persons", type=whole_number(1), default=20, help="default: 20")
    worst_parser = pictures.add_parser(
        "worst", help="the queries of lowest AP, with their hits", parents=[common]
    )
    worst_parser.set_defaults(draw=worst)
    worst_parser.add_argument("input", metavar="QUERIES", help="queries_<protocol>.json")
    worst_parser.add_argument("--queries", type=whole_number(1), default=8, help="default: 8")
    worst_parser.add_argument(
        "--hits", type=whole_number(1), default=10, help="default and most: 10"
    )
    worst_parser.add_argument("--image-root", help="folder of the pictures, if they moved")
    alpha_parser = pictures.add_parser(
        "alpha", help="the weight of side-fusion over the iterations", parents=[common]
    )
    alpha_parser.set_defaults(draw=alpha)
    alpha_parser.add_argument("input", metavar="LOG", help="metrics.json of a stage with re-id")
    sna_parser = pictures.add_parser(
        "sna", help="the noisy boxes that re-id trains on", parents=[dataset, common]
    )
    sna_parser.set_defaults(draw=sna, input=None)
    sna_parser.add_argument("--config-file", default="", help="has MODEL.REID.BOX_NOISE")
    sna_parser.add_argument("--frames", type=whole_number(1), default=6, help="default: 6")
    sna_parser.add_argument("opts", nargs="*", default=[], help="KEY VALUE pairs of the config")
    return parser.parse_args(argv)


def dataset_name(args: argparse.Namespace, default: str | None, split: str = "test") -> str:
    """The name that the options give, registered if it is own data."""
    name = args.dataset or default
    if args.json:
        name = args.dataset or args.json[0]
        if name not in DatasetCatalog.list():
            register_person_search_json(name, *args.json, split=split)
    if name is None:
        raise UserError("no dataset is named; give one with --dataset or --json")
    return name


def load(args: argparse.Namespace) -> tuple[SearchDataset, Predictions]:
    dataset = SearchDataset(dataset_name(args, dataset_of_predictions(args.input)))
    return dataset, load_predictions(args.input, dataset.image_ids, dataset.name)


def detections(args: argparse.Namespace) -> np.ndarray:
    dataset, predictions = load(args)
    title = args.title or (
        f"{dataset.name}: detections scored {args.score_thresh:g} or more, blue; "
        "annotated persons, dashed amber"
    )
    return draw_detections(
        dataset.dicts,
        predictions,
        title,
        score_thresh=args.score_thresh,
        frames=args.frames,
        seed=args.seed,
    )


def embedding(args: argparse.Namespace) -> np.ndarray:
    dataset, predictions = load(args)
    labelled = labelled_features(dataset, predictions, args.score_thresh)
    return draw_embedding_map(
        labelled,
        args.title or dataset.name,
        method=args.method,
        max_persons=args.persons,
        seed=args.seed,
    )


def similarities(args: argparse.Namespace) -> np.ndarray:
    dataset, predictions = load(args)
    labelled = labelled_features(dataset, predictions, args.score_thresh)
    return draw_similarity_histograms(labelled, args.title or dataset.name, seed=args.seed)


def worst(args: argparse.Namespace) -> np.ndarray:
    results = load_queries(args.input)

    # query frames come again as hits of others
    @functools.lru_cache(maxsize=64)
    def read(file_name: str) -> np.ndarray:
        return read_image(find_image(file_name, args.image_root))

    title = args.title or f"{results['dataset']}, protocol {results['protocol']}: worst queries"
    return draw_worst_queries(
        results["queries"], title, count=args.queries, hits=args.hits, read=read
    )


def alpha(args: argparse.Namespace) -> np.ndarray:
    folder = os.path.dirname(os.path.abspath(args.input))
    run = os.path.join(*folder.split(os.sep)[-2:])  # as demo/reid
    return draw_alphas(read_alphas(args.input), args.title or run)


def sna(args: argparse.Namespace) -> np.ndarray:
    name = dataset_name(args, None, split="train")
    if name not in DatasetCatalog.list():
        known = [n for n in DatasetCatalog.list() if MetadataCatalog.get(n).get("split") == "train"]
        raise UserError(f"dataset '{name}' is not registered; training sets are {', '.join(known)}")
    noise = BoxNoise(load_config(args.config_file, args.opts))
    title = args.title or (
        f"{name}: SnA, lambda1 = {noise.center_shift:g}, lambda2 = {noise.scale:g}, "
        f"n = {noise.num_copies}; true boxes dashed white"
    )
    dicts = DatasetCatalog.get(name)
    return draw_box_noise(dicts, noise, title, frames=args.frames, seed=args.seed)


def output_path(args: argparse.Namespace) -> str:
    """Checked before any work."""
    folder = os.path.dirname(args.input) if args.input else ""
    path = args.output or os.path.join(folder, f"{args.picture}.png")
    if not path.lower().endswith((".png", ".jpg")):
        raise UserError(f"--output {path}: give a name that ends in .png or .jpg")
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise UserError(f"--output {path}: there is no folder '{folder}'; make it first")
    return path


@in_one_line
def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    path = output_path(args)
    replace_file(path, encode_image(args.draw(args), os.path.splitext(path)[1].lower()))
    print(path)


if __name__ == "__main__":
    sys.exit(main())
