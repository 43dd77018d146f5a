"""The fully decoupled person search network (section III of the paper)."""

import torch
from detectron2.config import configurable
from detectron2.modeling import META_ARCH_REGISTRY
from detectron2.modeling.postprocessing import detector_postprocess
from detectron2.structures import Boxes
from detectron2.utils.events import get_event_storage
from torch import nn

from .box_noise import BoxNoise
from .feature_tap import FeatureTap
from .identity_memory import IdentityMemory
from .losses import build_reid_losses
from .reid_head import ReIDHead
from .reid_side_net import SideNet, build_reid_side_net


def build_training_parts(cfg, feature_dim: int) -> dict:
    """Memory, losses and box noise: what training a re-id head of ``feature_dim`` needs."""
    reid = cfg.MODEL.REID
    return {
        "memory": IdentityMemory(
            num_ids=reid.NUM_IDS,
            queue_size=reid.OIM.QUEUE_SIZE,
            feature_dim=feature_dim,
            momentum=reid.OIM.MOMENTUM,
        ),
        "losses": build_reid_losses(cfg),
        "box_noise": BoxNoise(cfg),
    }


class ReIDBranch(nn.Module):
    """f_r with all that only it needs: side-net, head, memory, losses and box noise."""

    @configurable
    def __init__(
        self,
        *,
        side_net: SideNet,
        head: ReIDHead,
        memory: IdentityMemory,
        losses: nn.ModuleList,
        box_noise: BoxNoise,
    ):
        super().__init__()
        self.side_net = side_net
        self.head = head
        self.memory = memory
        self.losses = losses
        self.box_noise = box_noise

    @classmethod
    def from_config(cls, cfg, detector_shapes):
        side_net = build_reid_side_net(cfg, detector_shapes)
        return {
            "side_net": side_net,
            "head": ReIDHead(cfg, side_net.feature_dim),
            **build_training_parts(cfg, side_net.feature_dim),
        }

    def forward(self, detector_maps: dict[str, torch.Tensor], boxes: list[Boxes]) -> torch.Tensor:
        """
        Args:
            detector_maps: what :class:`FeatureTap` records, of B images.
            boxes: B lists of boxes, N in all, in pixels of the network's input.

        Returns:
            Tensor: (N, D) float32 L2-normalised embeddings.
        """
        return self.head(self.side_net(detector_maps), boxes, conv5=self.side_net.res5)

    def training_losses(self, detector_maps, gt_instances) -> dict[str, torch.Tensor]:
        """Losses on ground-truth boxes with spatial noise; then the memory is updated.

        Args:
            detector_maps: of B images.
            gt_instances: B :class:`Instances` with ``gt_boxes`` and ``gt_person_ids``.

        Returns:
            dict: scalar losses by name.
        """
        copies = self.box_noise.num_copies + 1
        boxes = [self.box_noise(x.gt_boxes, x.image_size) for x in gt_instances]
        person_ids = torch.cat([x.gt_person_ids.repeat(copies) for x in gt_instances])
        embeddings = self(detector_maps, boxes)
        losses = {}
        if len(person_ids):
            for loss in self.losses:
                losses.update(loss(embeddings, person_ids, self.memory))
        else:
            losses["loss_oim"] = connected_zero(self)
        self.memory.update(embeddings, person_ids)
        log_alphas(self.side_net)
        for name, share in self.memory.occupancy().items():
            get_event_storage().put_scalar(f"memory/{name}", share.item())
        return losses

    def embed(self, detector_maps, detections, queries: list[Boxes]) -> tuple[torch.Tensor, ...]:
        """
        Args:
            detector_maps: of B images.
            detections: B :class:`Instances`, whose ``pred_boxes`` are in pixels of the network's
                input.
            queries: B lists of boxes in the same pixels.

        Returns:
            tuple: for each image (R + Q, D) embeddings, those of the queries last.
        """
        boxes = [Boxes.cat([d.pred_boxes, q]) for d, q in zip(detections, queries, strict=True)]
        return self(detector_maps, boxes).split([len(b) for b in boxes])


def connected_zero(module: nn.Module) -> torch.Tensor:
    """A zero that reaches every trained parameter: other processes wait for their gradients."""
    return sum(p.sum() for p in module.parameters() if p.requires_grad) * 0.0


def log_alphas(side_net: nn.Module) -> None:
    """Log the weights of the side-fusions that have one."""
    for name, fusion in side_net.fusions.items():
        if hasattr(fusion, "alpha"):
            get_event_storage().put_scalar(f"alpha/{name}", fusion.alpha.item())


