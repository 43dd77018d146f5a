"""torchvision's ConvNeXt and Swin, stage by stage."""

import torchvision
from torch import nn
from torchvision.ops.misc import Permute

from ...errors import UserError
from .network import STAGED_NETWORK_REGISTRY, STRIDES, Stage, StagedNetwork, rename_by_prefix

FAMILIES = ("convnext_", "swin_")


def torchvision_network(cfg, variant: str) -> StagedNetwork:
    """``torchvision:NAME``: a ConvNeXt, a Swin or a Swin V2.

    Takes torchvision's own files (BSD-3-Clause; trained on ImageNet, whose terms hold besides); a
    ConvNeXt takes those of its authors too, which have more of them (MIT licence; trained on
    ImageNet-1k or 22k).

    Raises:
        UserError: if torchvision has no such network, or it is of another family.
    """
    known = torchvision.models.list_models(module=torchvision.models)
    known = [name for name in known if name.startswith(FAMILIES)]
    if variant not in known:
        raise UserError(f"of torchvision there are {', '.join(known)}")
    drop_path = cfg.MODEL.STAGED.DROP_PATH
    options = {} if drop_path < 0 else {"stochastic_depth_prob": drop_path}
    body = torchvision.models.get_model(variant, weights=None, **options)
    take_apart = take_convnext_apart if variant.startswith("convnext_") else take_swin_apart
    return take_apart(body)


STAGED_NETWORK_REGISTRY._do_register("torchvision", torchvision_network)


def take_convnext_apart(body: nn.Module) -> StagedNetwork:
    """The stages of a ``torchvision.models.ConvNeXt`` of any size."""
    stem, *rest = body.features
    entries, blocks = [None, *rest[1::2]], rest[::2]
    channels = [stage[-1].block[0].out_channels for stage in blocks]
    norms = [None] * 3 + [body.classifier[0]]
    return StagedNetwork(
        stem=Stage(entry=stem, stride=STRIDES[0]),
        stages=[
            Stage(entry=e, blocks=b, out_channels=c, stride=s, norm=norm)
            for e, b, c, s, norm in zip(entries, blocks, channels, STRIDES[1:], norms, strict=True)
        ],
        rename_published=_rename_convnext,
    )


def take_swin_apart(body: nn.Module) -> StagedNetwork:
    """The stages of a ``torchvision.models.SwinTransformer`` of any size."""
    stem, *rest = body.features
    entries, blocks = [None, *rest[1::2]], rest[::2]
    channels = [stage[-1].norm1.normalized_shape[0] for stage in blocks]
    norms = [None] * 3 + [body.norm]
    # the stem gives (N, H, W, C), of a picture in the usual order
    stem = nn.Sequential(*stem, Permute([0, 3, 1, 2]))
    return StagedNetwork(
        stem=Stage(entry=stem, stride=STRIDES[0]),
        stages=[
            Stage(entry=e, blocks=b, out_channels=c, stride=s, norm=norm, is_nhwc=True)
            for e, b, c, s, norm in zip(entries, blocks, channels, STRIDES[1:], norms, strict=True)
        ],
        rename_published=rename_by_prefix(_SWIN),
    )


# torchvision's path of a module -> here. The blocks of a stage follow its entry.
_SWIN = {"features.0": "stem.entry", "norm": "res5.norm"}
_SWIN |= {f"features.{2 * i - 3}": f"res{i}.blocks" for i in (2, 3, 4, 5)}
_SWIN |= {f"features.{2 * i - 4}": f"res{i}.entry" for i in (3, 4, 5)}
# And the paths that ConvNeXt's authors have.
_CONVNEXT = {**_SWIN, "classifier.0": "res5.norm", "downsample_layers.0": "stem.entry"}
_CONVNEXT |= {f"downsample_layers.{i - 2}": f"res{i}.entry" for i in (3, 4, 5)}
_CONVNEXT |= {f"stages.{i - 2}": f"res{i}.blocks" for i in (2, 3, 4, 5)}
# Those of the layers of a block.
_OF_BLOCKS = (
    (".dwconv.", ".block.0."),
    (".norm.", ".block.2."),
    (".pwconv1.", ".block.3."),
    (".pwconv2.", ".block.5."),
    (".gamma", ".layer_scale"),
)


def _rename_convnext(state: dict) -> dict:
    renamed = {}
    for name, value in rename_by_prefix(_CONVNEXT)(state).items():
        if ".blocks." in name:
            for old, new in _OF_BLOCKS:
                name = name.replace(old, new)
        if name.endswith(".layer_scale"):  # its authors' has one dimension
            value = value.reshape(-1, 1, 1)
        renamed[name] = value
    return renamed
