"""Detectron2's FCOS, made buildable from a yacs config."""

import torch
from detectron2.config import configurable
from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY, META_ARCH_REGISTRY, build_backbone
from detectron2.modeling.backbone import FPN
from detectron2.modeling.backbone.fpn import LastLevelP6P7
from detectron2.modeling.meta_arch import fcos
from detectron2.structures import Boxes, Instances

from .ignore_regions import KnowsIgnoreRegions, detections_kept, ignore_negatives

# A logit whose probability is 0 in float32.
CERTAIN_BACKGROUND = -200.0


@META_ARCH_REGISTRY.register()
class FCOS(KnowsIgnoreRegions, fcos.FCOS):
    """Detectron2's FCOS (centre sampling, GIoU, a score of sqrt(class x centreness)).

    Detectron2 itself builds it from its lazy configs only; ``MODEL.FCOS`` has the same settings.
    """

    @configurable
    def __init__(self, **parts):
        super().__init__(**parts)

    @classmethod
    def from_config(cls, cfg):
        backbone = build_backbone(cfg)
        shapes = backbone.output_shape()
        settings = cfg.MODEL.FCOS
        head_shapes = [shapes[name] for name in settings.IN_FEATURES]
        return {
            "backbone": backbone,
            "head": fcos.FCOSHead(
                input_shape=head_shapes,
                num_classes=settings.NUM_CLASSES,
                conv_dims=[head_shapes[0].channels] * settings.NUM_CONVS,
                norm=settings.NORM,
                prior_prob=settings.PRIOR_PROB,
            ),
            "head_in_features": settings.IN_FEATURES,
            "num_classes": settings.NUM_CLASSES,
            "center_sampling_radius": settings.CENTER_SAMPLING_RADIUS,
            "focal_loss_alpha": settings.FOCAL_LOSS_ALPHA,
            "focal_loss_gamma": settings.FOCAL_LOSS_GAMMA,
            "test_score_thresh": settings.SCORE_THRESH_TEST,
            "test_topk_candidates": settings.TOPK_CANDIDATES_TEST,
            "test_nms_thresh": settings.NMS_THRESH_TEST,
            "max_detections_per_image": detections_kept(cfg),
            "pixel_mean": cfg.MODEL.PIXEL_MEAN,
            "pixel_std": cfg.MODEL.PIXEL_STD,
        }

    def label_anchors(self, anchors: list[Boxes], gt_instances: list[Instances]):
        """As the base class's, and also for images without persons.

        Detectron2 v0.6 takes a maximum over an image's boxes, and fails where there is none (its
        main branch does not). A box of no size matches no location, in both.

        A location in a region to ignore, and of no person, has label -1.
        """
        labels, boxes = super().label_anchors(
            anchors, [x if len(x) else _one_box_of_no_size(x) for x in gt_instances]
        )
        # a location's anchor is a square of one stride around it
        return ignore_negatives(labels, anchors, gt_instances, self.num_classes), boxes

    def losses(self, anchors, pred_logits, gt_labels, *args):
        """As the base class's, which knows no label -1: such locations have no part in it."""
        ignored = torch.stack(gt_labels) == -1  # (N, R)
        if ignored.any():
            levels = ignored.unsqueeze(2).split([x.shape[1] for x in pred_logits], dim=1)
            # the focal loss of a background that is certain is 0, and so is its gradient
            pred_logits = [
                x.masked_fill(mask, CERTAIN_BACKGROUND)
                for x, mask in zip(pred_logits, levels, strict=True)
            ]
            gt_labels = [x.masked_fill(x == -1, self.num_classes) for x in gt_labels]
        return super().losses(anchors, pred_logits, gt_labels, *args)


def _one_box_of_no_size(empty: Instances) -> Instances:
    boxes, classes = empty.gt_boxes.tensor, empty.gt_classes
    return Instances(
        empty.image_size, gt_boxes=Boxes(boxes.new_zeros(1, 4)), gt_classes=classes.new_zeros(1)
    )


@BACKBONE_REGISTRY.register()
def build_fcos_resnet_fpn_backbone(cfg, input_shape: ShapeSpec) -> FPN:
    """A ResNet with an FPN whose P6 and P7 come from P5 (RetinaNet's come from conv5)."""
    channels = cfg.MODEL.FPN.OUT_CHANNELS
    return FPN(
        bottom_up=BACKBONE_REGISTRY.get(cfg.MODEL.FCOS.BOTTOM_UP)(cfg, input_shape),
        in_features=cfg.MODEL.FPN.IN_FEATURES,
        out_channels=channels,
        norm=cfg.MODEL.FPN.NORM,
        top_block=LastLevelP6P7(channels, channels, in_feature="p5"),
        fuse_type=cfg.MODEL.FPN.FUSE_TYPE,
    )
