"""timm's ``features_only`` networks, stage by stage."""

from collections import OrderedDict
from contextlib import suppress

import torch
from torch import nn
from torchvision.ops.misc import Permute

from ...errors import UserError
from ...utils.unfilled import WithoutRandomWeights
from .network import (
    MAP_STRIDES,
    STAGED_NETWORK_REGISTRY,
    STAGES,
    STRIDES,
    Stage,
    StagedNetwork,
    rename_by_prefix,
)


def timm_network(cfg, variant: str) -> StagedNetwork:
    """``timm:NAME``: a network of the package timm (an extra of this one) that is run in sequence.

    What ``timm.create_model(NAME, features_only=True)`` gives at strides 4, 8, 16 and 32. Takes
    timm's own files, ``pytorch_model.bin`` or ``model.safetensors``, each of a licence of its own,
    which its page states.

    Raises:
        UserError: if timm is not installed, has no such network, or its maps can't be had one
            after the other.
    """
    try:
        import timm
    except ImportError as error:
        raise UserError(f"it needs the package timm ({error}): pip install timm") from None
    if not timm.is_model(variant):
        similar = variant and timm.list_models(f"*{variant}*")[:5] or ["convnext_tiny", "resnet18"]
        raise UserError(
            f"timm has no network of that name, but {', '.join(similar)} and others, which "
            "timm.list_models() lists"
        )
    drop_path = cfg.MODEL.STAGED.DROP_PATH
    options = {} if drop_path < 0 else {"drop_path_rate": drop_path}
    try:
        net, maps = _features(variant, options)
    except UserError:  # a ValueError, which the next line would take for a fault of the image
        raise
    except _FAILURES as error:
        try:  # Swin takes pictures of other sizes than its training's if it is told so
            net, maps = _features(variant, {**options, "strict_img_size": False})
        except _FAILURES:
            reason = " ".join(str(error).split())
            raise UserError(f"timm gives no maps of a picture of any size: {reason}") from error
    network = _take_apart(net, timm.create_model(variant, num_classes=0))
    _check_equal(network, dict(zip(net.feature_info.reduction(), maps, strict=True)))
    return network


_FAILURES = (RuntimeError, AssertionError, AttributeError, TypeError, ValueError)


@torch.no_grad()
def _features(variant: str, options: dict) -> tuple[nn.Module, list[torch.Tensor]]:
    """timm's own network of maps, and these of an image.

    Raises:
        UserError: if timm can't make it; what an image raises is any of ``_FAILURES``.
    """
    import timm  # optional, as setup.py says

    try:
        net = timm.create_model(variant, features_only=True, **options).eval()
    except _FAILURES as error:
        if "drop_path_rate" in str(error):
            raise UserError(
                "it has no stochastic depth; leave MODEL.STAGED.DROP_PATH out"
            ) from error
        raise UserError(f"timm can't make it: {' '.join(str(error).split())}") from error
    return net, net(_image())


def _image() -> torch.Tensor:
    return torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))


STAGED_NETWORK_REGISTRY._do_register("timm", timm_network)


def _take_apart(net: nn.Module, whole: nn.Module) -> StagedNetwork:
    """A feature network's layers in groups, each of which ends in one of the four maps."""
    info = net.feature_info
    place_of = {stride: place for place, stride in enumerate(info.reduction())}  # the last such
    strides = MAP_STRIDES
    if not set(strides) <= place_of.keys():
        raise UserError(
            f"its maps have strides {', '.join(map(str, info.reduction()))}, and 4, 8, 16 and 32 "
            "are needed"
        )
    places = [place_of[stride] for stride in strides]
    groups = _groups(net, whole, [info.module_name()[place] for place in places])
    is_nhwc = str(getattr(net, "output_fmt", "")).endswith("NHWC")
    channels = [info.channels()[place] for place in places]
    norm_name, norm = _final_norm(whole, channels[-1], is_nhwc)
    parts = [_split(group) for group in groups]
    stem, parts[0] = parts[0][0], ({}, parts[0][1])
    prefixes = {norm_name: "res5.norm", **_paths(stem, "stem.entry")}
    for name, (entry, blocks) in zip(STAGES, parts, strict=True):
        prefixes |= _paths(entry, f"{name}.entry") | dict.fromkeys(blocks, f"{name}.blocks")
    if is_nhwc:  # the stem takes a picture in the usual order
        stem["to_nchw"] = Permute([0, 3, 1, 2])
    return StagedNetwork(
        stem=Stage(entry=_sequence(stem), stride=STRIDES[0]),
        stages=[
            Stage(
                entry=_sequence(entry) if entry else None,
                blocks=next(iter(blocks.values()), None),
                norm=norm if name == "res5" else None,
                out_channels=width,
                stride=stride,
                is_nhwc=is_nhwc,
            )
            for name, (entry, blocks), width, stride in zip(
                STAGES, parts, channels, STRIDES[1:], strict=True
            )
        ],
        rename_published=rename_by_prefix(prefixes),
    )


