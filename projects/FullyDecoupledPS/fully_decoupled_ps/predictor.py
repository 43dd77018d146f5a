"""The door for applications: a trained network, and the pictures and videos that it reads.

:func:`load_network` gives a :class:`Predictor`: boxes, scores and one feature for each person in a
picture. :func:`load_image`, :func:`read_image`, :func:`read_size` and :mod:`videos` read files by
the rule that training and evaluation follow.
"""

import hashlib
import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import transforms as T
from detectron2.modeling import build_model
from torch import nn

from . import ready
from .checkpoint import earlier_name, load_parts
from .checkpoint.trained_with import check_trained_with
from .config import last_checkpoint, load_config, value_in
from .data import videos
from .data.dataset_mapper import as_tensor, needs_original
from .data.images import (
    PICTURE_ENDINGS,
    ImageError,
    LoadedImage,
    load_image,
    read_image,
    read_size,
)
from .engine.check_config import check_parts, check_test_numbers, tell_changes_of_zoo
from .errors import UserError
from .modeling import IdentityMemory
from .modeling.inference_form import prepare_for_inference
from .modeling.meta_arch import num_classes
from .modeling.precision import is_emulated, name_of
from .utils.files import replace_file
from .utils.pillow_resize import resize_bytes
from .utils.unfilled import WithoutRandomWeights

__all__ = [
    "PICTURE_ENDINGS",
    "PersonDetections",
    "ImageError",
    "InputMapper",
    "LoadedImage",
    "Predictor",
    "load_image",
    "load_network",
    "load_parts",
    "read_image",
    "read_size",
    "replace_file",
    "videos",
]

logger = logging.getLogger(__name__)

# Config keys that, with equal weights, change features; the fingerprint covers them.
FINGERPRINT_KEYS = (
    *("INPUT.FORMAT", "INPUT.MIN_SIZE_TEST", "INPUT.MAX_SIZE_TEST"),
    *("MODEL.META_ARCHITECTURE", "MODEL.PIXEL_MEAN", "MODEL.PIXEL_STD", "MODEL.RESNETS"),
    *("MODEL.BACKBONE.NAME", "MODEL.DETECTOR.NAME", "MODEL.COUPLED", "MODEL.COAT"),
    *("MODEL.REID.SIDE_NET.NAME", "MODEL.REID.FUSION.NAME", "MODEL.REID.POOLING"),
    *("MODEL.REID.POOLER_RESOLUTION", "MODEL.ROI_BOX_HEAD.POOLER_SAMPLING_RATIO"),
)
# Those of a two-step network, whose features depend on these as well.
CROP_FINGERPRINT_KEYS = tuple(
    f"MODEL.CROP_REID.{key}"
    for key in ("NAME", "SIZE", "PIXEL_MEAN", "PIXEL_STD", "FORMAT", "FLIP")
)
# Those of a network with stages of another family than Detectron2's ResNets; in other networks'
# fingerprints they are not, so that an index of those stays theirs.
STAGED_FINGERPRINT_KEYS = ("MODEL.STAGED.NAME", "MODEL.REID.SIDE_NET.STAGED")


class PersonDetections(NamedTuple):
    """The R persons of a picture; boxes in its pixels, as x0, y0, x1, y1."""

    boxes: np.ndarray  # (R, 4) float32
    scores: np.ndarray  # (R,) float32, descending
    features: np.ndarray  # (R, D) float32, L2-normalised
    query_features: np.ndarray  # (Q, D) of the boxes that were asked for, L2-normalised


class InputMapper:
    """From a picture to the network's input, as in testing. Worker processes get a copy."""

    def __init__(
        self,
        image_format: str,
        min_size: int,
        max_size: int,
        keep_original: bool = False,
        resizes: bool = True,
    ):
        """
        Args:
            image_format: "RGB" or "BGR", what the network was trained on.
            min_size, max_size: the picture's shorter side becomes ``min_size``, but the longer one
                no more than ``max_size``. With a ``min_size`` of 0 it stays as it is.
            keep_original: whether the network looks at the picture before it is resized as well.
            resizes: False leaves that to :meth:`resized`, for whoever has the picture on a GPU.
        """
        self.image_format = image_format
        self.resizes = resizes
        self.keep_original = keep_original
        self.resize = T.ResizeShortestEdge([min_size, min_size], max_size)

    def __call__(self, image: np.ndarray) -> dict:
        """(H, W, 3) RGB uint8 -> the network's dict of ``image``, ``height`` and ``width``.

        And of ``original_image``, the picture itself, for a network that looks at it.
        """
        height, width = image.shape[:2]
        if self.image_format == "BGR":
            image = image[:, :, ::-1]
        if self.resizes:
            resized = self.resize.get_transform(image).apply_image(image)
            tensor = torch.as_tensor(np.ascontiguousarray(resized.transpose(2, 0, 1)))
        else:
            tensor = as_tensor(image)
        inputs = {"image": tensor, "height": height, "width": width}
        if self.keep_original:
            inputs["original_image"] = as_tensor(image)
        return inputs

    def resized(self, inputs: dict, device: torch.device) -> dict:
        """The dict with the picture on a device, and there resized: to the bit as on a CPU."""
        image = inputs["image"].to(device)
        # the size alone is asked of the picture
        size = self.resize.get_transform(np.broadcast_to(np.uint8(0), (*image.shape[1:], 3)))
        if not isinstance(size, T.NoOpTransform):  # that of a min_size of 0
            image = resize_bytes(image, (size.new_h, size.new_w))
        return {**inputs, "image": image}


