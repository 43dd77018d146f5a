"""Reduced precision: which type autocast takes, and what stays in float32 under it."""

from contextlib import nullcontext
from pathlib import Path

import torch
from detectron2.layers import NaiveSyncBatchNorm, ROIAlign
from detectron2.modeling.meta_arch.retinanet import RetinaNetHead
from detectron2.modeling.poolers import ROIPooler
from detectron2.modeling.proposal_generator.rpn import StandardRPNHead
from detectron2.modeling.roi_heads import FastRCNNOutputLayers
from torch import nn

from ..errors import UserError

# By the names that a config, a command and an index have for them.
TYPES = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}
# Whose outputs are scores and box deltas; FCOS's head is a RetinaNetHead.
PREDICTORS = (StandardRPNHead, FastRCNNOutputLayers, RetinaNetHead)
# Flags in which Linux reports instructions for bfloat16: x86's vectors and tiles, and ARM's.
_BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}


def precision_from_config(cfg) -> dict:
    """``training_dtype``, ``inference_dtype`` and, in training, ``channels_last`` of a network.

    Mixed precision in training is Detectron2's own on CUDA, outside of the network. Detectron2 has
    none for a CPU; there the network casts by itself.

    Raises:
        UserError: as :func:`choose_autocast` and :func:`training_type`; if ``MODEL.CHANNELS_LAST``
            is no answer.
    """
    if not _is_answer(cfg.MODEL.CHANNELS_LAST):
        raise UserError(
            f"MODEL.CHANNELS_LAST is {cfg.MODEL.CHANNELS_LAST!r}; allowed are True, False, None"
        )
    device = torch.device(cfg.MODEL.DEVICE)
    dtype = training_type(cfg)
    return {
        "training_dtype": dtype if device.type == "cpu" else None,
        "inference_dtype": choose_autocast(cfg.TEST.AUTOCAST, device),
        "channels_last": channels_last_in_training(cfg, dtype),
    }


def training_type(cfg) -> torch.dtype | None:
    """What convolutions and matrix products of a training are cast to; None: float32.

    ``SOLVER.AMP.ENABLED`` True is float16 with scaled losses on CUDA, and bfloat16, whose range
    needs no scaling, on a CPU. None is True on a CPU with instructions for bfloat16; a GPU has to
    be told, until trainings on one have been compared.

    Raises:
        UserError: if it is neither True, False nor None.
    """
    is_enabled, device = cfg.SOLVER.AMP.ENABLED, torch.device(cfg.MODEL.DEVICE)
    if not _is_answer(is_enabled):
        raise UserError(f"SOLVER.AMP.ENABLED is {is_enabled!r}; allowed are True, False, None")
    if is_enabled is None:
        is_enabled = device.type == "cpu" and cpu_has_bfloat16()
    if not is_enabled:
        return None
    return torch.float16 if device.type == "cuda" else torch.bfloat16


def _is_answer(value) -> bool:
    """Not 1, which is equal to True."""
    return value is None or isinstance(value, bool)


def channels_last_in_training(cfg, dtype: torch.dtype | None) -> bool:
    """Whether ``MODEL.CHANNELS_LAST`` means that weights are N, H, W, C in training.

    Args:
        cfg: a config with this project's keys.
        dtype: as of :func:`training_type`.
    """
    if cfg.MODEL.CHANNELS_LAST is not None:
        return cfg.MODEL.CHANNELS_LAST
    # in float32 RoIAlign takes more time for it than convolutions take less, and a processor's
    # gradients of group norm take ten times as long in any type
    norms = {cfg.MODEL.RESNETS.NORM, cfg.MODEL.REID.SIDE_NET.NORM}
    is_slow = torch.device(cfg.MODEL.DEVICE).type == "cpu" and "GN" in norms
    return dtype is not None and not is_slow


def channels_last_at_inference(cfg, dtype: torch.dtype | None) -> bool:
    """Whether ``MODEL.CHANNELS_LAST`` means that weights are N, H, W, C at inference.

    Args:
        cfg: a config with this project's keys.
        dtype: what the network computes in; None: float32.
    """
    if cfg.MODEL.CHANNELS_LAST is not None:
        return cfg.MODEL.CHANNELS_LAST
    # a GPU's tensor cores take this order, and compute in reduced precision
    return torch.device(cfg.MODEL.DEVICE).type == "cpu" or dtype is not None