def _groups(net: nn.Module, whole: nn.Module, ends: list[str]) -> list[dict[str, nn.Module]]:
    """The layers of a feature network by the names that they have in the whole one.

    Raises:
        UserError: if it is no sequence of layers, some of which end in a map.
    """
    # those that a FeatureListNet has taken out of a sequence are "stages_0" for "stages.0"
    paths = {path.replace(".", "_"): path for path, _ in whole.named_modules()}
    groups, group = [], {}
    for name, layer in net.named_children():
        is_nested = isinstance(layer, nn.Sequential) and not hasattr(net, "return_layers")
        layers = layer.named_children() if is_nested else [("", layer)]
        for child, x in layers:
            path = f"{name}.{child}" if child else paths.get(name, name)
            group[path] = x
            if len(groups) < len(ends) and path == ends[len(groups)]:
                groups.append(group)
                group = {}
    if len(groups) < len(ends):
        raise UserError("its layers are no sequence in which stages could be told apart")
    return groups


def _split(group: dict[str, nn.Module]) -> tuple[dict, dict]:
    """What comes before a stage's blocks, and these, each by path; no blocks, if none are known."""
    *before, last = group
    entry, layer = {path: group[path] for path in before}, group[last]
    if isinstance(layer, nn.Sequential):
        return entry, {last: layer}
    children = dict(layer.named_children())
    if children.keys() == {"downsample", "blocks"} and isinstance(layer.blocks, nn.Sequential):
        return entry | {f"{last}.downsample": layer.downsample}, {f"{last}.blocks": layer.blocks}
    return entry | {last: layer}, {}


def _sequence(layers: dict[str, nn.Module]) -> nn.Sequential:
    return nn.Sequential(OrderedDict((p.replace(".", "_"), x) for p, x in layers.items()))


def _paths(layers: dict[str, nn.Module], prefix: str) -> dict[str, str]:
    """The paths of layers in a file -> in a :func:`_sequence` of that prefix."""
    return {path: f"{prefix}.{path.replace('.', '_')}" for path in layers}


def _final_norm(whole: nn.Module, channels: int, is_nhwc: bool) -> tuple[str, nn.Module | None]:
    """A network's norm before its classifier, if it can be applied to a map, and its name."""
    shape = (1, 2, 3, channels) if is_nhwc else (1, channels, 2, 3)
    modules = dict(whole.named_modules())
    for name in ("head.norm", "norm"):
        weight = getattr(modules.get(name), "weight", None)
        if weight is None or weight.shape != (channels,):
            continue
        with suppress(RuntimeError):  # one that is for a vector
            modules[name].eval()(torch.zeros(shape))
            return name, modules[name].train()
    return "", None


@torch.no_grad()
def _check_equal(network: StagedNetwork, maps: dict[int, torch.Tensor]) -> None:
    """That the stages, one after the other, give what timm's own network gives, by stride.

    Of weights that are not drawn, only the shapes are compared: that was a training's to check.
    """
    x = network.stem.eval()(_image())
    for stage, stride in zip(network.stages, MAP_STRIDES, strict=True):
        norm, stage.norm = stage.norm, None
        try:
            x = stage.eval()(x)
        except _FAILURES as error:
            raise UserError(f"its stages do not run one after the other: {error}") from error
        finally:
            stage.norm = norm
        theirs = maps[stride].permute(0, 3, 1, 2) if stage.is_nhwc else maps[stride]
        has_values = not WithoutRandomWeights.is_on()
        if x.shape != theirs.shape or has_values and not torch.allclose(x, theirs, atol=1e-5):
            raise UserError("its stages, one after the other, are not the whole network")