@META_ARCH_REGISTRY.register()
class FullyDecoupledPersonSearch(nn.Module):
    """A detector f_d of any kind, and beside it the re-id net f_r, which shares its input layer.

    Training depends on the stage:

    * ``detection``: the detector's own losses; there is no f_r yet (``reid`` is None).
    * ``reid``: the detector is frozen (parameters and batch statistics), of it only the backbone's
      bottom-up part runs, and f_r learns from ground-truth boxes. No detection is computed.
    * ``joint``, ``hybrid``: the losses of both, summed; those of f_r reach the detector through
      the side-fusions. The two differ in what they start from and in f_d's learning rate.

    At inference one pass over an image gives boxes, scores and a feature a box.
    """

    reid_branch = ReIDBranch

    @configurable
    def __init__(self, *, detector: nn.Module, reid: ReIDBranch | None, stage: str):
        """
        Args:
            detector: a Detectron2 meta-architecture with ``preprocess_image``.
            reid: the re-id branch, or None in stage ``detection``.
            stage: "detection", "reid", "joint" or "hybrid".
        """
        super().__init__()
        self.detector = detector
        self.reid = reid
        self.stage = stage
        self.feature_tap = FeatureTap(detector)
        if self.detector_is_frozen:
            self.detector.requires_grad_(False)

    @classmethod
    def from_config(cls, cfg):
        detector = META_ARCH_REGISTRY.get(cfg.MODEL.DETECTOR.NAME)(cfg)
        stage = cfg.SOLVER.STAGE
        shapes = FeatureTap(detector).shapes()
        return {
            "detector": detector,
            "reid": None if stage == "detection" else cls.reid_branch(cfg, shapes),
            "stage": stage,
        }

    @property
    def device(self) -> torch.device:
        return self.detector.device

    @property
    def detector_is_frozen(self) -> bool:
        return self.stage == "reid"

    def train(self, mode: bool = True):
        """A frozen detector stays in eval mode, or its batch statistics would drift."""
        super().train(mode)
        if self.detector_is_frozen:
            self.detector.eval()
        return self

    def forward(self, batched_inputs: list[dict]):
        """
        Args:
            batched_inputs: one dict an image, with

                * image: (C, H, W) tensor, 0 to 255;
                * instances (training): ``gt_boxes``, ``gt_classes``, ``gt_person_ids``;
                * height, width (inference, optional): the original size, to which boxes are scaled;
                * queries (inference, optional): (Q, 4) boxes in original coordinates.

        Returns:
            In training a dict of losses. At inference one dict an image, with

            * instances: ``pred_boxes``, ``scores``, ``pred_classes`` and, if there is f_r,
              ``reid_features``, (R, D) L2-normalised;
            * query_features: (Q, D) L2-normalised, where the image has queries and there is f_r.
        """
        if not self.training:
            return self.inference(batched_inputs)
        if self.reid is None:
            return self.detector(batched_inputs)
        gt_instances = [x["instances"].to(self.device) for x in batched_inputs]
        if self.detector_is_frozen:
            return self.reid.training_losses(self._frozen_maps(batched_inputs), gt_instances)
        with self.feature_tap.record() as maps:
            losses = self.detector(batched_inputs)
        return {**losses, **self.reid.training_losses(maps, gt_instances)}

    @torch.no_grad()
    def _frozen_maps(self, batched_inputs: list[dict]) -> dict[str, torch.Tensor]:
        """The detector's maps of conv2 to conv4, and nothing of the detector beyond."""
        return self.feature_tap.run(self.detector.preprocess_image(batched_inputs).tensor)

    @torch.no_grad()
    def inference(self, batched_inputs: list[dict]) -> list[dict]:
        """See :meth:`forward`."""
        assert not self.training
        # Without the original size the detector leaves its boxes at the network's resolution,
        # where the features are pooled.
        network_inputs = [
            {k: v for k, v in x.items() if k not in ("height", "width")} for x in batched_inputs
        ]
        with self.feature_tap.record() as maps:
            detections = [x["instances"] for x in self.detector(network_inputs)]
        outputs = [{} for _ in batched_inputs]
        if self.reid is not None:
            self._attach_features(batched_inputs, maps, detections, outputs)
        for x, output, instances in zip(batched_inputs, outputs, detections, strict=True):
            height, width = instances.image_size
            output["instances"] = detector_postprocess(
                instances, x.get("height", height), x.get("width", width)
            )
        return outputs

    def _attach_features(self, batched_inputs, maps, detections, outputs) -> None:
        queries = [self._network_queries(x) for x in batched_inputs]
        features = self.reid.embed(maps, detections, queries)
        for x, output, instances, feature in zip(
            batched_inputs, outputs, detections, features, strict=True
        ):
            instances.reid_features = feature[: len(instances)]
            if "queries" in x:
                output["query_features"] = feature[len(instances) :]

    def _network_queries(self, x: dict) -> Boxes:
        """An image's query boxes, scaled to the network's resolution."""
        queries = torch.as_tensor(x.get("queries", []), dtype=torch.float32).reshape(-1, 4)
        boxes = Boxes(queries.clone())  # scaled in place, and the input is the caller's
        height, width = x["image"].shape[-2:]
        boxes.scale(width / x.get("width", width), height / x.get("height", height))
        return boxes.to(self.device)