class Predictor:
    """A network in its form for inference, with what a picture has to go through before it.

    Attributes:
        fingerprint: of its weights and of what else its features depend on, 64 hexadecimal digits.
        precision: what it computes in: "float32", "bfloat16" or "float16". Features of one person
            in two precisions differ a little; those that are compared should be of one.
        dim: D, length of a feature.
        location, weights: where it was loaded from, as :func:`load_network` has them: a ready
            network's name, which is the same on every machine, or absolute paths.
        mapper: makes the network's input of a picture.
        score_thresh: ``TEST.SEARCH.SCORE_THRESH`` of the config.
    """

    def __init__(self, cfg: CfgNode, model: nn.Module, location: str, weights: str = ""):
        """``model`` has its weights, and can't be trained any more afterwards."""
        self.fingerprint = fingerprint(cfg, model)  # of the weights as they were trained
        prepare_for_inference(model, cfg)
        self.model = model
        self.precision = name_of(model.inference_dtype)
        self.location = location
        self.weights = weights
        self.mapper = InputMapper(
            cfg.INPUT.FORMAT,
            cfg.INPUT.MIN_SIZE_TEST,
            cfg.INPUT.MAX_SIZE_TEST,
            needs_original(cfg),
            resizes=not cfg.MODEL.DEVICE.startswith("cuda"),
        )
        self.score_thresh = cfg.TEST.SEARCH.SCORE_THRESH
        self.dim = model.reid.feature_dim

    def detect(self, image: np.ndarray, boxes: Sequence[Sequence[float]] = ()) -> PersonDetections:
        """
        Args:
            image: (H, W, 3) RGB uint8.
            boxes: Q boxes, in pixels of the image, whose features are wanted as well.
        """
        return self.run([{**self.mapper(image), "queries": boxes}])[0]

    def embed(self, image: np.ndarray, boxes: Sequence[Sequence[float]]) -> np.ndarray:
        """(Q, D) features of Q boxes alone: :meth:`detect` gives the same, but detects as well."""
        inputs = {**self.mapper(image), "queries": boxes, "queries_only": True}
        return self.run([inputs])[0].query_features

    @torch.no_grad()
    def run(self, inputs: list[dict]) -> list[PersonDetections]:
        """:class:`PersonDetections` for each of the dicts that :attr:`mapper` makes.

        Detections of any score; ``queries``, boxes in pixels of the original, are optional, and so
        is ``queries_only``, True where there are to be no detections.
        """
        if not self.mapper.resizes:
            inputs = [self.mapper.resized(x, self.model.device) for x in inputs]
        found = []
        for x, output in zip(inputs, self.model(inputs), strict=True):
            instances = output["instances"]
            boxes = instances.pred_boxes.tensor
            # the order of scores; no detector promises it
            order = instances.scores.argsort(descending=True)
            features = instances.reid_features
            queries = output["query_features"] if "queries" in x else features[:0]
            parts = (boxes[order], instances.scores[order], features[order], queries)
            found.append(PersonDetections(*(part.float().cpu().numpy() for part in parts)))
        return found


def fingerprint(cfg: CfgNode, model: nn.Module) -> str:
    """SHA-256 of the weights and of the config values that features depend on, and whose they are.

    The identity memory is left out: it takes part in training only.
    """
    memories = tuple(
        f"{name}." for name, module in model.named_modules() if isinstance(module, IdentityMemory)
    )
    digest = hashlib.sha256()
    state = {
        earlier_name(name): value
        for name, value in model.state_dict().items()
        if not name.startswith(memories) and not name.endswith("num_batches_tracked")
    }
    for name, value in sorted(state.items()):
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    is_staged = any(value_in(cfg, key) for key in STAGED_FINGERPRINT_KEYS)
    keys = FINGERPRINT_KEYS + CROP_FINGERPRINT_KEYS * needs_original(cfg)
    for key in keys + STAGED_FINGERPRINT_KEYS * is_staged:
        digest.update(f"{key} {json.dumps(value_in(cfg, key), sort_keys=True)}".encode())
    person_class = cfg.MODEL.DETECTOR.PERSON_CLASS
    if person_class >= 0 and num_classes(getattr(model, "detector", None)) != 1:
        # or an index of another class's detections would be gone on with
        digest.update(f"MODEL.DETECTOR.PERSON_CLASS {person_class}".encode())
    return digest.hexdigest()


