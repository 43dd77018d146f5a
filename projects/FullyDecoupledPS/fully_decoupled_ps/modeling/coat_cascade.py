"""COAT's three-stage cascade as a detector: conv5, then two occluded-attention transformers."""

from collections import OrderedDict

import torch
from detectron2.config import configurable
from detectron2.layers import ShapeSpec
from detectron2.modeling import ROI_HEADS_REGISTRY
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.modeling.matcher import Matcher
from detectron2.modeling.poolers import ROIPooler
from detectron2.modeling.roi_heads import CascadeROIHeads, FastRCNNOutputLayers
from detectron2.modeling.roi_heads.fast_rcnn import fast_rcnn_inference
from torch import nn

from ..errors import UserError
from .ignore_regions import ROIHeadsWithRegions
from .occluded_attention import OccludedAttention
from .reid_head import AveragePooling
from .resnet_stages import build_stage, stage_channels
from .staged.backbone import KEY, is_staged
from .staged.network import build_conv5


def _box_head(stage: int, cfg, in_channels: int) -> tuple[nn.Module, int]:
    """The layers between RoIAlign and a stage's predictions, and their output's channels."""
    if stage == 0 and is_staged(cfg):
        layer = build_conv5(cfg, KEY, cfg.MODEL.STAGED.NAME, stride=2)
        name, dim = "res5", layer.out_channels
    elif stage == 0:
        resnet = cfg.MODEL.RESNETS
        layer = build_stage(
            resnet.DEPTH,
            5,
            norm=resnet.NORM,
            stride=2,
            stride_in_1x1=resnet.STRIDE_IN_1X1,
            res2_channels=resnet.RES2_OUT_CHANNELS,
        )
        name, dim = "res5", stage_channels(resnet.DEPTH, 5, resnet.RES2_OUT_CHANNELS)
    else:
        layer = OccludedAttention(cfg, in_channels)
        name, dim = "attention", layer.out_channels
    # "res5" by name, so that ImageNet weights are found for it
    return nn.Sequential(OrderedDict([(name, layer), ("pooling", AveragePooling())])), dim


@ROI_HEADS_REGISTRY.register()
class CoatROIHeads(ROIHeadsWithRegions, CascadeROIHeads):
    """Cascade R-CNN on ``res4``, whose second and third stage see a box with a transformer.

    The first stage tells persons from background with conv5, as Faster R-CNN C4 does. IoU
    thresholds are ``MODEL.ROI_BOX_CASCADE_HEAD.IOUS``. At inference each stage's boxes go through
    an NMS of its own IoU (``nms_threshs``), by the scores averaged over the stages so far.

    Detections have one more field, ``stage_boxes`` (R, 2, 4): what the second and the third stage
    pooled to find them, in pixels of the network's input.
    """

    @configurable
    def __init__(self, *, nms_threshs: tuple[float, ...], **kwargs):
        super().__init__(**kwargs)
        self.nms_threshs = nms_threshs

    @classmethod
    def from_config(cls, cfg, input_shape):
        stages, threshs = len(cfg.MODEL.ROI_BOX_CASCADE_HEAD.IOUS), cfg.MODEL.COAT.NMS_THRESHS
        if len(threshs) != stages:
            raise UserError(
                f"MODEL.COAT.NMS_THRESHS has {len(threshs)} values for the {stages} stages of "
                "MODEL.ROI_BOX_CASCADE_HEAD.IOUS; give one per stage"
            )
        return {**super().from_config(cfg, input_shape), "nms_threshs": tuple(threshs)}

    @classmethod
    def _init_box_head(cls, cfg, input_shape):
        (name,) = cfg.MODEL.ROI_HEADS.IN_FEATURES
        shape = input_shape[name]
        pooler = ROIPooler(
            output_size=cfg.MODEL.DETECTOR.POOLER_RESOLUTION,
            scales=(1.0 / shape.stride,),
            sampling_ratio=cfg.MODEL.ROI_BOX_HEAD.POOLER_SAMPLING_RATIO,
            pooler_type=cfg.MODEL.ROI_BOX_HEAD.POOLER_TYPE,
        )
        cascade = cfg.MODEL.ROI_BOX_CASCADE_HEAD
        heads, predictors, matchers = [], [], []
        for stage, (iou, weights) in enumerate(zip(cascade.IOUS, cascade.BBOX_REG_WEIGHTS)):
            head, dim = _box_head(stage, cfg, shape.channels)
            transform = Box2BoxTransform(weights=weights)
            heads.append(head)
            predictors.append(
                FastRCNNOutputLayers(cfg, ShapeSpec(channels=dim), box2box_transform=transform)
            )
            matchers.append(Matcher([iou], [0, 1], allow_low_quality_matches=False))
        return {
            "box_in_features": [name],
            "box_pooler": pooler,
            "box_heads": heads,
            "box_predictors": predictors,
            "proposal_matchers": matchers,
        }

    def _forward_box(self, features, proposals, targets=None):
        if self.training:
            return super()._forward_box(features, proposals, targets)
        maps = [features[name] for name in self.box_in_features]
        image_sizes = [x.image_size for x in proposals]
        scores = [0.0] * len(proposals)  # summed over the stages, of the boxes that are left
        pooled = [x.proposal_boxes.tensor.new_zeros(len(x), 0, 4) for x in proposals]
        found = None
        for stage, nms_thresh in enumerate(self.nms_threshs):
            if found is not None:
                boxes = [x.pred_boxes.tensor for x in found]
                proposals = self._create_proposals_from_boxes(boxes, image_sizes)
                inputs = [x.proposal_boxes.tensor[:, None] for x in proposals]
                pooled = [torch.cat(pair, dim=1) for pair in zip(pooled, inputs)]
            found, kept, scores = self._infer_stage(maps, proposals, scores, stage, nms_thresh)
            pooled = [boxes[rows] for boxes, rows in zip(pooled, kept)]
        for instances, boxes in zip(found, pooled):
            instances.stage_boxes = boxes
        return found

    def _infer_stage(self, maps, proposals, scores, stage: int, nms_thresh: float):
        """One stage's detections, the rows of the proposals that they are of, and their scores."""
        predictor = self.box_predictor[stage]
        predictions = self._run_stage(maps, proposals, stage)
        probs = predictor.predict_probs(predictions, proposals)
        scores = [old + new for old, new in zip(scores, probs)]
        is_last = stage == self.num_cascade_stages - 1
        found, kept = fast_rcnn_inference(
            predictor.predict_boxes(predictions, proposals),
            [score / (stage + 1) for score in scores],
            [x.image_size for x in proposals],
            predictor.test_score_thresh if is_last else 0.0,
            nms_thresh,
            predictor.test_topk_per_image if is_last else -1,
        )
        return found, kept, [score[rows] for score, rows in zip(scores, kept)]
