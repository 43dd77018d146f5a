"""torchvision's ConvNeXt and Swin, stage by stage."""

import torch
import torch.nn.functional as F
import torchvision
from torch import nn
from torchvision.models.swin_transformer import PatchMerging
from torchvision.ops.misc import Permute

from ...errors import UserError
from .network import STAGED_NETWORK_REGISTRY, STRIDES, Stage, StagedNetwork, rename_by

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
        rename_published=rename_by(*_FEATURES),
        make_stride_one=_make_merging_stride_one,
    )


# torchvision's names of stem, blocks and entries.
_FEATURES = (
    (r"^features\.0\.", "stem.entry."),
    (r"^features\.([1357])\.", lambda m: f"res{int(m[1]) // 2 + 2}.blocks."),
    (r"^features\.([246])\.", lambda m: f"res{int(m[1]) // 2 + 2}.entry."),
    (r"^norm\.", "res5.norm."),
)
# Those of ConvNeXt's authors, in their order.
_rename_names = rename_by(
    *_FEATURES,
    (r"^classifier\.0\.", "res5.norm."),
    (r"^downsample_layers\.0\.", "stem.entry."),
    (r"^downsample_layers\.(\d)\.", lambda m: f"res{int(m[1]) + 2}.entry."),
    (r"^stages\.(\d)\.", lambda m: f"res{int(m[1]) + 2}.blocks."),
    (r"\.dwconv\.", ".block.0."),
    (r"^(res\d\.blocks\.\d+)\.norm\.", r"\1.block.2."),
    (r"\.pwconv1\.", ".block.3."),
    (r"\.pwconv2\.", ".block.5."),
    (r"\.gamma$", ".layer_scale"),
)


def _rename_convnext(state: dict) -> dict:
    renamed = _rename_names(state)
    for name, value in renamed.items():
        if name.endswith(".layer_scale"):  # its authors' has one dimension
            renamed[name] = value.reshape(-1, 1, 1)
    return renamed


class StrideOneMerging(nn.Module):
    """Swin's patch merging at stride 1: 2 x 2 places two apart, around each place.

    What dilation by 2 is to a convolution of 2 x 2. Parameters are those of the merging it is made
    of.
    """

    def __init__(self, merging: nn.Module):
        super().__init__()
        self.reduction = merging.reduction
        self.norm = merging.norm
        self.normalises_first = isinstance(merging, PatchMerging)  # V2 does it last

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, H, W, C) -> (N, H, W, 2 C)."""
        x = F.pad(x, (0, 0, 1, 1, 1, 1))
        above, below = x[:, :-2], x[:, 2:]
        x = torch.cat(
            [above[:, :, :-2], below[:, :, :-2], above[:, :, 2:], below[:, :, 2:]], dim=-1
        )
        return self.reduction(self.norm(x)) if self.normalises_first else self.norm(
            self.reduction(x)
        )


def _make_merging_stride_one(stage: Stage) -> None:
    stage.entry = StrideOneMerging(stage.entry)
