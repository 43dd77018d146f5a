"""The fully decoupled person search network (section III of the paper)."""

from collections.abc import Sequence
from functools import partial

import torch
from detectron2.config import configurable
from detectron2.modeling import META_ARCH_REGISTRY
from detectron2.modeling.postprocessing import detector_postprocess
from detectron2.structures import Boxes, Instances
from detectron2.utils import comm
from detectron2.utils.events import get_event_storage
from torch import nn

from ..errors import UserError
from .box_noise import BoxNoise
from .crop_stream import CropStream, DetectorMaps, maps_as_at_inference
from .distributed import gather_rows
from .feature_tap import FeatureTap
from .frozen_maps import FrozenMaps
from .identity_memory import IdentityMemory
from .ignore_regions import attach_regions
from .light_detector import lighten
from .losses import build_reid_losses
from .precision import (
    autocast,
    keep_boxes_in_float32,
    keep_statistics_in_float32,
    precision_from_config,
)
from .reid_head import REID_MAP_STRIDE, ReIDHead
from .reid_side_net import SideNet, build_reid_side_net
from .side_net_run import SideNetRun

# What a detection may have besides box, score and class.
NOT_OF_BOXES = ("pred_masks", "pred_keypoints", "pred_keypoint_heatmaps")


def build_training_parts(cfg, feature_dim: int) -> dict:
    """Memory, losses and box noise: what training a re-id network of ``feature_dim`` needs."""
    return {
        "memory": IdentityMemory(cfg, feature_dim),
        "losses": build_reid_losses(cfg),
        "box_noise": BoxNoise(cfg),
    }


class TrainableReID(nn.Module):
    """What an f_r of any kind needs to be trained: memory, losses and box noise."""

    def __init__(self, *, memory: IdentityMemory, losses: nn.ModuleList, box_noise: BoxNoise):
        super().__init__()
        self.memory = memory
        self.losses = losses
        self.box_noise = box_noise

    def embed_all(self, source, boxes: list[Boxes], counts: list[int]) -> torch.Tensor:
        """
        Args:
            source: what features are made from, of B images.
            boxes: B lists of boxes.
            counts: the number of boxes of each process.

        Returns:
            Tensor: float32 L2-normalised embeddings of the boxes of all processes, in the order of
            the ranks (see :func:`gather_rows`).
        """
        raise NotImplementedError

    def losses_from(self, source, gt_instances, embed_crops=None) -> dict[str, torch.Tensor]:
        """Losses on ground-truth boxes with spatial noise; then the memory is updated.

        With several processes the losses and the memory are those of one process that has the
        persons of all. All processes call it together, also one whose images have no persons.

        Args:
            source: what features are made from, of B images.
            gt_instances: B :class:`Instances` with ``gt_boxes`` and ``gt_person_ids``.
            embed_crops: of a branch with a ``crop_stream``, from the boxes and their counts, as
                :meth:`embed_all` has them, to the embeddings of what is cut out there.

        Returns:
            dict: scalar losses by name, equal in all processes.
        """
        copies = self.box_noise.num_copies + 1
        boxes = [self.box_noise(x.gt_boxes, x.image_size) for x in gt_instances]
        person_ids = torch.cat([x.gt_person_ids.repeat(copies) for x in gt_instances])
        counts = comm.all_gather(len(person_ids))
        losses = {}
        if sum(counts):
            of_crops = None if embed_crops is None else embed_crops(boxes, counts)
            embeddings = self.embed_all(source, boxes, counts)
            all_ids = gather_rows(person_ids, counts)
            # what is in float32 is computed in float32, also within autocast
            with torch.autocast(embeddings.device.type, enabled=False):
                losses = self._losses_of(embeddings, of_crops, all_ids)
        if len(person_ids) == 0:
            name = next(iter(losses), "loss_oim")
            losses[name] = losses.get(name, 0.0) + connected_zero(self, source)
        for name, share in self.memory.occupancy().items():
            get_event_storage().put_scalar(f"memory/{name}", share.item())
        return losses

    def _losses_of(self, embeddings, of_crops, person_ids) -> dict[str, torch.Tensor]:
        """The losses of all streams; then the memories are updated."""
        losses = {}
        for criterion in self.losses:
            losses.update(criterion(embeddings, person_ids, self.memory))
        if of_crops is not None:
            of_both = embeddings, of_crops, person_ids
            losses.update(self.crop_stream.losses(self.losses, *of_both, self.memory))
            self.crop_stream.memory.update(of_crops, person_ids)
        self.memory.update(embeddings, person_ids)
        return losses


