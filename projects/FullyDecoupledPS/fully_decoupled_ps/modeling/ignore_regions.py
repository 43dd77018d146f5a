"""Crowds and other regions that count neither for nor against a detection while f_d is trained.

What a detector takes for background because no person is annotated there may be a person of a
crowd. So a box of which at least half (of what is inside the image) lies in a region is no negative
example; if it matches an annotated person, it is the positive one that it was. COCO's evaluation
has the same rule.

The regions travel with an image's :class:`Instances`. Each part of a detector that labels boxes
has a subclass here that knows of them, and nothing else is changed: without regions it is
Detectron2's own, to the bit. A detector of another kind becomes such a part with the fitting mixin.
"""

import sys

import torch
from detectron2.modeling import META_ARCH_REGISTRY, PROPOSAL_GENERATOR_REGISTRY, ROI_HEADS_REGISTRY
from detectron2.modeling.meta_arch import RetinaNet
from detectron2.modeling.proposal_generator import RPN
from detectron2.modeling.roi_heads import StandardROIHeads
from detectron2.structures import Boxes, Instances, pairwise_iou
from detectron2.structures.boxes import pairwise_ioa
from torch import nn

from ..errors import UserError

# Share of a box that lies in a region, from which on the box is not judged.
SHARE_IN_REGION = 0.5
# Methods of Detectron2's parts that tell positive boxes from negative ones.
LABELLING = ("label_and_sample_anchors", "label_and_sample_proposals", "label_anchors")


class InstancesWithRegions(Instances):
    """Detectron2's, and beside them (R, 4) regions of the image that are to be ignored."""

    def __init__(self, image_size, ignore_regions: torch.Tensor, **fields):
        super().__init__(image_size, **fields)
        self._ignore_regions = ignore_regions

    def to(self, *args, **kwargs) -> "InstancesWithRegions":
        fields = super().to(*args, **kwargs).get_fields()
        regions = self._ignore_regions.to(*args, **kwargs)
        return InstancesWithRegions(self.image_size, regions, **fields)


def attach_regions(batched_inputs: list[dict]) -> list[dict]:
    """Inputs whose ``ignore_regions``, if there are any, travel with their ``instances``."""
    return [
        {
            **x,
            "instances": InstancesWithRegions(
                x["instances"].image_size, x["ignore_regions"], **x["instances"].get_fields()
            ),
        }
        if len(x.get("ignore_regions", ()))
        else x
        for x in batched_inputs
    ]


def lies_in_regions(boxes: torch.Tensor, image: Instances) -> torch.Tensor | None:
    """(N, 4) boxes -> (N,) bool, whether they are not judged; None in an image without regions."""
    regions = getattr(image, "_ignore_regions", None)
    if regions is None:
        return None
    inside = Boxes(boxes.clone())
    inside.clip(image.image_size)  # anchors reach out of it, detections don't
    # intersection over the area of the second
    return (pairwise_ioa(Boxes(regions), inside) >= SHARE_IN_REGION).any(dim=0)


class KnowsIgnoreRegions:
    """Marks a part of a detector that takes no negative example from a region."""


class RPNWithRegions(KnowsIgnoreRegions):
    """Mixin for :class:`RPN`: of the anchors in a region only positive ones are sampled."""

    _in_regions = iter(())

    def label_and_sample_anchors(self, anchors, gt_instances):
        boxes = Boxes.cat(anchors).tensor
        # the base class labels one image after the other, and then samples from its labels
        self._in_regions = iter([lies_in_regions(boxes, x) for x in gt_instances])
        return super().label_and_sample_anchors(anchors, gt_instances)

    def _subsample_labels(self, label):
        in_regions = next(self._in_regions, None)
        if in_regions is not None:
            label[(label == 0) & in_regions] = -1
        return super()._subsample_labels(label)


class ROIHeadsWithRegions(KnowsIgnoreRegions):
    """Mixin for any :class:`ROIHeads`, a cascade included: proposals in a region that would be
    negative are left out before any are drawn."""

    def label_and_sample_proposals(self, proposals, targets):
        proposals = _without_negatives(proposals, targets, self.proposal_matcher)
        return super().label_and_sample_proposals(proposals, targets)

    def _match_and_label_boxes(self, proposals, stage, targets):
        proposals = _without_negatives(proposals, targets, self.proposal_matchers[stage])
        return super()._match_and_label_boxes(proposals, stage, targets)


def _without_negatives(proposals, targets, matcher) -> list[Instances]:
    kept = []
    for found, image in zip(proposals, targets, strict=True):
        in_regions = lies_in_regions(found.proposal_boxes.tensor, image)
        if in_regions is not None:
            _, labels = matcher(pairwise_iou(image.gt_boxes, found.proposal_boxes))
            found = found[~(in_regions & (labels == 0))]
        kept.append(found)
    return kept


