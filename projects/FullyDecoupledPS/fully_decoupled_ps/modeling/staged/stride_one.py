"""A stage of stride 2 as one of stride 1, for small RoIs."""

from torch import nn


def make_stride_one(stage: nn.Module) -> None:
    """Give a stage's strided layers stride 1; in place, their weights stay.

    A convolution of even size, as a patch of 2 x 2, is dilated by 2 and padded, so that it sees
    both sides of a place and keeps the map's size. Average pooling before a shortcut's convolution
    is left out, as it is where a network has no stride.
    """
    for parent in list(stage.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, nn.AvgPool2d) and layer.stride in (2, (2, 2)):
                setattr(parent, name, nn.Identity())
            elif isinstance(layer, nn.Conv2d) and layer.stride == (2, 2):
                layer.stride = (1, 1)
                if layer.kernel_size[0] % 2 == 0:
                    layer.dilation = (2, 2)
                    layer.padding = tuple(size - 1 for size in layer.kernel_size)
