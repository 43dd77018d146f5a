"""Online representation distillation: a second stream, of crops, beside f_r's maps in training.

Not in the paper, but in its successor ("Fully Decoupled End-to-End Person Search: An Approach
without Conflicting Objectives", IJCV 2025). Each box that f_r learns from is also cut out of the
network's input, and the crop goes through the same weights. There is no teacher, and nothing of it
at inference.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack

import torch
from detectron2.config import configurable
from detectron2.structures import Boxes
from torch import nn
from torchvision import transforms

from ..errors import UserError
from .activation_checkpointing import (
    STAGES,
    check_stage_names,
    checkpointed,
    kept_statistics,
)
from .crop_reid.cutting import cut_out, pixel_boxes
from .feature_tap import FeatureTap
from .identity_memory import IdentityMemory
from .losses import PrototypeLoss

# So many pixels a side leave more than one cell of stride 16, as a batch norm of one crop needs.
LEAST_SIDE = 32
SUFFIX = "_crops"

# From crops (N, 3, h, w), 0 to 255, N > 0, to f_d's maps of them, by name.
DetectorMaps = Callable[[torch.Tensor], dict[str, torch.Tensor]]


class CropStream(nn.Module):
    """Cuts crops and embeds them; has their identity memory, and the losses between the streams.

    It has no weights: those are the branch's, which it is given. Batch norms of f_r take the
    statistics of the crops by themselves, and count the maps alone into their running statistics,
    which are for inference, where there are no crops.
    """

    @configurable
    def __init__(
        self,
        *,
        memory: IdentityMemory,
        contrast: PrototypeLoss,
        size: tuple[int, int],
        flip_prob: float = 0.5,
        erase_prob: float = 0.5,
        erase_area: Sequence[float] = (0.02, 0.33),
        erase_aspect: Sequence[float] = (0.3, 3.3),
        checkpointing: Sequence[str] = STAGES,
    ):
        """
        Args:
            memory: of the crops' embeddings.
            contrast: classifies a stream's embeddings among the identities of the other's memory.
            size: height and width of a crop.
            flip_prob: of a crop's mirror image in its place.
            erase_prob: of a rectangle of it being black, of a random share of its area
                (``erase_area``) and a random ratio of height to width (``erase_aspect``).
            checkpointing: those of "res3", "res4" and "res5" of f_r whose blocks are computed again
                in the backward pass of the crops.

        Raises:
            UserError: if a value is out of its range.
        """
        super().__init__()
        _check(size, flip_prob, erase_prob, erase_area, erase_aspect, checkpointing)
        self.memory = memory
        self.contrast = contrast
        self.size = tuple(size)
        self.checkpointing = checkpointing
        self.augment = transforms.Compose(
            [
                transforms.RandomHorizontalFlip(flip_prob),
                transforms.RandomErasing(
                    erase_prob, tuple(erase_area), tuple(erase_aspect), value=0
                ),
            ]
        )

    @classmethod
    def from_config(cls, cfg, feature_dim: int):
        node = cfg.MODEL.REID.ORD
        return {
            "memory": IdentityMemory(cfg, feature_dim),
            "contrast": PrototypeLoss(temperature=node.TEMPERATURE, weight=node.WEIGHT),
            "size": node.CROP_SIZE,
            "flip_prob": node.FLIP_PROB,
            "erase_prob": node.ERASE.PROB,
            "erase_area": node.ERASE.AREA,
            "erase_aspect": node.ERASE.ASPECT,
            "checkpointing": node.CHECKPOINTING,
        }

    def cut(self, pictures: Sequence[torch.Tensor], boxes: Sequence[Boxes]) -> torch.Tensor:
        """Crops for training; a single black one where there is no box.

        Args:
            pictures: B of (3, H, W), 0 to 255.
            boxes: B lists, N in all, in pixels of the pictures. What is beyond a picture is not in
                the crop; of a box without a pixel it is the nearest one.

        Returns:
            Tensor: (max(N, 1), 3, h, w), 0 to 255, in the order of the boxes, on their device.
        """
        crops = []
        for picture, own in zip(pictures, boxes, strict=True):
            found = pixel_boxes(own.tensor, *picture.shape[1:])
            crops += map(self.augment, cut_out(picture.to(own.device), found, self.size))
        if not crops:
            return boxes[0].tensor.new_zeros(1, 3, *self.size)
        return torch.stack(crops)

    def embed(
        self,
        branch: nn.Module,
        detector_maps: DetectorMaps,
        pictures: Sequence[torch.Tensor],
        boxes: Sequence[Boxes],
        counts: list[int],
    ) -> torch.Tensor:
        """
        Args:
            branch: f_r: its ``side_net``, and its ``head``, whose conv5 takes the whole map.
            detector_maps: see :data:`DetectorMaps`.
            pictures, boxes: of this process, as :meth:`cut` takes them.
            counts: the number of boxes of each process, not all of them 0. A process without boxes
                embeds the black crop, whose row is dropped: the others may wait for it in norms.

        Returns:
            Tensor: float32 L2-normalised embeddings of the crops of all processes, in the order of
            the ranks.
        """
        maps = detector_maps(self.cut(pictures, boxes))
        layers = {"res3": branch.side_net.res3, "res4": branch.side_net.res4}
        layers["res5"] = branch.head.conv5
        with ExitStack() as stack:
            stack.enter_context(kept_statistics(branch))
            stack.enter_context(checkpointed([layers[name] for name in self.checkpointing]))
            return branch.head.embed_whole(branch.side_net(maps), counts)

    def losses(
        self,
        criteria: nn.ModuleList,
        embeddings: torch.Tensor,
        of_crops: torch.Tensor,
        person_ids: torch.Tensor,
        memory: IdentityMemory,
    ) -> dict[str, torch.Tensor]:
        """
        Args:
            criteria: the losses that the map stream has, here for the crops and their own memory.
            embeddings: (N, D) of the map stream, L2-normalised.
            of_crops: (N, D), likewise.
            person_ids: (N,), of either.
            memory: the map stream's, not yet updated with this batch.

        Returns:
            dict: scalar losses by name; those of the crops end in ``_crops``.
        """
        found = {}
        for criterion in criteria:
            for name, loss in criterion(of_crops, person_ids, self.memory).items():
                found[name + SUFFIX] = loss
        found["loss_contrast"] = self.contrast(embeddings, person_ids, self.memory)
        found["loss_contrast" + SUFFIX] = self.contrast(of_crops, person_ids, memory)
        return found


@torch.no_grad()
def maps_as_at_inference(
    detector: nn.Module, tap: FeatureTap, crops: torch.Tensor
) -> dict[str, torch.Tensor]:
    """:data:`DetectorMaps` of a detector in any mode, which it is left in.

    So f_d learns nothing from crops, and no batch statistics of its own count them.
    """
    training = [module for module in detector.modules() if module.training]
    detector.eval()
    try:
        images = detector.preprocess_image([{"image": crop} for crop in crops]).tensor
        # without the padding of a detector that wants multiples of 32 pixels
        return tap.run(images[..., : crops.shape[-2], : crops.shape[-1]])
    finally:
        for module in training:
            module.training = True


def _check(size, flip_prob, erase_prob, erase_area, erase_aspect, checkpointing) -> None:
    """Refuse values that are out of their ranges."""
    if len(size) != 2 or not all(isinstance(x, int) and x >= LEAST_SIDE for x in size):
        raise UserError(
            f"MODEL.REID.ORD.CROP_SIZE is {list(size)}; it must be height and width, whole numbers "
            f"of {LEAST_SIDE} or more"
        )
    for key, value in (("FLIP_PROB", flip_prob), ("ERASE.PROB", erase_prob)):
        if not 0 <= value <= 1:
            raise UserError(f"MODEL.REID.ORD.{key} is {value}; it must be in [0, 1]")
    for key, pair, most in (("AREA", erase_area, 1), ("ASPECT", erase_aspect, float("inf"))):
        if len(pair) != 2 or not 0 < pair[0] <= pair[1] <= most:
            raise UserError(
                f"MODEL.REID.ORD.ERASE.{key} is {list(pair)}; it must be the least and the largest "
                "value, above 0" + " and no more than 1" * (most == 1)
            )
    check_stage_names("MODEL.REID.ORD.CHECKPOINTING", checkpointing)
