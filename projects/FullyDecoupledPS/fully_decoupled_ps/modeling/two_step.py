"""Two-step search (Table VIII): a detector, and a re-id network on crops of what it finds."""

import torch
from detectron2.modeling import META_ARCH_REGISTRY
from detectron2.structures import Instances
from torch import nn

from ..errors import UserError
from .crop_reid.branch import CropReIDBranch
from .meta_arch import FullyDecoupledPersonSearch, join_features

STAGES = ("detection", "reid")


@META_ARCH_REGISTRY.register()
class TwoStepPersonSearch(FullyDecoupledPersonSearch):
    """A detector of any kind, and for f_r a network that sees its persons as crops, and no more.

    The two share nothing, so that each can be a published one. Persons are cut out of the picture
    at its original resolution: at inference an input has, beside what
    :meth:`FullyDecoupledPersonSearch.forward` says,

    * original_image: (3, H, W), 0 to 255, channels in ``INPUT.FORMAT``; in its pixels are the boxes
      that go in and come out. Where ``image`` was not resized, it is taken.

    In stage ``reid`` the detector is frozen and no part of it is run; ``image`` is the picture at
    its original resolution then. There is no stage ``joint`` or ``hybrid``.
    """

    reid_branch = CropReIDBranch
    is_two_step = True
    can_distill = False  # crops are all that its f_r sees

    @classmethod
    def from_config(cls, cfg):
        if cfg.SOLVER.STAGE not in STAGES:
            raise UserError(
                f"SOLVER.STAGE is {cfg.SOLVER.STAGE!r}; {cls.__name__} has detection and reid: its "
                "two networks share nothing that could be trained together"
            )
        return super().from_config(cfg)

    @classmethod
    def build_reid(cls, cfg, detector: nn.Module) -> nn.Module:
        return cls.reid_branch(cfg)

    @staticmethod
    def tap(detector: nn.Module):
        return None  # no map of it is used

    def _frozen_maps(self, batched_inputs: list[dict]) -> list[torch.Tensor]:
        """No map, but the pictures, which is all that f_r sees."""
        return [x["image"] for x in batched_inputs]

    def _search(self, batched_inputs: list[dict]) -> list[dict]:
        if self.reid is None:
            return super()._search(batched_inputs)
        for x in batched_inputs:
            _original(x)  # refuses one that has none, before the detector runs
        return self._embed_crops(batched_inputs, self._detect(batched_inputs))

    def _search_queries(self, batched_inputs: list[dict]) -> list[dict]:
        if self.reid is None:
            return super()._search_queries(batched_inputs)
        return self._embed_crops(batched_inputs, [self._nobody(x) for x in batched_inputs])

    def _embed_crops(self, batched_inputs: list[dict], detections: list[Instances]) -> list[dict]:
        pictures = [_original(x) for x in batched_inputs]
        boxes = [_boxes(x, found) for x, found in zip(batched_inputs, detections, strict=True)]
        return join_features(batched_inputs, detections, self.reid(pictures, boxes))


def _boxes(x: dict, detections: Instances) -> torch.Tensor:
    """(R + Q, 4), those of queries last."""
    found = detections.pred_boxes.tensor
    queries = torch.as_tensor(x.get("queries", []), dtype=found.dtype, device=found.device)
    return torch.cat([found, queries.reshape(-1, 4)])


def _original(x: dict) -> torch.Tensor:
    if "original_image" in x:
        return x["original_image"]
    size = tuple(x["image"].shape[1:])
    if size != (x.get("height", size[0]), x.get("width", size[1])):
        raise ValueError(
            f"an input of {size[1]} x {size[0]} pixels stands for a picture of {x['width']} x "
            f"{x['height']}, and has no original_image to cut persons out of"
        )
    return x["image"]
