"""What a checkpoint was trained with, as far as it is known, and a config that contradicts it.

Pixel statistics, the order of channels, the place of a bottleneck's stride, what boxes are relative
to (anchors, the weights of regressions), kinds of norms, and which of two networks of equal shapes
it was, are in no checkpoint: with others than it was trained with a network runs, and what it finds
is wrong.
"""

import hashlib
import inspect
import logging
import math
import re
from functools import cache
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode
from detectron2.modeling import META_ARCH_REGISTRY, ROI_HEADS_REGISTRY

from ..config import (
    KEY_OF_ZOO,
    STAGES_FROM_DETECTOR,
    is_two_step,
    load_config,
    run_config,
    value_in,
)
from ..errors import UserError
from ..modeling.coat_cascade import CoatROIHeads
from ..modeling.res5_head import PersonRes5ROIHeads
from ..modeling.staged.backbone import is_staged
from ..zoo import ZOO, as_lists, import_model_zoo, is_detector, is_in_zoo

logger = logging.getLogger(__name__)

STRIDE = "MODEL.RESNETS.STRIDE_IN_1X1"
KEYS = ("INPUT.FORMAT", "MODEL.PIXEL_MEAN", "MODEL.PIXEL_STD", STRIDE)
# Networks, of f_d and of f_r: two of them may differ in padding alone.
STAGED, STAGED_F_R = "MODEL.STAGED.NAME", "MODEL.REID.SIDE_NET.STAGED"
RES5_NORM = "MODEL.DETECTOR.RES5_NORM"
# A key that is empty or, in an old config, not there -> the one that counts then.
ELSE = {STAGED_F_R: STAGED, RES5_NORM: "MODEL.RESNETS.NORM"}

# What else a trained detector's boxes depend on; one that is trained further may be given others.
ANCHORS = tuple(
    f"MODEL.ANCHOR_GENERATOR.{key}" for key in ("NAME", "SIZES", "ASPECT_RATIOS", "OFFSET")
)
OF_A_RESNET = ("MODEL.RESNETS.RES5_DILATION", "MODEL.RESNETS.NORM", RES5_NORM)
OF_A_PYRAMID = ("MODEL.FPN.FUSE_TYPE", "MODEL.FPN.NORM")
BOX_HEADS = "MODEL.ROI_HEADS.NAME"
SAMPLING_RATIO = "MODEL.ROI_BOX_HEAD.POOLER_SAMPLING_RATIO"  # of f_r's pooling as well
BOX_KEYS = {
    "GeneralizedRCNN": (
        *(*ANCHORS, *OF_A_RESNET, *OF_A_PYRAMID, "MODEL.RPN.BBOX_REG_WEIGHTS"),
        *("MODEL.RPN.IN_FEATURES", "MODEL.ROI_HEADS.IN_FEATURES", BOX_HEADS),
        *("MODEL.ROI_BOX_HEAD.BBOX_REG_WEIGHTS", "MODEL.ROI_BOX_CASCADE_HEAD.BBOX_REG_WEIGHTS"),
        *("MODEL.ROI_BOX_HEAD.POOLER_TYPE", "MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION"),
        *(SAMPLING_RATIO, "MODEL.ROI_BOX_HEAD.NORM"),
        *("MODEL.DETECTOR.POOLER_RESOLUTION", "MODEL.COAT.NUM_HEADS"),
    ),
    "RetinaNet": (
        *(*ANCHORS, *OF_A_RESNET, *OF_A_PYRAMID, "MODEL.RETINANET.IN_FEATURES"),
        *("MODEL.RETINANET.BBOX_REG_WEIGHTS", "MODEL.RETINANET.NORM"),
    ),
    "FCOS": (*OF_A_RESNET, *OF_A_PYRAMID, "MODEL.FCOS.IN_FEATURES", "MODEL.FCOS.NORM"),
}

