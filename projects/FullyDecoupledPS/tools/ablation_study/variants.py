"""What tools/ablation.py compares: the variants, and what each of them starts from."""

from pathlib import Path
from typing import NamedTuple

import torch

from fully_decoupled_ps.utils.files import atomic_write

DETECTORS = {"faster_rcnn": "Faster R-CNN", "fcos": "FCOS"}
BASE = "incremental"  # what most of the others are compared with
PRETRAINING = "pretraining"  # the run whose layers become the file that these words stand for:
PRETRAINED = "<pretrained weights>"


class Variant(NamedTuple):
    """A run: a stage of ``train_net.py``, and what else it is told.

    Attributes:
        title: in the tables; "" for a run that others start from.
        start: the variant whose network it starts from; "" for none.
        base: the variant that it is compared with.
        detectors: those that it is run with.
    """

    title: str
    stage: str
    opts: tuple = ()
    start: str = ""
    base: str = BASE
    detectors: tuple = tuple(DETECTORS)


def _blocks(*numbers: int) -> tuple:
    return ("MODEL.DETECTOR.BLOCKS", str(numbers))


_NO_FUSION = ("MODEL.REID.FUSION.NAME", "NoFusion")
# The successor's lighter f_d, as far as a ResNet-18 with its (2, 2, 2, 2) blocks has them.
_LITE, _MINOR = _blocks(2, 1, 1, 1), _blocks(1, 1, 1, 1)
# With what MODEL.CHANNELS_LAST means in mixed precision, but tested in float32, as the others are.
MIXED_PRECISION = ("SOLVER.AMP.ENABLED", True)
# f_d as in the paper: from the pretrained network, whose conv1 and conv2 stay as they are.
_PRETRAINED_DETECTOR = ("MODEL.WEIGHTS", PRETRAINED, "MODEL.BACKBONE.FREEZE_AT", 2)


def _start_from(weights: str) -> tuple:
    return ("MODEL.REID.SIDE_NET.WEIGHTS", weights)


# Names of starts of f_r and f_d -> how they are told, and what f_d is trained by. What f_d's maps
# know and whether f_r's channels mean the same as f_d's at the start are varied one by one.
STARTS = {
    "copy": ("f_r a copy of f_d", "detector", _start_from("detector")),
    "pretrained": ("f_r pretrained", "detector", _start_from(PRETRAINED)),
    "pretrained_fd": ("f_d pretrained, f_r random", "pretrained_detector", ()),
    "both_pretrained": ("both pretrained", "pretrained_detector", _start_from(PRETRAINED)),
}


def _from_starts() -> dict[str, Variant]:
    """With and without side-fusion, from each start. Of one detector: f_r is the same with all."""
    variants, only = {}, ("faster_rcnn",)
    for name, (title, start, opts) in STARTS.items():
        variants[name] = Variant(title, "reid", opts, start, detectors=only)
        variants[f"{name}_no_fusion"] = Variant(
            f"{title}, no side-fusion", "reid", (*opts, *_NO_FUSION), start, name, only
        )
    return variants


VARIANTS = {
    # Persons and scenes of its own; the trunk is trained by both tasks, conv3 to conv5 by re-id.
    PRETRAINING: Variant("", "joint", _NO_FUSION, detectors=("faster_rcnn",)),
    "detector": Variant("", "detection"),
    "lite_detector": Variant("", "detection", _LITE),
    "minor_detector": Variant("", "detection", _MINOR),
    "mixed_precision_detector": Variant("", "detection", MIXED_PRECISION),
    "pretrained_detector": Variant(
        "", "detection", _PRETRAINED_DETECTOR, detectors=("faster_rcnn",)
    ),
    "coupled": Variant("coupled", "joint", ("MODEL.META_ARCHITECTURE", "CoupledPersonSearch")),
    "joint": Variant("joint", "joint"),
    "detached": Variant("one-stage, f_r's rate", "detached"),
    "detached_slow": Variant("one-stage, f_d's rate", "detached", ("SOLVER.BASE_LR", 0.001)),
    "hybrid": Variant("hybrid", "hybrid", (), "detector"),
    BASE: Variant("task-incremental", "reid", (), "detector"),
    "no_fusion": Variant("no side-fusion", "reid", _NO_FUSION, "detector"),
    "no_sna": Variant("no SnA", "reid", ("MODEL.REID.BOX_NOISE.NUM_COPIES", 0), "detector"),
    "lite": Variant("lite f_d", "reid", _LITE, "lite_detector"),
    "minor": Variant("minor f_d", "reid", _MINOR, "minor_detector"),
    "ord": Variant("ORD", "reid", ("MODEL.REID.ORD.ENABLED", True), "detector"),
    "mixed_precision": Variant(
        "mixed precision", "reid", MIXED_PRECISION, "mixed_precision_detector"
    ),
    **_from_starts(),
}
TITLED = [name for name, variant in VARIANTS.items() if variant.title]


def needs(name: str) -> list[str]:
    """The variants whose runs come before that of another."""
    variant = VARIANTS[name]
    return [variant.start] * bool(variant.start) + [PRETRAINING] * (PRETRAINED in variant.opts)


def with_needs(names: list[str]) -> list[str]:
    """Variants, and before each of them those that it needs."""
    found: dict[str, None] = {}

    def add(name: str) -> None:
        for needed in needs(name):
            add(needed)
        found[name] = None

    for name in names:
        add(name)
    return list(found)


def write_pretrained(checkpoint: Path, path: Path) -> None:
    """One whole ResNet, in Detectron2's form of ImageNet weights, of the pretraining's parts.

    Args:
        checkpoint: of stage ``joint``: conv1 and conv2 are f_d's, trained by both tasks, and
            conv3 to conv5 f_r's, trained by re-id alone.
        path: of the file to write.
    """
    places = {
        "detector.backbone.stem.": "stem.",
        "detector.backbone.res2.": "res2.",
        "reid.side_net.res3.": "res3.",
        "reid.side_net.res4.": "res4.",
        "reid.head.conv5.": "res5.",
    }
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)["model"]
    layers = {
        name.replace(place, layer): value
        for name, value in state.items()
        for place, layer in places.items()
        if name.startswith(place)
    }
    with atomic_write(path, "wb") as f:
        torch.save({"model": layers, "matching_heuristics": True}, f)
