"""The combination with COAT (Table VIII): its cascade as f_d, and its transformers in f_r."""

import math

import torch
from detectron2.config import configurable
from detectron2.modeling import META_ARCH_REGISTRY
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import get_event_storage
from torch import nn

from ..errors import UserError
from .coat_cascade import CoatROIHeads
from .meta_arch import FullyDecoupledPersonSearch, TrainedHead, log_alphas
from .occluded_attention import OccludedAttention
from .reid_side_net import SideNet, build_reid_side_net


class CoatReIDBranch(nn.Module):
    """f_r's side-net, and one re-id head for each stage of COAT that has one.

    In conv5's place a head has a transformer. Each head has its own norm neck, memory, losses and
    box noise. At inference it pools what the detector's stage of the same number pooled, and a
    person's feature is both heads' embeddings one after the other.
    """

    @configurable
    def __init__(self, *, side_net: SideNet, stages: list[TrainedHead]):
        """
        Args:
            side_net: its ``res5`` is taken out of it.
            stages: S heads, from the side-net's map to (N, D) embeddings.
        """
        super().__init__()
        self.side_net = side_net
        self.stages = nn.ModuleList(stages)
        del side_net.res5

    @classmethod
    def from_config(cls, cfg, detector_shapes):
        side_net = build_reid_side_net(cfg, detector_shapes)
        conv5 = (m for m in side_net.res5.modules() if isinstance(m, nn.Conv2d))
        channels = next(conv5).in_channels

        def build_stage() -> TrainedHead:
            attention = OccludedAttention(cfg, channels)
            return TrainedHead(cfg, attention, attention.out_channels)

        # the first stage tells persons from background only, and has no re-id head
        number = len(cfg.MODEL.ROI_BOX_CASCADE_HEAD.IOUS) - 1
        return {"side_net": side_net, "stages": [build_stage() for _ in range(number)]}

    @property
    def feature_dim(self) -> int:
        """S * D, the length of a person's feature."""
        return sum(stage.feature_dim for stage in self.stages)

    def make_map(self, maps: dict[str, torch.Tensor]) -> torch.Tensor:
        """As of :class:`ReIDBranch`."""
        return self.side_net(maps)

    def embed(self, reid_map, detections, queries: list[Boxes]) -> tuple[torch.Tensor, ...]:
        """
        Args:
            reid_map: what :meth:`make_map` makes, of B images.
            detections: B :class:`Instances` with ``stage_boxes``.
            queries: B lists of boxes, which every head pools.

        Returns:
            tuple: for each image (R + Q, S * D), L2-normalised, those of the queries last.
        """
        numbers = [len(d) + len(q) for d, q in zip(detections, queries, strict=True)]
        parts = []
        for index, stage in enumerate(self.stages):
            found = [Boxes(d.stage_boxes[:, index]) for d in detections]
            parts.append(stage(reid_map, [Boxes.cat(pair) for pair in zip(found, queries)]))
        return (torch.cat(parts, dim=1) / math.sqrt(len(parts))).split(numbers)

    def training_losses(self, detector_maps, gt_instances) -> dict[str, torch.Tensor]:
        """As of :class:`TrainedHead`, for each head; names end in the stage, counted from 0."""
        reid_map = self.side_net(detector_maps)
        losses = {}
        for index, stage in enumerate(self.stages, start=1):
            with get_event_storage().name_scope(f"stage{index}"):
                found = stage.training_losses(reid_map, gt_instances)
            losses.update({f"{name}_stage{index}": loss for name, loss in found.items()})
        log_alphas(self.side_net)
        return losses


@META_ARCH_REGISTRY.register()
class CoatPersonSearch(FullyDecoupledPersonSearch):
    """:class:`FullyDecoupledPersonSearch` with COAT's cascade and its heads on f_r's map.

    ``MODEL.ROI_HEADS.NAME`` is ``CoatROIHeads``. Stages are those of the base class.
    """

    reid_branch = CoatReIDBranch
    can_distill = False  # two heads, with boxes and a memory each

    @classmethod
    def from_config(cls, cfg):
        parts = super().from_config(cfg)
        if not isinstance(getattr(parts["detector"], "roi_heads", None), CoatROIHeads):
            raise UserError(
                f"MODEL.ROI_HEADS.NAME is {cfg.MODEL.ROI_HEADS.NAME!r} in "
                f"{cfg.MODEL.DETECTOR.NAME}; CoatPersonSearch needs CoatROIHeads in GeneralizedRCNN"
            )
        return parts

    def _nobody(self, x: dict) -> Instances:
        nobody = super()._nobody(x)
        heads = 0 if self.reid is None else len(self.reid.stages)
        nobody.stage_boxes = torch.zeros(0, heads, 4, device=self.device)
        return nobody

    def inference(self, batched_inputs: list[dict]) -> list[dict]:
        outputs = super().inference(batched_inputs)
        for output in outputs:
            output["instances"].remove("stage_boxes")  # not in the original image's coordinates
        return outputs