# What a trained f_r's features depend on, by the network. Without a fusion or an exponent of
# pooling a file's tensors of them would be left out.
CROP_NETWORK, CONV5 = "MODEL.CROP_REID.NAME", "MODEL.COUPLED.CONV5"
HEAD_KEYS = ("MODEL.REID.POOLING", "MODEL.REID.POOLER_RESOLUTION", SAMPLING_RATIO)
SIDE_NET_KEYS = (*HEAD_KEYS, "MODEL.REID.FUSION.NAME", "MODEL.REID.SIDE_NET.NORM")
REID_KEYS = {
    "FullyDecoupledPersonSearch": SIDE_NET_KEYS,
    "CoatPersonSearch": SIDE_NET_KEYS,
    "CoupledPersonSearch": (
        *(*HEAD_KEYS, "MODEL.COUPLED.FEATURES", "MODEL.COUPLED.STRIDES", CONV5),
    ),
    "TwoStepPersonSearch": (
        CROP_NETWORK,
        *(f"MODEL.CROP_REID.{key}" for key in ("SIZE", "PIXEL_MEAN", "PIXEL_STD", "FORMAT")),
    ),
}

# ImageNet weights of whom -> what they were trained with (Detectron2's MODEL_ZOO.md), and a file.
IMAGENET = {
    "MSRA": ("BGR", (103.53, 116.28, 123.675), (1.0, 1.0, 1.0), True),
    "FAIR": ("BGR", (103.53, 116.28, 123.675), (57.375, 57.12, 58.395), False),
    "torchvision": ("RGB", (123.675, 116.28, 103.53), (58.395, 57.12, 57.375), False),
}
STRIDE_FILES = {True: "MSRA/R-50.pkl", False: "torchvision/R-50.pkl"}
# Detectron2's conversions by their folder, and torchvision's own files by their names.
_CONVERTED = re.compile(r"ImageNetPretrained/(\w+)/")
_TORCHVISION = re.compile(r"(?:(?:wide_)?resnex?t|convnext_|swin_)\w*-[0-9a-f]{8}\.pth")
# ConvNeXt's authors have torchvision's statistics too.
_CONVNEXT = re.compile(r"convnext_\w+_(?:1k|22k)_\d+(?:_ema)?\.pth")
# The zoo has the beginning of a file's MD5 in its name.
_MD5 = re.compile(r"_([0-9a-f]{6})\.pkl$")
# Of a number; as rounded in print, statistics of pixels differ by less, anchors' shapes by more.
TOLERANCE = 1e-3


def check_trained_with(cfg: CfgNode, *, is_start: bool = False) -> None:
    """
    Args:
        cfg: after :func:`apply_stage`, or of a trained network.
        is_start: whether a training starts from the file; then what is trained further may be given
            other anchors, say, and a new side-net has weights of its own. A training that goes on,
            after ``--resume``, may not.

    Raises:
        UserError: if the file of ``MODEL.WEIGHTS`` or ``MODEL.REID.SIDE_NET.WEIGHTS`` is known to
            have been trained with another value of :data:`KEYS`, with another staged network or, of
            a part that is used as it is, :data:`BOX_KEYS` or :data:`REID_KEYS`; names both.
    """
    weights = cfg.MODEL.WEIGHTS
    source, known = known_values(weights, cfg.MODEL.DETECTOR.ZOO)
    for key, trained, said in _contradictions(cfg, known, _keys(cfg, known, is_start)):
        raise UserError(
            f"MODEL.WEIGHTS {weights} was trained with {key} {trained} ({source}), but the "
            f"config says {said}; set {key} to {trained}" + _other_way(cfg, source)
        )
    if not is_start or cfg.SOLVER.STAGE == "detection" or is_two_step(cfg):
        return
    # what the side-net is given comes from the detector's first layers
    side_net = cfg.MODEL.REID.SIDE_NET
    weights, depth = side_net.WEIGHTS, side_net.DEPTH or cfg.MODEL.RESNETS.DEPTH
    source, known = known_values(weights)
    strides = [] if _has_staged_f_r(cfg) else [STRIDE]
    for key, trained, said in _contradictions(cfg, known, strides, depth):
        raise UserError(
            f"MODEL.REID.SIDE_NET.WEIGHTS {weights} was trained with {key} {trained} ({source}), "
            f"but the detector's is {said}; name weights of the same, such as "
            f"detectron2://ImageNetPretrained/{STRIDE_FILES[said]} for a ResNet-50, or say "
            '"detector" (a copy of the detector\'s own layers)'
        )