class TrainedHead(TrainableReID):
    """A re-id head on maps that are given, with what trains it."""

    @configurable
    def __init__(self, *, head: ReIDHead, **training_parts):
        """
        Args:
            head: from maps to embeddings.
            training_parts: of :class:`TrainableReID`.
        """
        super().__init__(**training_parts)
        self.head = head

    @classmethod
    def from_config(cls, cfg, conv5, feature_dim: int, strides=(REID_MAP_STRIDE,)):
        head = ReIDHead(cfg, conv5, feature_dim, strides)
        return {"head": head, **build_training_parts(cfg, feature_dim)}

    @property
    def feature_dim(self) -> int:
        """D, the length of an embedding."""
        return self.head.feature_dim

    def make_map(self, maps):
        """What the head pools, made of the maps that are given: here the maps themselves."""
        return maps

    def forward(self, maps, boxes: list[Boxes]) -> torch.Tensor:
        """
        Args:
            maps: what :meth:`make_map` takes, of B images.
            boxes: B lists of boxes, N in all, in pixels of the network's input.

        Returns:
            Tensor: (N, D) float32 L2-normalised embeddings.
        """
        return self.head(self.make_map(maps), boxes)

    def embed_all(self, source, boxes: list[Boxes], counts: list[int]) -> torch.Tensor:
        return self.head(source, boxes, counts)

    def training_losses(self, maps, gt_instances) -> dict[str, torch.Tensor]:
        """As :meth:`losses_from`, of what :meth:`make_map` takes."""
        return self.losses_from(self.make_map(maps), gt_instances)

    def embed(self, reid_map, detections, queries: list[Boxes]) -> tuple[torch.Tensor, ...]:
        """
        Args:
            reid_map: what :meth:`make_map` makes, of B images.
            detections: B :class:`Instances`, whose ``pred_boxes`` are in pixels of the network's
                input.
            queries: B lists of boxes in the same pixels.

        Returns:
            tuple: for each image (R + Q, D) embeddings, those of the queries last.
        """
        boxes = [Boxes.cat([d.pred_boxes, q]) for d, q in zip(detections, queries, strict=True)]
        return self.head(reid_map, boxes).split([len(b) for b in boxes])


class ReIDBranch(TrainedHead):
    """f_r: the side-net, and the re-id head on its map."""

    @configurable
    def __init__(self, *, side_net: SideNet, crop_stream: CropStream | None = None, **parts):
        """
        Args:
            side_net: its ``res5`` is the head's ``conv5``, and is taken out of it.
            crop_stream: the second stream of training; None for none.
            parts: of :class:`TrainedHead`.
        """
        super().__init__(**parts)
        self.side_net = side_net
        self.crop_stream = crop_stream
        del side_net.res5

    @classmethod
    def from_config(cls, cfg, detector_shapes):
        side_net = build_reid_side_net(cfg, detector_shapes)
        parts = super().from_config(cfg, side_net.res5, side_net.feature_dim)
        if cfg.MODEL.REID.ORD.ENABLED:
            parts["crop_stream"] = CropStream(cfg, side_net.feature_dim)
        return {"side_net": side_net, **parts}

    def make_map(self, maps: dict[str, torch.Tensor]) -> torch.Tensor:
        """The side-net's map, of what :class:`FeatureTap` records."""
        return self.side_net(maps)

    def training_losses(
        self, maps, gt_instances, pictures=None, detector_maps: DetectorMaps | None = None
    ) -> dict[str, torch.Tensor]:
        """
        Args:
            maps, gt_instances: as :meth:`losses_from` has them, of what :meth:`make_map` takes.
            pictures, detector_maps: for a ``crop_stream``, as it takes them.
        """
        embed_crops = None
        if self.crop_stream is not None:
            embed_crops = partial(self.crop_stream.embed, self, detector_maps, pictures)
        losses = self.losses_from(self.make_map(maps), gt_instances, embed_crops)
        log_alphas(self.side_net)
        return losses