def choose_autocast(name: str, device: torch.device) -> torch.dtype | None:
    """
    Args:
        name: "float32", "bfloat16", "float16", or "auto": the fastest that the device computes with
            instructions of its own.
        device: what the network runs on.

    Returns:
        What convolutions and matrix products are cast to; None for no cast.

    Raises:
        UserError: if the name is unknown.
    """
    if name not in ("auto", *TYPES):
        raise UserError(f"TEST.AUTOCAST is {name!r}; allowed are auto, {', '.join(TYPES)}")
    if name != "auto":
        return TYPES[name]
    if device.type == "cuda":
        # emulated before Ampere, where float16 is fast
        has_bfloat16 = torch.cuda.get_device_capability(device)[0] >= 8
        return torch.bfloat16 if has_bfloat16 else torch.float16
    return torch.bfloat16 if cpu_has_bfloat16() else None


def cpu_has_bfloat16(cpuinfo: str = "/proc/cpuinfo") -> bool:
    """Whether the processor has instructions for bfloat16; without them it is slower than float32.

    Args:
        cpuinfo: Linux's description of the processor. False where there is none.
    """
    try:
        return not _BFLOAT16_FLAGS.isdisjoint(Path(cpuinfo).read_text().split())
    except OSError:
        return False


def is_emulated(dtype: torch.dtype | None, device: torch.device) -> bool:
    """Whether a device has no instructions for a type, which is then slower than float32."""
    if device.type != "cpu" or dtype is None:
        return False
    return dtype != torch.bfloat16 or not cpu_has_bfloat16()


def name_of(dtype: torch.dtype | None) -> str:
    """Its name in :data:`TYPES`."""
    return next(name for name, known in TYPES.items() if known == dtype)


def autocast(device: torch.device, dtype: torch.dtype | None):
    """The context in which a network computes in ``dtype``; None leaves everything as it is."""
    return nullcontext() if dtype is None else torch.autocast(device.type, dtype=dtype)


def keep_boxes_in_float32(network: nn.Module) -> None:
    """Pool at float32 coordinates, and decode float32 predictions, also under autocast.

    Detectron2 rounds RoIs, and FCOS's locations, to the type of the maps. bfloat16 has 8 bits: at
    x = 1000, boxes would be off by up to 2 pixels, and float16 would be by 1/4.

    Maps are cast to float32 for that. torchvision's kernels want maps and RoIs of one type, have
    none for bfloat16 on a CPU, and under autocast cast both to float32 by themselves; so there is
    no pooling of bfloat16 maps at float32 coordinates to be had (torchvision 0.29).
    """
    for module in network.modules():
        # ROIPooler collects what the levels of a pyramid give in the type of its maps
        if isinstance(module, (ROIAlign, ROIPooler)):
            module.register_forward_pre_hook(_cast_maps)
        elif isinstance(module, PREDICTORS):
            module.register_forward_hook(_cast_predictions)


def keep_statistics_in_float32(network: nn.Module) -> None:
    """Let Detectron2's naive synchronised batch norms, which are for CPUs too, sum up in float32.

    Their variance is the mean square less the squared mean. Detectron2 casts float16 for that;
    bfloat16, which has 8 bits, would leave nothing of it where a channel is far from zero.
    """
    for module in network.modules():
        if isinstance(module, NaiveSyncBatchNorm):
            module.register_forward_pre_hook(_cast_bfloat16)


def _cast_bfloat16(module: nn.Module, inputs: tuple) -> tuple:
    return tuple(x.float() if x.dtype == torch.bfloat16 else x for x in inputs)


def _cast_maps(module: nn.Module, inputs: tuple) -> tuple:
    maps, *boxes = inputs
    cast = list(map(for_pooling, maps)) if isinstance(maps, list) else for_pooling(maps)
    return (cast, *boxes)


def for_pooling(maps: torch.Tensor) -> torch.Tensor:
    """As torchvision's RoIAlign reads maps: float32, and in memory N, C, H, W; in one copy."""
    return maps.to(torch.float32, memory_format=torch.contiguous_format)


def _cast_predictions(module: nn.Module, inputs: tuple, output):
    if isinstance(output, torch.Tensor):
        return output.float()
    return type(output)(_cast_predictions(module, inputs, part) for part in output)
