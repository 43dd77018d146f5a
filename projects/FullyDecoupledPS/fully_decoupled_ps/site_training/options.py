"""The ``KEY VALUE`` pairs of the command line: which are allowed, and what holds in which stage."""

from collections.abc import Sequence

import torch
from detectron2.config import CfgNode

from ..config import merge_config
from ..errors import UserError

DETECTION, REID = "detection", "reid"
# Keys of what the command has words of its own for.
ELSEWHERE = {
    "OUTPUT_DIR": "--output",
    "DATASETS.TRAIN": "the first argument",
    "DATASETS.TEST": "--test",
    "MODEL.WEIGHTS": "--start",
    "MODEL.CROP_REID.WEIGHTS": "--start",
    "MODEL.META_ARCHITECTURE": "--start",
    "MODEL.DEVICE": "--device",
    "SOLVER.STAGE": "--detector tune or freeze",
}
OF_REID = "SOLVER.REID."


def check_options(cfg: CfgNode, opts: Sequence[str]) -> None:
    """
    Args:
        cfg: of the network that is trained; unchanged.

    Raises:
        UserError: for what is no pair, no key, no value of its kind, or said by an option.
    """
    if len(opts) % 2:
        raise UserError(
            f"options are KEY VALUE pairs; {opts[-1]!r} has no value, such as SOLVER.MAX_ITER 1000"
        )
    for key in opts[::2]:
        if key in ELSEWHERE:
            raise UserError(f"{key} is not taken here; say {ELSEWHERE[key]}")
    for stage in (DETECTION, REID):
        merge_config(cfg.clone(), opts=options_of(stage, opts))


def pairs_of(opts: Sequence[str]) -> list[tuple[str, str]]:
    """(key, value) of each pair."""
    return list(zip(opts[::2], opts[1::2], strict=True))


def options_of(stage: str, opts: Sequence[str]) -> list[str]:
    """The command line's options as they hold in a stage.

    ``SOLVER.X`` is of both stages, and ``SOLVER.REID.X`` of stage ``reid``, where it wins.
    """
    pairs = pairs_of(opts)
    common = [pair for pair in pairs if not pair[0].startswith(OF_REID)]
    own = [(f"SOLVER.{k.removeprefix(OF_REID)}", v) for k, v in pairs if k.startswith(OF_REID)]
    return [text for pair in common + own * (stage == REID) for text in pair]


def device_of(device: str) -> str:
    """What PyTorch calls the device that is asked for; of "", a GPU if there is one.

    Raises:
        UserError: it is none, or PyTorch sees no GPU.
    """
    try:
        kind = torch.device(device or "cpu").type
    except RuntimeError as error:
        raise UserError(f"--device {device}: no such device; say cuda or cpu") from error
    if kind == "cuda" and not torch.cuda.is_available():
        raise UserError(f"--device {device}: PyTorch sees no GPU; use --device cpu")
    return device or ("cuda" if torch.cuda.is_available() else "cpu")
