"""The JSON beside an exported file: what a program needs to know to use it."""

import importlib.metadata
import os

import detectron2
import torch

from .graphs import ReIDPath
from .onnx_file import OPSET, TOLERANCE, Exported

_MEANINGS = {
    "images": "(B, 3, H, W) of one size, resized as said here, 0 to 255",
    "image": "(3, H, W), resized as said here, 0 to 255",
    "boxes": "(N, 4) x0, y0, x1, y1 in pixels of the resized image",
    "image_indices": "(N,) the image that a box is in, 0 to B - 1",
    "scores": "(N,) the detector's, 0 to 1",
    "features": "(N, D) L2-normalised: a dot product is the cosine similarity",
}


def describe(cfg, graph, exported: Exported, file_name: str) -> dict:
    """What there is to know of an exported graph and of the network's config, to be a JSON."""
    versions = {"torch": str(torch.__version__), "detectron2": detectron2.__version__}
    for package in ("torchvision", "onnx", "onnxruntime", "onnxscript"):
        versions[package] = importlib.metadata.version(package)
    return {
        "file": file_name,
        "part": "re-id path" if isinstance(graph, ReIDPath) else "whole network",
        "architecture": cfg.MODEL.META_ARCHITECTURE,
        "detector": cfg.MODEL.DETECTOR.NAME,
        "weights": os.path.basename(cfg.MODEL.WEIGHTS),
        "inputs": _with_meanings(exported.inputs),
        "outputs": _with_meanings(exported.outputs),
        "feature_dim": exported.outputs["features"]["shape"][1],
        "image": {
            "channels": cfg.INPUT.FORMAT,
            "range": [0, 255],
            "normalisation": {
                "where": "in the file; do not normalise",
                "mean": list(cfg.MODEL.PIXEL_MEAN),
                "std": list(cfg.MODEL.PIXEL_STD),
            },
            "resizing": {
                "rule": "scale = min(short_side / min(height, width), "
                "long_side / max(height, width)); bilinear",
                "short_side": cfg.INPUT.MIN_SIZE_TEST,
                "long_side": cfg.INPUT.MAX_SIZE_TEST,
            },
        },
        # The detector's own, lower or equal, is in the file.
        "search_score_threshold": cfg.TEST.SEARCH.SCORE_THRESH,
        "exporter": exported.exporter,
        "opset": OPSET,
        "check": {
            "boxes": exported.num_boxes,
            "largest_feature_difference": exported.largest_difference,
            "allowed": TOLERANCE,
        },
        "versions": versions,
    }


def _with_meanings(nodes: dict[str, dict]) -> dict[str, dict]:
    return {name: {**node, "meaning": _MEANINGS[name]} for name, node in nodes.items()}