def _keys(cfg: CfgNode, known: dict[str, Any], is_start: bool) -> list[str]:
    """Those whose values must be what the file of ``MODEL.WEIGHTS`` was trained with."""
    keys = list(KEYS)
    if not is_start or cfg.SOLVER.STAGE in STAGES_FROM_DETECTOR:
        keys += _of_network(cfg.MODEL.DETECTOR.NAME, BOX_KEYS)
    if is_staged(cfg):
        of_resnets = (*OF_A_RESNET, STRIDE)
        keys = [STAGED, *(key for key in keys if key not in of_resnets)]
    keys = [key for key in keys if _is_read(cfg, key)]
    if "detection" in (cfg.SOLVER.STAGE, known.get("SOLVER.STAGE") or "detection"):
        return keys  # without an f_r, here or in the file
    if not is_start:
        keys += _of_network(cfg.MODEL.META_ARCHITECTURE, REID_KEYS)
    if _has_staged_f_r(cfg):
        keys = [STAGED_F_R, *(key for key in keys if key != "MODEL.REID.SIDE_NET.NORM")]
    return keys


def _of_network(name: str, keys: dict[str, tuple]) -> tuple[str, ...]:
    """The keys of a registered network, or of the first of its bases that has any."""
    if name not in META_ARCH_REGISTRY:
        return keys.get(name, ())
    made = META_ARCH_REGISTRY.get(name)  # of others' it may be a function
    bases = (base.__name__ for base in getattr(made, "__mro__", ()))
    return next((keys[base] for base in bases if base in keys), ())


def _is_read(cfg: CfgNode, key: str) -> bool:
    """Whether a detector of these parts takes the value of one of its keys."""
    if key.startswith("MODEL.FPN."):
        return "fpn" in cfg.MODEL.BACKBONE.NAME
    if key.startswith("MODEL.COAT."):
        return _are_heads(cfg.MODEL.ROI_HEADS.NAME, CoatROIHeads)
    if key.endswith(".POOLER_RESOLUTION"):
        return key.startswith("MODEL.DETECTOR.") == _are_heads(cfg.MODEL.ROI_HEADS.NAME)
    return True


def _are_heads(name: str, kinds=(PersonRes5ROIHeads, CoatROIHeads)) -> bool:
    """Whether box heads are those; by default, such as pool boxes higher than wide."""
    made = ROI_HEADS_REGISTRY.get(name) if name in ROI_HEADS_REGISTRY else None
    return inspect.isclass(made) and issubclass(made, kinds)


def _has_staged_f_r(cfg: CfgNode) -> bool:
    return cfg.MODEL.REID.SIDE_NET.NAME == "StagedSideNet" and not is_two_step(cfg)


def _contradictions(cfg: CfgNode, known: dict[str, Any], keys: list[str], depth: int = 0):
    for key in keys:
        if key == STRIDE and (depth or cfg.MODEL.RESNETS.DEPTH) < 50:  # no bottlenecks
            continue
        trained, said = known.get(key), _value(cfg, key)
        # not known; or no such part, of which no tensor would fit (CONV5 has none of its own)
        if trained is None or (trained == "" and key != CONV5):
            continue
        if not _equal(*(_as_compared(key, x) for x in (trained, said))):
            yield key, *(as_lists(x) if x != "" else '""' for x in (trained, said))


def _value(config: dict, key: str):
    value = value_in(config, key)
    return value or _value(config, ELSE[key]) if key in ELSE else value