def ignore_negatives(labels, anchors: list[Boxes], gt_instances, background: int):
    """A dense detector's labels, one (R,) tensor per image, with -1 for background in a region."""
    boxes = Boxes.cat(anchors).tensor
    for label, image in zip(labels, gt_instances, strict=True):
        in_regions = lies_in_regions(boxes, image)
        if in_regions is not None:
            label[in_regions & (label == background)] = -1
    return labels


class DenseDetectorWithRegions(KnowsIgnoreRegions):
    """Mixin for a detector whose ``label_anchors`` gives ``num_classes`` to negative anchors, and
    whose losses leave out those of label -1, as :class:`RetinaNet`'s do."""

    def label_anchors(self, anchors, gt_instances):
        labels, boxes = super().label_anchors(anchors, gt_instances)
        return ignore_negatives(labels, anchors, gt_instances, self.num_classes), boxes


def detections_kept(cfg) -> int:
    """How many detections of an image a dense detector keeps at most, as its argument.

    A negative ``TEST.DETECTIONS_PER_IMAGE`` is all of them, as with Detectron2's ROI heads.
    Detectron2's dense detectors would take it for an index, and drop the last ones.
    """
    number = cfg.TEST.DETECTIONS_PER_IMAGE
    return sys.maxsize if number < 0 else number


@PROPOSAL_GENERATOR_REGISTRY.register()
class PersonRPN(RPNWithRegions, RPN):
    """Detectron2's RPN, which knows of regions to ignore.

    At inference on a single map, NMS looks at no more boxes than it needs. The proposals are
    Detectron2's, to the bit; which of several equal scores comes first is open in both.
    """

    def predict_proposals(self, anchors, pred_objectness_logits, pred_anchor_deltas, image_sizes):
        """See :meth:`RPN.predict_proposals`."""
        outputs = (anchors, pred_objectness_logits, pred_anchor_deltas)
        takes_all = self.training or len(anchors) > 1 or torch.jit.is_tracing()
        if takes_all or self.post_nms_topk[False] < 1:  # a negative one counts from the end
            return super().predict_proposals(*outputs, image_sizes)
        (anchors,), (logits,), (deltas,) = outputs
        return [
            self._best_proposals(anchors, *image, size)
            for *image, size in zip(logits, deltas, image_sizes, strict=True)
        ]

    def _best_proposals(self, anchors: Boxes, logits, deltas, image_size) -> Instances:
        """Of one image's R anchors; ``logits`` is (R,) and ``deltas`` (R, 4)."""
        # NMS drops a box for a better one only: what it keeps of the best boxes are the first that
        # it keeps of all, and with POST_NMS_TOPK_TEST of them there is no place for another
        most, wanted = self.pre_nms_topk[False], self.post_nms_topk[False]
        order = logits.sort(descending=True).indices[:most]
        number = 2 * wanted
        while True:
            best = order[:number]
            (found,) = super().predict_proposals(
                [anchors[best]], [logits[None, best]], [deltas[None, best]], [image_size]
            )
            if len(found) == wanted or number >= len(order):
                return found
            number *= 2


@ROI_HEADS_REGISTRY.register()
class PersonStandardROIHeads(ROIHeadsWithRegions, StandardROIHeads):
    """Detectron2's heads on a feature pyramid, which know of regions to ignore."""


@META_ARCH_REGISTRY.register()
class PersonRetinaNet(DenseDetectorWithRegions, RetinaNet):
    """Detectron2's RetinaNet, which knows of regions to ignore."""

    @classmethod
    def from_config(cls, cfg):
        return {**super().from_config(cfg), "max_detections_per_image": detections_kept(cfg)}


def check_regions_are_known(detector: nn.Module) -> None:
    """
    Raises:
        UserError: a part of the detector would learn what lies in a region as background.
    """
    parts = [m for m in detector.modules() if any(hasattr(m, name) for name in LABELLING)]
    unaware = [type(m).__name__ for m in parts if not isinstance(m, KnowsIgnoreRegions)]
    if parts and not unaware:
        return
    names = ", ".join(unaware or [type(detector).__name__])
    raise UserError(
        f"the training data has crowds or regions to ignore, which {names} would learn as "
        "background; say MODEL.PROPOSAL_GENERATOR.NAME PersonRPN, MODEL.ROI_HEADS.NAME "
        "PersonRes5ROIHeads, PersonStandardROIHeads or CoatROIHeads, MODEL.DETECTOR.NAME "
        "PersonRetinaNet or FCOS, or take them out of the data"
    )
