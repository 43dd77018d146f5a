"""ResNet-18 and -34 of another width, for machines without a GPU."""

from detectron2.modeling import BACKBONE_REGISTRY
from detectron2.modeling.backbone.resnet import BasicStem, ResNet

from .resnet_stages import build_stage


@BACKBONE_REGISTRY.register()
def build_narrow_resnet_backbone(cfg, input_shape) -> ResNet:
    """A Detectron2 ResNet whose ``res2`` has ``MODEL.RESNETS.RES2_OUT_CHANNELS`` channels.

    Detectron2's own builder insists on 64 for ResNet-18 and -34. Half of that is about a quarter of
    the work. Not in the paper.
    """
    resnet = cfg.MODEL.RESNETS
    stem = BasicStem(
        in_channels=input_shape.channels, out_channels=resnet.STEM_OUT_CHANNELS, norm=resnet.NORM
    )
    stages = [
        build_stage(
            resnet.DEPTH,
            stage,
            norm=resnet.NORM,
            stride=1 if stage == 2 else 2,
            stride_in_1x1=resnet.STRIDE_IN_1X1,
            res2_channels=resnet.RES2_OUT_CHANNELS,
            in_channels=resnet.STEM_OUT_CHANNELS if stage == 2 else 0,
        )
        for stage in (2, 3, 4, 5)
    ]
    return ResNet(
        stem,
        [list(stage) for stage in stages],
        out_features=resnet.OUT_FEATURES,
        freeze_at=cfg.MODEL.BACKBONE.FREEZE_AT,
    )
