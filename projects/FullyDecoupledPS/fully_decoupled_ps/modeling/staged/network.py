"""A classification network taken apart into a stem and four stages: what an adapter returns."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from detectron2.utils.registry import Registry
from torch import nn

from ...errors import UserError
from .stride_one import make_stride_one

STAGED_NETWORK_REGISTRY = Registry("STAGED_NETWORK")
STAGED_NETWORK_REGISTRY.__doc__ = """
Networks of stages, named by ``MODEL.STAGED.NAME`` and ``MODEL.REID.SIDE_NET.STAGED``. A registered
object is called with the config and what follows the first colon in the name ("" if there is none),
and returns a :class:`StagedNetwork`.
"""

STAGES = ("res2", "res3", "res4", "res5")
# Their maps' strides.
MAP_STRIDES = (4, 8, 16, 32)
# Of the stem and of each of the stages alone.
STRIDES = (4, 1, 2, 2, 2)


class Stage(nn.Module):
    """Layers between two maps: what brings a map to the stage's size, and then blocks.

    A map whose size is no multiple of the stride is padded by zeros, at its right and its bottom,
    so that sizes are rounded up in every network, as Detectron2's ResNets do.
    """

    def __init__(
        self,
        *,
        out_channels: int = 0,
        stride: int = 1,
        entry: nn.Module | None = None,
        blocks: nn.Sequential | None = None,
        norm: nn.Module | None = None,
        is_nhwc: bool = False,
    ):
        """
        Args:
            out_channels: C'; need not be said of a stem.
            stride: s, 1 or 2; of a stem 4, also where it leaves a part of that to ``res2``.
            entry: what comes before the blocks.
            blocks: of which a lighter detector (``MODEL.DETECTOR.BLOCKS``) can keep the first ones;
                None if there is no such sequence.
            norm: of the last stage, the network's final norm; of others, None.
            is_nhwc: whether all of these take and give (N, H, W, C), as Swin's do.
        """
        super().__init__()
        self.out_channels = out_channels
        self.stride = stride
        self.entry = entry
        self.blocks = blocks
        self.norm = norm
        self.is_nhwc = is_nhwc
        self.is_frozen = False

    def freeze(self) -> None:
        """Never trained: no gradients, and always in eval mode (batch norms, stochastic depth)."""
        self.requires_grad_(False)
        self.is_frozen = True
        self.eval()

    def train(self, mode: bool = True):
        return super().train(mode and not self.is_frozen)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) -> (N, C', H / s, W / s), rounded up; N may be 0."""
        x = pad_to_multiple(x, self.stride)
        if not is_exported() and len(x) == 0:  # attention refuses an empty batch
            return self._nothing(x)
        if self.is_nhwc:
            x = x.permute(0, 2, 3, 1)
        for part in (self.entry, self.blocks, self.norm):
            if part is not None:
                x = part(x)
        return x.permute(0, 3, 1, 2) if self.is_nhwc else x

    def _nothing(self, x: torch.Tensor) -> torch.Tensor:
        """A map of no boxes, which reaches ``x`` and all weights, as other processes expect."""
        size = [length // self.stride for length in x.shape[-2:]]
        trained = (p for p in self.parameters() if p.requires_grad)
        reached = sum((p.sum() * 0 for p in trained), x.sum() * 0)
        return x.new_zeros(0, self.out_channels, *size) + reached


def is_exported() -> bool:
    """Whether a graph is made of what is computed, where sizes are symbols."""
    return torch.jit.is_tracing() or torch.compiler.is_compiling()


def pad_to_multiple(x: torch.Tensor, stride: int) -> torch.Tensor:
    """(N, C, H, W) with zeros at its right and its bottom; without any, ``x`` itself."""
    height, width = x.shape[-2:]
    if stride == 1 or not is_exported() and height % stride == width % stride == 0:
        return x
    return F.pad(x, (0, -width % stride, 0, -height % stride))


def as_published(state: dict) -> dict:
    """Of a network without published files."""
    return state


@dataclass
class StagedNetwork:
    """The parts of a network, and how its published files name them. An adapter makes one.

    Attributes:
        stem: takes (N, 3, H, W), normalised; what comes before ``res2``.
        stages: ``res2`` to ``res5``, at strides 4, 8, 16 and 32. The last has the final norm, if
            the network ends in one: then a detector's maps get norms of their own too.
        rename_published: a file's tensors by its publisher's names -> by the names here, "stem.",
            "res2." and so on, followed by "entry.", "blocks." or "norm."; others, such as a
            classifier's, stay as they are. Must not hold the network; see :func:`rename_by_prefix`.
        make_stride_one: changes the last stage, in place, into one of stride 1, for RoIs.
    """

    stem: Stage
    stages: Sequence[Stage]
    rename_published: Callable[[dict], dict] = as_published
    make_stride_one: Callable[[Stage], None] = make_stride_one


def rename_by_prefix(prefixes: dict[str, str]) -> Callable[[dict], dict]:
    """What renames a file's tensors by the modules that they are in.

    Args:
        prefixes: a module's path in the file -> its path here. The longest one that fits counts.
    """
    return partial(_rename, dict(sorted(prefixes.items(), key=lambda item: -len(item[0]))))


def _rename(prefixes: dict[str, str], state: dict) -> dict:
    return {_new_name(name, prefixes): value for name, value in state.items()}


def _new_name(name: str, prefixes: dict[str, str]) -> str:
    for old, new in prefixes.items():
        if name.startswith(f"{old}."):
            return new + name[len(old) :]
    return name


def build_staged_network(cfg, key: str, name: str) -> StagedNetwork:
    """
    Args:
        cfg: for the adapter.
        key: of the config, by which messages call it.
        name: such as "torchvision:convnext_tiny".

    Raises:
        UserError: if there is no such network, or it has not the stages that are needed here.
    """
    check_staged_name(key, name)
    kind, _, variant = name.partition(":")
    try:
        network = STAGED_NETWORK_REGISTRY.get(kind)(cfg, variant)
        if len(network.stages) != len(STAGES):
            raise UserError(f"it has {len(network.stages)} stages, and {len(STAGES)} are needed")
        check_maps(network.stem, network.stages)
    except UserError as error:
        raise UserError(f"{key} is {name!r}; {error}") from error
    return network


def build_conv5(cfg, key: str, name: str, stride: int) -> Stage:
    """The last stage alone, for RoIs, with the final norm.

    Args:
        key, name: as of :func:`build_staged_network`.
        stride: 2, its own, or 1.
    """
    network = build_staged_network(cfg, key, name)
    return network.stages[-1] if stride == 2 else stride_one_stage(network, key, name)


def stride_one_stage(network: StagedNetwork, key: str, name: str) -> Stage:
    """The last stage of a network, changed to stride 1.

    Raises:
        UserError: if that did not work.
    """
    *_, before, stage = network.stages
    network.make_stride_one(stage)
    stage.stride = 1
    try:
        _check_map(STAGES[-1], stage, torch.zeros(1, before.out_channels, 8, 4), (8, 4))
    except UserError as error:
        raise UserError(
            f"{key} is {name!r}, whose last stage could not be made one of stride 1, which the "
            f"re-id head needs ({error}); its adapter has to say how (make_stride_one)"
        ) from error
    return stage


def check_staged_name(key: str, name: str) -> None:
    """
    Raises:
        UserError: if no adapter of that name is registered.
    """
    if name.partition(":")[0] not in STAGED_NETWORK_REGISTRY:
        known = ", ".join(sorted(known for known, _ in STAGED_NETWORK_REGISTRY))
        raise UserError(
            f"{key}: {name!r} is not registered; name a network of stages, such as "
            f"torchvision:convnext_tiny; registered are {known}"
        )


def check_maps(stem: Stage, stages: Sequence[Stage]) -> None:
    """Run a small image, and compare its maps with the strides and channels that stages say.

    Args:
        stages: ``res2`` and those that follow, up to all four.

    Raises:
        UserError: names the first stage whose map is another.
    """
    x = _check_map("the stem", stem, torch.zeros(1, 3, 64, 96), None)
    for name, stage, stride in zip(STAGES, stages, MAP_STRIDES):
        x = _check_map(name, stage, x, (64 // stride, 96 // stride))


@torch.no_grad()
def _check_map(
    name: str, stage: Stage, x: torch.Tensor, size: tuple[int, int] | None
) -> torch.Tensor:
    wanted = (1, stage.out_channels, *size) if size else None  # of a stem, any
    stage.eval()
    try:
        y = stage(x)
    except (RuntimeError, AssertionError, ValueError, TypeError) as error:
        raise UserError(f"{name} does not run: {' '.join(str(error).split())}") from error
    if wanted and tuple(y.shape) != wanted:
        raise UserError(
            f"{name} gives a map of {tuple(y.shape)}, where {wanted} is needed: stages have "
            "strides 4, 8, 16 and 32"
        )
    stage.train()
    return y
