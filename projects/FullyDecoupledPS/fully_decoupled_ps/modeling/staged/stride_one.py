"""A stage of stride 2 as one of stride 1, for small RoIs."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.modules.utils import _pair


def make_stride_one(stage: nn.Module) -> None:
    """Give a stage's strided layers stride 1; in place, their weights stay.

    A convolution of even size, as a patch of 2 x 2, is dilated by 2 and padded, so that it sees
    both sides of a place and keeps the map's size; Swin's patch merging likewise. Max pooling of
    even size gets the next odd one. Average pooling before a shortcut's convolution is left out, as
    it is where a network has no stride.
    """
    for parent in list(stage.modules()):
        for name, layer in list(parent.named_children()):
            if _is_patch_merging(layer):
                setattr(parent, name, StrideOneMerging(layer))
            elif isinstance(layer, nn.AvgPool2d) and layer.stride in (2, (2, 2)):
                setattr(parent, name, nn.Identity())
            elif isinstance(layer, nn.MaxPool2d) and layer.stride in (2, (2, 2)):
                size, _ = _pair(layer.kernel_size)
                setattr(parent, name, nn.MaxPool2d(size | 1, 1, size // 2))
            elif isinstance(layer, nn.Conv2d) and layer.stride == (2, 2):
                layer.stride = (1, 1)
                if layer.kernel_size[0] % 2 == 0:
                    layer.dilation = (2, 2)
                    layer.padding = tuple(size - 1 for size in layer.kernel_size)


def _is_patch_merging(layer: nn.Module) -> bool:
    """Whether it is a Swin's, of torchvision or of timm."""
    children = dict(layer.named_children())
    return children.keys() == {"reduction", "norm"} and isinstance(layer.reduction, nn.Linear)


class StrideOneMerging(nn.Module):
    """Swin's patch merging at stride 1: of each place, the 2 x 2 places around it, two apart.

    What dilation by 2 is to a convolution of 2 x 2. Parameters are those of the merging it is made
    of.
    """

    def __init__(self, merging: nn.Module):
        super().__init__()
        self.reduction = merging.reduction
        self.norm = merging.norm
        # V2 normalises what it has reduced
        self.normalises_first = merging.norm.normalized_shape[0] == merging.reduction.in_features

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, H, W, C) -> (N, H, W, 2 C)."""
        x = F.pad(x, (0, 0, 1, 1, 1, 1))
        above, below = x[:, :-2], x[:, 2:]
        patches = [above[:, :, :-2], below[:, :, :-2], above[:, :, 2:], below[:, :, 2:]]
        x = torch.cat(patches, dim=-1)
        if self.normalises_first:
            return self.reduction(self.norm(x))
        return self.norm(self.reduction(x))
