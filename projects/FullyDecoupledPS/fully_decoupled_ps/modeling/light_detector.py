"""A lighter f_d: fewer residual blocks than its network's depth has ("lite" and "minor")."""

from collections import defaultdict
from collections.abc import Sequence

from detectron2.layers import CNNBlockBase, get_norm
from torch import nn

from ..errors import UserError
from .resnet_stages import BLOCKS_PER_STAGE
from .staged.backbone import bottom_up_builder
from .staged.network import STAGES, Stage, check_maps


def check_light_detector(cfg) -> None:
    """Refuse numbers of blocks that no ResNet of ``MODEL.RESNETS.DEPTH`` can keep, and norms.

    Raises:
        UserError: names ``MODEL.DETECTOR.BLOCKS`` or ``RES5_NORM``, and what is allowed.
    """
    blocks, norm = cfg.MODEL.DETECTOR.BLOCKS, cfg.MODEL.DETECTOR.RES5_NORM
    is_resnet = "resnet" in bottom_up_builder(cfg)
    depth = cfg.MODEL.RESNETS.DEPTH
    full = BLOCKS_PER_STAGE.get(depth) if is_resnet else None
    if blocks is None:  # a yaml's null, which yacs lets pass for anything
        raise UserError("MODEL.DETECTOR.BLOCKS is None; say () for all blocks of the network")
    are_numbers = len(blocks) == len(STAGES) and all(type(n) is int and n > 0 for n in blocks)
    if blocks and not (are_numbers and all(n <= m for n, m in zip(blocks, full or blocks))):
        most = f", at most {_listed(full)} (all of a ResNet-{depth}'s)" if full else ""
        raise UserError(
            f"MODEL.DETECTOR.BLOCKS is {_listed(blocks)}; it must be four whole numbers, 1 or more"
            f"{most}: the residual blocks of conv2 to conv5; or () for all of them"
        )
    try:
        get_norm(norm, 32)
    except KeyError as error:
        raise UserError(
            f"MODEL.DETECTOR.RES5_NORM is {norm!r}, none of Detectron2's norms; say BN, FrozenBN, "
            'GN or SyncBN, or "" for MODEL.RESNETS.NORM'
        ) from error
    if norm and not cfg.MODEL.RESNETS.NORM:
        raise UserError(
            f"MODEL.DETECTOR.RES5_NORM is {norm}, which takes the place of a norm, and "
            'MODEL.RESNETS.NORM is "": there is none; name one there, or leave RES5_NORM out'
        )


def lighten(detector: nn.Module, blocks: Sequence[int], res5_norm: str = "") -> None:
    """Keep the first blocks of each stage of a detector, and give its conv5 another norm.

    Detectron2's builders take the numbers from a table by depth, each for itself, and conv5 of a C4
    detector is built in its RoI head. So whatever has built it, blocks are taken off the whole. No
    shape changes: the first block of a stage has its stride, and its channels; where it has not,
    as in some of timm's networks, that is refused. What is frozen stays frozen.

    Args:
        detector: of any kind with Detectron2's residual blocks, or stages of blocks
            (:class:`Stage`); changed in place.
        blocks: how many of conv2, conv3, conv4 and conv5 to keep; empty: all.
        res5_norm: Detectron2's name of conv5's norm; "": as built.

    Raises:
        UserError: if the detector has no such stages, or fewer blocks, or its stages without their
            last blocks have other channels.
    """
    stages, resnet_stages = _stages(detector), _resnet_stages(detector)
    for key, is_said, found, wanted, of in (
        ("BLOCKS", bool(blocks), stages, _needed(detector), "networks of sequences of blocks"),
        ("RES5_NORM", bool(res5_norm), resnet_stages, STAGES[-1:], "Detectron2's ResNets"),
    ):
        if is_said and not set(wanted) <= found.keys():
            raise UserError(
                f"MODEL.DETECTOR.{key} is of {of}, and {type(detector).__name__} "
                f"has no {', '.join(wanted)} of such blocks; leave it out"
            )
    for name, number in zip(STAGES, blocks):
        for stage in stages[name]:
            if number > len(stage):
                raise UserError(
                    f"MODEL.DETECTOR.BLOCKS is {_listed(blocks)}, but {name} of the detector has "
                    f"{len(stage)} blocks; say at most so many, or () for all"
                )
            for block in list(stage._modules)[number:]:  # not a slice, which renumbers the others
                delattr(stage, block)
    if blocks:
        _check_lighter(detector, blocks)
    if res5_norm:
        for block in (block for stage in resnet_stages["res5"] for block in stage):
            is_frozen = not any(p.requires_grad for p in block.parameters())
            for layer in block.modules():
                if getattr(layer, "norm", None) is not None:  # of a convolution
                    layer.norm = get_norm(res5_norm, layer.out_channels)
            if is_frozen:
                block.freeze()


def _check_lighter(detector: nn.Module, blocks: Sequence[int]) -> None:
    """That the maps of a staged network are what they were; a ResNet's are."""
    named = ((name.rpartition(".")[2], module) for name, module in detector.named_modules())
    found = {name: module for name, module in named if isinstance(module, Stage)}
    if "stem" not in found:
        return
    try:
        check_maps(found["stem"], [found[name] for name in STAGES if name in found])
    except UserError as error:
        raise UserError(
            f"MODEL.DETECTOR.BLOCKS is {_listed(blocks)}, but without the blocks behind these, "
            f"{error}; keep more of them, or () for all"
        ) from error


def _needed(detector: nn.Module) -> tuple[str, ...]:
    """Stages that must be sequences of blocks: conv5 only where it is a :class:`Stage`."""
    paths = (name for name, module in detector.named_modules() if isinstance(module, Stage))
    has_last = any(path.rpartition(".")[2] == STAGES[-1] for path in paths)
    return STAGES if has_last else STAGES[:-1]


def _stages(detector: nn.Module) -> dict[str, list[nn.Sequential]]:
    """A detector's sequences of residual blocks by name, in its backbone or in its RoI head."""
    stages = _resnet_stages(detector)
    for name, module in detector.named_modules():
        if isinstance(module, Stage) and module.blocks is not None:
            stages[name.rpartition(".")[2]].append(module.blocks)
    return stages


def _resnet_stages(detector: nn.Module) -> dict[str, list[nn.Sequential]]:
    """Those of Detectron2's blocks."""
    stages = defaultdict(list)
    for name, module in detector.named_modules():
        is_stage = name.rpartition(".")[2] in STAGES and isinstance(module, nn.Sequential)
        if is_stage and all(isinstance(block, CNNBlockBase) for block in module):
            stages[name.rpartition(".")[2]].append(module)
    return stages


def _listed(numbers) -> str:
    return f"({', '.join(map(str, numbers))})"
