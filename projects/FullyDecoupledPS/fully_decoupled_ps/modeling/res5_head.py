"""The C4 detector's RoI head: conv5 of any network, and tall RoIs for upright persons."""

import torch
from detectron2.config import configurable
from detectron2.modeling import ROI_HEADS_REGISTRY
from detectron2.modeling.poolers import ROIPooler
from detectron2.modeling.roi_heads import Res5ROIHeads
from detectron2.structures import Instances

from .ignore_regions import ROIHeadsWithRegions
from .precision import for_pooling
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

    Attributes:
        proposals_at_a_time: at inference conv5 runs on so many proposals of an image, the best
            first, and on the next ones as long as the last ones changed what is found. What comes
            out is what Detectron2's gives with the proposals that were looked at: few in a frame of
            few persons, all in a crowd. 0: all at once.
    """

    @configurable
    def __init__(self, *, proposals_at_a_time: int = 0, **kwargs):
        super().__init__(**kwargs)
        self.proposals_at_a_time = proposals_at_a_time

    @classmethod
    def from_config(cls, cfg, input_shape):
        ret = super().from_config(cfg, input_shape)
        ret["proposals_at_a_time"] = cfg.MODEL.DETECTOR.PROPOSALS_AT_A_TIME
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

    def forward(self, images, features, proposals, targets=None):
        """See :meth:`ROIHeads.forward`."""
        if self.training or not self.proposals_at_a_time:
            return super().forward(images, features, proposals, targets)
        maps = [for_pooling(features[name]) for name in self.in_features]  # once for all turns
        found = [self._find([x[i : i + 1] for x in maps], p) for i, p in enumerate(proposals)]
        return self.forward_with_given_boxes(features, found), {}

    def _find(self, maps: list[torch.Tensor], proposals: Instances) -> Instances:
        """Detections of one image, of some proposals after the other."""
        step, predictions = self.proposals_at_a_time, []
        for end in range(step, max(len(proposals), 1) + step, step):
            boxes = proposals.proposal_boxes[end - step : end]
            pooled = self._shared_roi_transform(maps, [boxes])
            predictions.append(self.box_predictor(pooled.mean(dim=[2, 3])))
            logits, deltas = (torch.cat(parts) for parts in zip(*predictions))
            (found,), (rows,) = self.box_predictor.inference((logits, deltas), [proposals[:end]])
            if not (rows >= end - step).any():  # of the last ones none is left after NMS
                break
        return found
