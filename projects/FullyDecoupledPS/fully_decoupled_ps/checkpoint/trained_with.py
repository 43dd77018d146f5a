"""What a checkpoint was trained with, as far as it is known, and a config that contradicts it.

Pixel statistics, the order of channels and the place of a bottleneck's stride are in no checkpoint:
with others than it was trained with a network runs, and what it finds is wrong.
"""

import re
from functools import cache
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode

from ..config import is_two_step, load_config, run_config, value_in
from ..errors import UserError
from ..zoo import ZOO, is_in_zoo

STRIDE = "MODEL.RESNETS.STRIDE_IN_1X1"
KEYS = ("INPUT.FORMAT", "MODEL.PIXEL_MEAN", "MODEL.PIXEL_STD", STRIDE)

# Detectron2's conversions of ImageNet weights, by their folder (its MODEL_ZOO.md).
IMAGENET = {
    "MSRA": ("BGR", (103.53, 116.28, 123.675), (1.0, 1.0, 1.0), True),
    "FAIR": ("BGR", (103.53, 116.28, 123.675), (57.375, 57.12, 58.395), False),
    "torchvision": ("RGB", (123.675, 116.28, 103.53), (58.395, 57.12, 57.375), False),
}
# Differences of pixel values that are none.
TOLERANCE = 0.05


def check_trained_with(cfg: CfgNode) -> None:
    """
    Args:
        cfg: after :func:`apply_stage`, or of a trained network.

    Raises:
        UserError: if the file of ``MODEL.WEIGHTS`` or ``MODEL.REID.SIDE_NET.WEIGHTS`` is known to
            have been trained with another value of :data:`KEYS`; names both.
    """
    _compare(cfg, "MODEL.WEIGHTS", cfg.MODEL.WEIGHTS, KEYS)
    if cfg.SOLVER.STAGE != "detection" and not is_two_step(cfg):
        # what it is given comes from the detector's first layers
        side_net = cfg.MODEL.REID.SIDE_NET.WEIGHTS
        _compare(cfg, "MODEL.REID.SIDE_NET.WEIGHTS", side_net, (STRIDE,))


def _compare(cfg: CfgNode, name: str, weights: str, keys: tuple[str, ...]) -> None:
    source, known = known_values(weights)
    for key in keys:
        if key == STRIDE and cfg.MODEL.RESNETS.DEPTH < 50:  # no bottlenecks
            continue
        trained, said = known.get(key), value_in(cfg, key)
        if trained is not None and not _equal(trained, said):
            fix = f"set {key} to {_text(trained)}"
            if name != "MODEL.WEIGHTS":  # the key is the detector's, too
                fix = f"name a file that was trained with {_text(said)}, or say detector"
            elif is_in_zoo(source):
                fix += f", or MODEL.DETECTOR.ZOO {source} for all its values"
            raise UserError(
                f"{name} {weights} was trained with {key} {_text(trained)} ({source}), but the "
                f"config says {_text(said)}; {fix}"
            )


def known_values(weights: str) -> tuple[str, dict[str, Any]]:
    """Where it is known from, and the values of :data:`KEYS` that a file was trained with."""
    run = run_config(weights)
    if run:
        beside = str(Path(weights).with_name("config.yaml"))
        return beside, {key: value_in(run, key) for key in KEYS}
    if name := _zoo_configs().get(weights.rsplit("/", 1)[-1]):
        cfg = load_config(name)
        return name, {key: value_in(cfg, key) for key in KEYS}
    family = re.search(r"ImageNetPretrained/(\w+)/", weights)
    if family and family[1] in IMAGENET:
        return f"ImageNet weights of {family[1]}", dict(zip(KEYS, IMAGENET[family[1]], strict=True))
    return "", {}


@cache
def _zoo_configs() -> dict[str, str]:
    """File name of the zoo's weights -> its config."""
    from detectron2 import model_zoo

    configs = {}
    for path in ZOO.rglob("*.yaml"):
        name = path.relative_to(ZOO).as_posix()
        try:
            url = model_zoo.get_checkpoint_url(name)
        except RuntimeError:  # without weights
            continue
        configs[url.rsplit("/", 1)[-1]] = name
    return configs


def _equal(a, b) -> bool:
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        pairs = zip(a, b, strict=False)
        return len(a) == len(b) and all(abs(x - y) < TOLERANCE for x, y in pairs)
    return a == b


def _text(value) -> str:
    return str(list(value)) if isinstance(value, (list, tuple)) else str(value)