def load_network(
    location: str,
    weights: str = "",
    device: str = "",
    models_dir: str = "",
    precision: str = "",
) -> Predictor:
    """Load a trained network.

    It is in its form for inference, whatever its training was in: its config's
    ``MODEL.CHANNELS_LAST`` is not read, and maps are N, H, W, C where None means so.

    Args:
        location: the name of a ready network (:mod:`ready`), whose files are downloaded if they are
            not here; a config yaml that names the weights of both parts, as those do; the output
            folder of a training run, which holds ``config.yaml`` and its last checkpoint; a
            checkpoint in such a folder; or a config yaml, together with ``weights``.
        weights: a checkpoint to use instead.
        device: "cpu", "cuda" or "cuda:N"; "": a GPU if there is one.
        models_dir: where ready networks' files are; "": as :func:`ready.models_folder` says.
        precision: "float32", "bfloat16", "float16", or "auto": the fastest that the
            device has instructions for; "": what the config says, float32 if nothing.

    Raises:
        UserError: if something of it is missing, can't be downloaded or is another file than it
            should be, or the checkpoint does not fit or has no re-id part.
    """
    if weights and not Path(weights).is_file():
        raise UserError(f"--weights {weights}: no such file; name a checkpoint")
    is_named = ready.is_ready_name(location)
    network = ready.find_ready(location) if is_named or not weights else None
    checkpoint, opts = weights, []
    if network is None:
        config_file, checkpoint = _find_run(Path(location), weights)
    else:
        config_file = network.config
        if not weights:
            opts = ready.fetch(network, ready.models_folder(models_dir))
    cfg = load_config(str(config_file), opts)
    cfg.MODEL.DEVICE = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if cfg.MODEL.DEVICE.startswith("cuda") and not torch.cuda.is_available():
        raise UserError(f"--device {device}: PyTorch sees no GPU; use --device cpu")
    if cfg.SOLVER.STAGE == "detection":  # a leaf config's default; its features come after it
        cfg.SOLVER.STAGE = "reid"
    cfg.MODEL.REID.NUM_IDS = 0  # taken from the checkpoint
    cfg.MODEL.REID.ORD.ENABLED = False  # of training alone
    cfg.MODEL.CHANNELS_LAST = None  # what a training had is no matter here
    if precision:
        cfg.TEST.AUTOCAST = precision
    check_parts(cfg)
    check_test_numbers(cfg)
    if checkpoint:
        cfg.MODEL.WEIGHTS = str(checkpoint)
    check_trained_with(cfg)
    if network is not None:  # a training has told of its own
        tell_changes_of_zoo(cfg)
    cfg.freeze()
    with WithoutRandomWeights():
        model = build_model(cfg)
    if is_emulated(model.inference_dtype, torch.device(cfg.MODEL.DEVICE)):
        logger.warning(
            "The network computes in %s, for which this processor has no instructions: it is slow",
            name_of(model.inference_dtype),
        )
    load_parts(model, cfg)  # all weights, or it raises
    if not is_named:
        location = os.path.abspath(location)
    return Predictor(cfg, model, location, os.path.abspath(weights) if weights else "")


def _find_run(path: Path, weights: str) -> tuple[Path, Path]:
    """The config file and the checkpoint."""
    if not path.exists():
        raise UserError(
            f"--model {path}: no such file or folder; name the output folder of a training run, "
            "a config yaml together with --weights, or a ready network; "
            f"{ready.suggestion(str(path))}"
        )
    if path.is_file() and path.suffix in (".yaml", ".yml"):
        if not weights:
            raise UserError(
                f"--model {path} is a config; name its checkpoint with --weights FILE, or, of a "
                "two-step network, MODEL.WEIGHTS and MODEL.CROP_REID.WEIGHTS in it"
            )
        return path, Path(weights)
    folder, checkpoint = (path, None) if path.is_dir() else (path.parent, path)
    config_file = folder / "config.yaml"
    if not config_file.is_file():
        raise UserError(
            f"--model {path}: {folder} holds no config.yaml; name the output folder of a training "
            "run, such as output/demo/reid"
        )
    found = weights or checkpoint or last_checkpoint(str(folder))
    if not found:
        raise UserError(
            f"--model {folder} holds no checkpoint; finish its training, or name one with "
            "--weights FILE"
        )
    return config_file, Path(found)
