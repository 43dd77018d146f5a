"""The JSON beside an exported file: what a program needs to know to use it."""

import importlib.metadata
import os

import detectron2
import torch

from .graphs import CropPath, DetectorPath, ReIDPath, WholeNetwork
from .onnx_file import OPSET, TOLERANCE, Exported

_PARTS = {
    ReIDPath: "re-id path",
    WholeNetwork: "whole network",
    CropPath: "network for crops",
    DetectorPath: "detector",
}
_MEANINGS = {
    "images": "(B, 3, H, W) of one size, resized as said here, 0 to 255",
    "image": "(3, H, W), resized as said here, 0 to 255",
    "crops": "(N, 3, h, w), N of 1 or more, cut out and resized as said here, 0 to 255",
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
        "part": _PARTS[type(graph)],
        "architecture": cfg.MODEL.META_ARCHITECTURE,
        "detector": cfg.MODEL.DETECTOR.NAME,
        "weights": os.path.basename(cfg.MODEL.WEIGHTS),
        "inputs": _with_meanings(exported.inputs),
        "outputs": _with_meanings(exported.outputs),
        **_feature_dim(exported),
        **(
            _crops(cfg, graph.reid.network.interpolation)
            if isinstance(graph, CropPath)
            else _image(cfg)
        ),
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


def _feature_dim(exported: Exported) -> dict:
    features = exported.outputs.get("features")
    return {"feature_dim": features["shape"][1]} if features else {}


def _image(cfg) -> dict:
    return {
        "image": {
            "channels": cfg.INPUT.FORMAT,
            "range": [0, 255],
            "normalisation": _normalisation(cfg.MODEL.PIXEL_MEAN, cfg.MODEL.PIXEL_STD),
            "resizing": {
                "rule": "scale = min(short_side / min(height, width), "
                "long_side / max(height, width)); bilinear",
                "short_side": cfg.INPUT.MIN_SIZE_TEST,
                "long_side": cfg.INPUT.MAX_SIZE_TEST,
            },
        }
    }


def _crops(cfg, interpolation: str) -> dict:
    crop = cfg.MODEL.CROP_REID
    return {
        "crops": {
            "channels": cfg.INPUT.FORMAT,
            "range": [0, 255],
            "normalisation": _normalisation(crop.PIXEL_MEAN, crop.PIXEL_STD),
            "cutting": {
                "rule": "of the picture at its original resolution, not of the detector's input: "
                "round the box's edges to whole pixels, clip them to the picture, keep at least "
                f"one pixel; resize to height x width, {interpolation} with antialias as Pillow's",
                "height": crop.SIZE[0],
                "width": crop.SIZE[1],
            },
        }
    }


def _normalisation(mean, std) -> dict:
    return {"where": "in the file; do not normalise", "mean": list(mean), "std": list(std)}


def _with_meanings(nodes: dict[str, dict]) -> dict[str, dict]:
    return {name: {**node, "meaning": _MEANINGS[name]} for name, node in nodes.items()}