def _as_compared(key: str, value):
    """What of a value tells two networks apart."""
    if key.endswith("NORM"):  # batch norms of all kinds compute the same at inference
        return "BN" if "BN" in str(value) else value
    if key == BOX_HEADS:  # others pool what their own keys say
        return _are_heads(value)
    if key == SAMPLING_RATIO:  # each number below 1 is as many as fit
        return max(value, 0)
    if key in (STAGED, STAGED_F_R, CROP_NETWORK) and str(value).startswith("timm:"):
        return value.partition(".")[0]  # what follows names weights
    return value


def _other_way(cfg: CfgNode, source: str) -> str:
    if source.startswith(KEY_OF_ZOO):
        return ", or put the config.yaml that the file was trained with beside it"
    if is_in_zoo(source) and is_detector(source) and cfg.MODEL.DETECTOR.ZOO != source:
        return f", or {KEY_OF_ZOO} {source} for all its values"
    return ""


def known_values(weights: str, zoo: str = "") -> tuple[str, dict[str, Any]]:
    """Where it is known from, and the config's values that a file was trained with, by their keys.

    Args:
        weights: a path or an address.
        zoo: the config of the model zoo that is assumed where nothing else is known of the file.
    """
    if run := run_config(weights):
        return str(Path(weights).with_name("config.yaml")), _values(run)
    if name := _zoo_config_of(weights):
        return name, _values_of_zoo(name)
    if family := _imagenet_family(weights):
        return f"ImageNet weights of {family}", dict(zip(KEYS, IMAGENET[family], strict=True))
    if weights and zoo:
        return f"{KEY_OF_ZOO} {zoo}", _values_of_zoo(zoo)
    return "", {}


def is_imagenet_file(weights: str) -> bool:
    """Whether a file is known as one of ImageNet weights, which holds no detector."""
    return bool(_imagenet_family(weights))


def _imagenet_family(weights: str) -> str:
    converted = _CONVERTED.search(weights)
    if converted and converted[1] in IMAGENET:
        return converted[1]
    is_torchvision_s = _TORCHVISION.search(weights) or _CONVNEXT.search(weights)
    return "torchvision" if is_torchvision_s else ""


def _values(config: dict) -> dict[str, Any]:
    of_parts = (key for part in (BOX_KEYS, REID_KEYS) for keys in part.values() for key in keys)
    keys = {*KEYS, STAGED, STAGED_F_R, "SOLVER.STAGE", *of_parts}
    return {key: _value(config, key) for key in keys}


def _values_of_zoo(name: str) -> dict[str, Any]:
    if name.endswith(".py"):  # its anchors are no values of keys
        cfg = load_config(name)
        return {key: value_in(cfg, key) for key in KEYS}
    return _values(import_model_zoo().get_config(name))


def _zoo_config_of(weights: str) -> str:
    """The zoo's config of one of its files, whatever a copy of it is called; "" for others."""
    configs = _zoo_configs()
    if name := configs.get(weights.rsplit("/", 1)[-1]):
        return name
    if not weights.endswith(".pkl") or "://" in weights or not Path(weights).is_file():
        return ""
    with open(weights, "rb") as file:
        start = hashlib.file_digest(file, "md5").hexdigest()[:6]
    by_md5 = {m[1]: name for file, name in configs.items() if (m := _MD5.search(file))}
    return by_md5.get(start, "")


@cache
def _zoo_configs() -> dict[str, str]:
    """File name of the zoo's weights -> its config, a yaml where there is one."""
    try:
        model_zoo = import_model_zoo()
    except UserError as error:  # whoever does not use the zoo can do without
        logger.warning("The zoo's files are not known by their names: %s", error)
        return {}
    configs = {}
    for path in [*ZOO.rglob("*.py"), *ZOO.rglob("*.yaml")]:
        name = path.relative_to(ZOO).as_posix()
        try:
            url = model_zoo.get_checkpoint_url(name)
        except RuntimeError:  # without weights
            continue
        configs[url.rsplit("/", 1)[-1]] = name
    return configs


def _equal(a, b) -> bool:
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(_equal(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, (int, float)) and isinstance(b, (int, float)):
        return math.isclose(a, b, rel_tol=TOLERANCE, abs_tol=1e-6)
    return a == b
