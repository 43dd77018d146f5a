"""Batch norms folded into the convolutions before them: the same numbers with less work."""

import logging
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager
from functools import partial

import torch
from detectron2.layers import Conv2d, FrozenBatchNorm2d
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torch.overrides import TorchFunctionMode

logger = logging.getLogger(__name__)

# Those whose norms are known to compute no more than a batch norm, and an activation after it.
WRITTEN_BY = ("torch", "detectron2", "timm")
# Functions that ask for a tensor's shape or the like, not for its values.
ABOUT_A_TENSOR = ("__get__", "dim", "size", "numel")


def fold_norms(network: nn.Module) -> int:
    """Fold the batch norms of Detectron2's convolutions into them, frozen or not.

    In eval mode a batch norm is one factor and one summand a channel. Norms that depend on the
    image (group, layer and instance norms) stay, and so do those of a subclass of the convolution,
    of a norm that computes more than that, and of either with hooks.

    Args:
        network: in eval mode; changed in place. It can't be trained any more, and its state has
            other names.

    Returns:
        int: how many norms were folded.
    """
    known = (m for m in network.modules() if type(m) is Conv2d and is_constant(m.norm))
    convs = [conv for conv in known if _is_foldable(conv, conv.norm)]
    for conv in convs:
        _fold(conv, conv.norm)
        conv.norm = _what_remains(conv.norm)
    return len(convs)


def fold_norms_that_follow(network: nn.Module, run: Callable[[], object]) -> int:
    """Fold the batch norms of a network whose structure is not known, such as a library's.

    Which norm is applied to what a convolution gives is seen in a run; if anything else takes the
    convolution's output as well, the norm stays. If the network gives something else afterwards,
    as one does that uses a convolution's weights elsewhere too, all of them stay.

    Args:
        network: as of :func:`fold_norms`.
        run: runs the network once, with an input that is the same each time and not all zeros, and
            returns what it gives: tensors, also in lists, tuples and dicts.

    Returns:
        int: how many norms were folded.
    """
    calls = _Calls(network)
    with _exact(network), calls:
        before = run()
    found = calls.pairs()
    norms = {name: network.get_submodule(name) for name in found}
    pairs = {name: conv for name, conv in found.items() if _is_foldable(conv, norms[name])}
    were = {conv: (conv.weight, conv.bias) for conv in pairs.values()}
    for name, conv in pairs.items():
        _fold(conv, norms[name])
        _put(network, name, _what_remains(norms[name]) or nn.Identity())
    with _exact(network):
        if _are_close(run(), before):
            return len(pairs)
    logger.info(
        "The batch norms of %s stay: folded into convolutions, they would change what it gives",
        type(network).__name__,
    )
    for name, conv in pairs.items():
        conv.weight, conv.bias = were[conv]
        _put(network, name, norms[name])
    return 0


@contextmanager
def _exact(network: nn.Module):
    """Runs are compared in the type of the weights, also within a training in mixed precision."""
    device = next(network.parameters(), torch.zeros(())).device.type  # it may have none
    with torch.no_grad(), torch.autocast(device, enabled=False):
        yield


def _put(network: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(network.get_submodule(parent), child, module)


def is_constant(norm: nn.Module | None) -> bool:
    """Whether, in eval mode, a norm has factors and summands that no image changes."""
    if isinstance(norm, _BatchNorm):
        return norm.running_mean is not None
    return isinstance(norm, FrozenBatchNorm2d)


def _is_foldable(conv: nn.Conv2d, norm: nn.Module) -> bool:
    """Whether nothing else computes or watches: no hooks, and no code of somebody else's."""
    if any(m._forward_hooks or m._forward_pre_hooks or "forward" in vars(m) for m in (conv, norm)):
        return False  # weight_norm's hook, and of those who look at maps
    # of a subclass of the user's own, which may compute more than one factor and one summand
    return type(norm).forward.__module__.partition(".")[0] in WRITTEN_BY


def _are_close(ours, theirs) -> bool:
    """Up to the rounding of a deep network, by the largest value of a tensor."""
    if isinstance(theirs, torch.Tensor):
        difference = (ours - theirs).abs().max()
        return bool(difference <= 1e-3 * theirs.abs().max())  # False of NaN
    if isinstance(theirs, dict):
        return all(_are_close(ours[key], value) for key, value in theirs.items())
    return all(map(_are_close, ours, theirs))


@torch.no_grad()
def _fold(conv: nn.Conv2d, norm: nn.Module) -> None:
    """In float64, so that weights are rounded once."""
    statistics = (norm.running_mean.double(), norm.running_var.double(), norm.eps)
    affine = [None if x is None else x.double() for x in (norm.weight, norm.bias)]
    bias = None if conv.bias is None else conv.bias.double()
    folded = fuse_conv_bn_weights(conv.weight.double(), bias, *statistics, *affine)
    conv.weight, conv.bias = (
        nn.Parameter(x.to(conv.weight.dtype), requires_grad=False) for x in folded
    )


def _what_remains(norm: nn.Module) -> nn.Module | None:
    """timm's norms have an activation inside."""
    parts = [getattr(norm, name, None) for name in ("drop", "act")]
    parts = [p for p in parts if p is not None and not isinstance(p, nn.Identity)]
    return nn.Sequential(*parts) if parts else None


class _Calls(TorchFunctionMode):
    """Within the context, takes note of which convolution's output each batch norm is given."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network
        # all by the id of an output, which is kept so that no other tensor gets its id
        self.outputs: dict[int, torch.Tensor] = {}
        self.convs: dict[int, nn.Conv2d] = {}
        self.norms: dict[int, str] = {}
        self.uses = Counter()  # in how many calls of functions
        self.times = Counter()  # how often a module was called
        self._hooks: list = []

    def __enter__(self):
        for name, module in self.network.named_modules():
            if type(module) is nn.Conv2d:
                self._hooks.append(module.register_forward_hook(self._after_conv))
            elif is_constant(module):
                hook = partial(self._before_norm, name)
                self._hooks.append(module.register_forward_pre_hook(hook))
        return super().__enter__()

    def __exit__(self, *exception):
        for hook in self._hooks:
            hook.remove()
        return super().__exit__(*exception)

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if getattr(function, "__name__", "") not in ABOUT_A_TENSOR:
            for x in (*args, *(kwargs or {}).values()):
                given = x if isinstance(x, (list, tuple)) else [x]
                self.uses.update(id(y) for y in given if id(y) in self.outputs)
        return function(*args, **(kwargs or {}))

    def _after_conv(self, conv, inputs, output):
        self.outputs[id(output)], self.convs[id(output)] = output, conv
        self.times[conv] += 1

    def _before_norm(self, name, norm, inputs):
        self.times[norm] += 1
        if id(inputs[0]) in self.outputs:
            self.norms[id(inputs[0])] = name

    def pairs(self) -> dict[str, nn.Conv2d]:
        """By a norm's name, its convolution: called once each, with nothing between them."""
        return {
            name: self.convs[key]
            for key, name in self.norms.items()
            if self.uses[key] == 1
            and self.times[self.convs[key]] == 1
            and self.times[self.network.get_submodule(name)] == 1
        }
