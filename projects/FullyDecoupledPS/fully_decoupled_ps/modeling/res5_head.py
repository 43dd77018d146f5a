"""The C4 detector's RoI head: conv5 of any network, and tall RoIs for upright persons."""

from detectron2.modeling import ROI_HEADS_REGISTRY
from detectron2.modeling.poolers import ROIPooler
from detectron2.modeling.roi_heads import Res5ROIHeads

from .ignore_regions import ROIHeadsWithRegions
from .resnet_stages import build_stage, stage_channels
from .staged.backbone import KEY, is_staged
from .staged.network import build_conv5


@ROI_HEADS_REGISTRY.register()
class PersonRes5ROIHeads(ROIHeadsWithRegions, Res5ROIHeads):
    """:class:`Res5ROIHeads` whose conv5 fits any ResNet or staged network, and whose RoIs are tall.

    Detectron2's own builds bottleneck blocks only (no ResNet-18 and -34) and, from a yaml, pools
    squares only. ``MODEL.DETECTOR.POOLER_RESOLUTION`` is (height, width), 16 x 8 in the paper.

    A staged network's conv5 is its last stage as it is, of stride 2 as a ResNet's here, and then
    its final norm (our choice).
    """

    @classmethod
    def from_config(cls, cfg, input_shape):
        ret = super().from_config(cfg, input_shape)
        ret["pooler"] = ROIPooler(
            output_size=cfg.MODEL.DETECTOR.POOLER_RESOLUTION,
            scales=(1.0 / input_shape[ret["in_features"][0]].stride,),
            sampling_ratio=cfg.MODEL.ROI_BOX_HEAD.POOLER_SAMPLING_RATIO,
            pooler_type=cfg.MODEL.ROI_BOX_HEAD.POOLER_TYPE,
        )
        return ret

    @classmethod
    def _build_res5_block(cls, cfg):
        if is_staged(cfg):
            conv5 = build_conv5(cfg, KEY, cfg.MODEL.STAGED.NAME, stride=2)
            return conv5, conv5.out_channels
        depth = cfg.MODEL.RESNETS.DEPTH
        if depth >= 50:
            return super()._build_res5_block(cfg)
        width = cfg.MODEL.RESNETS.RES2_OUT_CHANNELS
        res5 = build_stage(depth, 5, norm=cfg.MODEL.RESNETS.NORM, stride=2, res2_channels=width)
        return res5, stage_channels(depth, 5, width)
