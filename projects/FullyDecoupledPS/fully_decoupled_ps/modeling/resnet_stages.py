"""ResNet's stages conv3, conv4 and conv5, built as Detectron2 builds them, one at a time."""

from detectron2.modeling.backbone.resnet import BasicBlock, BottleneckBlock, ResNet
from torch import nn

from ..errors import UserError

BLOCKS_PER_STAGE = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}


def stage_channels(depth: int, stage: int, res2_channels: int = 0) -> int:
    """Output channels of ``res<stage>``, stage in 2 to 5.

    Args:
        res2_channels: output channels of ``res2``; 0: the standard 64, or 256 from depth 50 on.

    Raises:
        UserError: if there is no ResNet of that depth.
    """
    if depth not in BLOCKS_PER_STAGE:
        known = ", ".join(map(str, BLOCKS_PER_STAGE))
        raise UserError(f"there is no ResNet of depth {depth}; depths are {known}")
    return (res2_channels or (64 if depth < 50 else 256)) * 2 ** (stage - 2)


def build_stage(
    depth: int,
    stage: int,
    *,
    norm: str,
    stride: int,
    stride_in_1x1: bool = False,
    res2_channels: int = 0,
    in_channels: int = 0,
    num_groups: int = 1,
    width_per_group: int = 64,
) -> nn.Sequential:
    """One stage of a ResNet.

    Args:
        depth: of the whole ResNet; basic blocks under 50, bottleneck blocks from 50 on.
        stage: 2 to 5, for conv2 to conv5.
        norm: Detectron2's name of a norm.
        stride: of the stage's first block.
        stride_in_1x1: whether a bottleneck's stride is in its first 1 x 1 convolution.
        res2_channels: see :func:`stage_channels`.
        in_channels: 0: the output channels of the stage before.
        num_groups, width_per_group: of the bottlenecks of a ResNeXt, the latter at conv2.

    Returns:
        nn.Sequential: with the parameter names of Detectron2's own ``res<stage>``.
    """
    out_channels = stage_channels(depth, stage, res2_channels)
    num_blocks = BLOCKS_PER_STAGE[depth][stage - 2]
    kwargs = {"norm": norm, "stride_per_block": [stride] + [1] * (num_blocks - 1)}
    if depth >= 50:
        bottleneck = out_channels // 4
        if num_groups > 1:
            bottleneck = num_groups * width_per_group * 2 ** (stage - 2)
            kwargs["num_groups"] = num_groups
        kwargs.update(bottleneck_channels=bottleneck, stride_in_1x1=stride_in_1x1)
    blocks = ResNet.make_stage(
        BottleneckBlock if depth >= 50 else BasicBlock,
        num_blocks,
        in_channels=in_channels or stage_channels(depth, stage - 1, res2_channels),
        out_channels=out_channels,
        **kwargs,
    )
    return nn.Sequential(*blocks)