def connected_zero(module: nn.Module, maps) -> torch.Tensor:
    """A zero that reaches every trained parameter of a module, and all of a map or a list of maps.

    For a process without persons: the others wait for its gradients, and, if norms are
    synchronised, for its way back through the layers that the maps come from.
    """
    tensors = [maps] if isinstance(maps, torch.Tensor) else list(maps)
    tensors += module.parameters()
    return sum((t * 0.0).sum() for t in tensors if t.requires_grad)


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
    * ``detached``: the losses of both, summed, but the maps that f_r takes are detached. So the
      detector, its input layer included, gets the gradients of stage ``detection``, to the bit.

    At inference one pass over an image gives boxes, scores and one feature per box.
    """

    reid_branch = ReIDBranch
    # Whether f_r sees crops of the picture at its original resolution, and nothing of f_d's.
    is_two_step = False
    # Whether f_r can have a second stream, of crops, in training (MODEL.REID.ORD).
    can_distill = True
    # False of one that was prepared for inference alone (see inference_form.py)
    is_trainable = True

    @configurable
    def __init__(
        self,
        *,
        detector: nn.Module,
        reid: TrainedHead | None,
        stage: str,
        person_class: int = -1,
        training_dtype: torch.dtype | None = None,
        inference_dtype: torch.dtype | None = None,
        channels_last: bool = False,
    ):
        """
        Args:
            detector: a Detectron2 meta-architecture with ``preprocess_image``.
            reid: the re-id branch, or None in stage ``detection``.
            stage: "detection", "reid", "joint", "detached" or "hybrid".
            person_class: of a detector of several classes, that of persons; -1: there is one class.
            training_dtype, inference_dtype: what convolutions and matrix products are cast to;
                None: as they are. Boxes, embeddings, memory and re-id losses stay in float32.
            channels_last: memory format of the weights, and so of the maps.
        """
        super().__init__()
        self.detector = detector
        self.reid = reid
        self.stage = stage
        self.person_class = person_class
        self.training_dtype = training_dtype
        self.inference_dtype = inference_dtype
        self.feature_tap = self.tap(detector)
        self.frozen_maps = FrozenMaps(detector, self.feature_tap)
        keep_boxes_in_float32(self)
        keep_statistics_in_float32(self)
        if channels_last:
            self.to(memory_format=torch.channels_last)
        if self.detector_is_frozen:
            self.detector.requires_grad_(False)

    @classmethod
    def from_config(cls, cfg):
        detector = build_detector(cfg)
        stage = cfg.SOLVER.STAGE
        return {
            "detector": detector,
            "reid": None if stage == "detection" else cls.build_reid(cfg, detector),
            "stage": stage,
            "person_class": cfg.MODEL.DETECTOR.PERSON_CLASS,
            **precision_from_config(cfg),
        }

    @classmethod
    def build_reid(cls, cfg, detector: nn.Module) -> nn.Module:
        """f_r beside a detector."""
        return cls.reid_branch(cfg, FeatureTap(detector).shapes())

    @staticmethod
    def tap(detector: nn.Module):
        """What records a detector's maps for f_r."""
        return FeatureTap(detector)

    @property
    def device(self) -> torch.device:
        return self.detector.device

    @property
    def detector_is_frozen(self) -> bool:
        return self.stage == "reid"

    def train(self, mode: bool = True):
        """A frozen detector stays in eval mode, or its batch statistics would drift."""
        if mode and not self.is_trainable:
            raise RuntimeError("the network was prepared for inference: its norms are folded")
        super().train(mode)
        if self.detector_is_frozen:
            self.detector.eval()
        return self

    def forward(self, batched_inputs: list[dict]):
        """
        Args:
            batched_inputs: one dict per image, with

                * image: (C, H, W) tensor, 0 to 255;
                * instances (training): ``gt_boxes``, ``gt_classes``, ``gt_person_ids``;
                * ignore_regions (training, optional): (R, 4) boxes in pixels of the image, where
                  nothing counts against the detector (see ``ignore_regions.py``);
                * height, width (inference, optional): the original size, to which boxes are scaled;
                * queries (inference, optional): (Q, 4) boxes in original coordinates;
                * queries_only (inference, optional): if True, nobody is to be detected, and of the
                  detector only what f_r needs is run.

        Returns:
            In training a dict of losses. At inference one dict per image, with

            * instances: ``pred_boxes``, ``scores``, ``pred_classes`` and, if there is f_r,
              ``reid_features``, (R, D) L2-normalised;
            * query_features: (Q, D) L2-normalised, where the image has queries and there is f_r.
        """
        if not self.training:
            return self.inference(batched_inputs)
        with autocast(self.device, self.training_dtype):
            return self._training_losses(batched_inputs)

    def _training_losses(self, batched_inputs: list[dict]) -> dict[str, torch.Tensor]:
        if self.reid is None:
            return self.detector(attach_regions(batched_inputs))
        gt_instances = [x["instances"].to(self.device) for x in batched_inputs]
        if self.detector_is_frozen:
            maps = self._frozen_maps(batched_inputs)
            return self._reid_losses(maps, batched_inputs, gt_instances)
        with self.feature_tap.record() as maps:
            losses = self.detector(attach_regions(batched_inputs))
        if self.stage == "detached":
            maps = {name: x.detach() for name, x in maps.items()}
        return {**losses, **self._reid_losses(maps, batched_inputs, gt_instances)}

    def _reid_losses(self, maps, batched_inputs, gt_instances) -> dict[str, torch.Tensor]:
        if getattr(self.reid, "crop_stream", None) is None:
            return self.reid.training_losses(maps, gt_instances)
        pictures = [x["image"] for x in batched_inputs]
        maps_of = partial(maps_as_at_inference, self.detector, self.feature_tap)
        return self.reid.training_losses(maps, gt_instances, pictures, maps_of)

    def _frozen_maps(self, batched_inputs: list[dict]) -> dict[str, torch.Tensor]:
        """See :class:`FrozenMaps`."""
        return self.frozen_maps(batched_inputs)

    @torch.inference_mode()
    def inference(self, batched_inputs: list[dict]) -> list[dict]:
        """See :meth:`forward`. What an image gives does not depend on what stands beside it.

        Images of different sizes would be padded to the largest of them, and a network sees where
        padding begins. So only images of one size share a batch; the others take turns.
        """
        assert not self.training
        batches: dict[tuple, list[int]] = {}
        for i, x in enumerate(batched_inputs):
            key = x.get("queries_only", False), *x["image"].shape[-2:]
            batches.setdefault(key, []).append(i)
        outputs = [{}] * len(batched_inputs)
        with autocast(self.device, self.inference_dtype):
            for (queries_only, *_), places in batches.items():
                search = self._search_queries if queries_only else self._search
                found = search([batched_inputs[i] for i in places])
                for i, output in zip(places, found, strict=True):
                    outputs[i] = output
        return outputs

    def _search(self, batched_inputs: list[dict]) -> list[dict]:
        if self.reid is None:
            return [{"instances": persons} for persons in self._detect(batched_inputs)]
        side_net = SideNetRun(self.reid.make_map, self.device)
        with self.feature_tap.record(on_complete=side_net.start):
            detections = self._detect(batched_inputs)
        return self._embed(batched_inputs, side_net.result(), detections)

    def _search_queries(self, batched_inputs: list[dict]) -> list[dict]:
        """As :meth:`_search` of images in which the detector finds nobody, and is not asked."""
        nobody = [self._nobody(x) for x in batched_inputs]
        if self.reid is None:
            return [{"instances": persons} for persons in nobody]
        images = self.detector.preprocess_image(batched_inputs).tensor
        return self._embed(batched_inputs, self.reid.make_map(self.feature_tap.run(images)), nobody)

    def _nobody(self, x: dict) -> Instances:
        """No detection, as :meth:`_detect` would give it for an input."""
        height, width = x["image"].shape[-2:]
        nobody = Instances((x.get("height", height), x.get("width", width)))
        nobody.pred_boxes = Boxes(torch.zeros(0, 4, device=self.device))
        nobody.scores = torch.zeros(0, device=self.device)
        nobody.pred_classes = torch.zeros(0, dtype=torch.int64, device=self.device)
        return nobody

    def _detect(self, batched_inputs: list[dict]) -> list[Instances]:
        """The persons that the detector finds, in pixels of the original image.

        Boxes and scores are the detector's own, to the bit. What else it knows of a person, such as
        a mask, is dropped.
        """
        detections = []
        for x, output in zip(batched_inputs, self.detector(batched_inputs), strict=True):
            found = output["instances"]
            for field in NOT_OF_BOXES:
                if found.has(field):
                    found.remove(field)
            if self.person_class >= 0 and num_classes(self.detector) != 1:
                found = found[found.pred_classes == self.person_class]
                found.pred_classes = torch.zeros_like(found.pred_classes)
            # a detector of its own making may have left its boxes in pixels of its input
            height, width = found.image_size
            size = x.get("height", height), x.get("width", width)
            detections.append(detector_postprocess(found, *size))
        return detections

    def _embed(self, batched_inputs, reid_map, detections: list[Instances]) -> list[dict]:
        """Detections and queries with their features, which are pooled in pixels of the input."""
        boxes, queries = [], []
        for x, persons in zip(batched_inputs, detections, strict=True):
            in_input = Instances(persons.image_size, **persons.get_fields())
            in_input.pred_boxes = self._to_input(persons.pred_boxes.tensor, x)
            boxes.append(in_input)
            queries.append(self._to_input(x.get("queries", []), x))
        return join_features(batched_inputs, detections, self.reid.embed(reid_map, boxes, queries))

    def _to_input(self, boxes, x: dict) -> Boxes:
        """(N, 4) boxes in pixels of the original image, scaled to those of the network's input."""
        scaled = torch.as_tensor(boxes, dtype=torch.float32, device=self.device).reshape(-1, 4)
        scaled = Boxes(scaled.clone())  # scaled in place, and the given ones are the caller's
        height, width = x["image"].shape[-2:]
        scaled.scale(width / x.get("width", width), height / x.get("height", height))
        return scaled


def join_features(
    batched_inputs: list[dict], detections: list[Instances], features: Sequence[torch.Tensor]
) -> list[dict]:
    """What inference returns, from each image's (R + Q, D) features, those of queries last."""
    outputs = []
    for x, persons, feature in zip(batched_inputs, detections, features, strict=True):
        persons.reid_features = feature[: len(persons)]
        outputs.append({"instances": persons})
        if "queries" in x:
            outputs[-1]["query_features"] = feature[len(persons) :]
    return outputs


def build_detector(cfg) -> nn.Module:
    """f_d, without heads for what is dropped (masks and keypoints), and of as many blocks as asked.

    Raises:
        UserError: as :func:`lighten`; if it has several classes, and it is not said which of them
            persons are.
    """
    cfg = cfg.clone()
    cfg.defrost()
    cfg.MODEL.MASK_ON = cfg.MODEL.KEYPOINT_ON = False
    detector = META_ARCH_REGISTRY.get(cfg.MODEL.DETECTOR.NAME)(cfg)
    lighten(detector, cfg.MODEL.DETECTOR.BLOCKS, cfg.MODEL.DETECTOR.RES5_NORM)
    number, person_class = num_classes(detector), cfg.MODEL.DETECTOR.PERSON_CLASS
    if number is not None and number > 1 and not 0 <= person_class < number:
        raise UserError(
            f"MODEL.DETECTOR.PERSON_CLASS is {person_class}, but the detector has {number} "
            f"classes; say which of them, 0 to {number - 1}, persons are (0 in COCO), or set the "
            "detector's NUM_CLASSES to 1"
        )
    return detector


def num_classes(detector: nn.Module) -> int | None:
    """Foreground classes of a Detectron2 detector; None if it does not say."""
    return getattr(getattr(detector, "roi_heads", detector), "num_classes", None)
