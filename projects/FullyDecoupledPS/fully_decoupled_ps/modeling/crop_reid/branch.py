"""f_r of a two-step search: from boxes in pictures to features, by a network for crops."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from detectron2.config import configurable
from detectron2.structures import Boxes

from ..distributed import gather_rows
from ..meta_arch import TrainableReID, build_training_parts
from .crop_network import CropNetwork, build_crop_network
from .cutting import cut_out, pixel_boxes


class CropReIDBranch(TrainableReID):
    """A network for crops, with what cuts them out of pictures, memory, losses and box noise."""

    @configurable
    def __init__(
        self,
        *,
        network: CropNetwork,
        size: tuple[int, int],
        pixel_mean: Sequence[float],
        pixel_std: Sequence[float],
        swap_channels: bool = False,
        flip: bool = False,
        batch_size: int = 32,
        **training_parts,
    ):
        """
        Args:
            network: from crops to features.
            size: height and width of a crop.
            pixel_mean, pixel_std: of the channels, 0 to 255, in the network's order.
            swap_channels: whether that order is the reverse of the pictures'.
            flip: take the mean of the features of a crop and of its mirror image, at inference.
            batch_size: crops that go through the network at once at inference.
            training_parts: of :class:`TrainableReID`.
        """
        super().__init__(**training_parts)
        self.network = network
        self.size = tuple(size)
        self.swap_channels = swap_channels
        self.flip = flip
        self.batch_size = batch_size
        for name, values in (("pixel_mean", pixel_mean), ("pixel_std", pixel_std)):
            values = torch.tensor(values, dtype=torch.float32).view(3, 1, 1)
            self.register_buffer(name, values, persistent=False)

    @classmethod
    def from_config(cls, cfg):
        crop = cfg.MODEL.CROP_REID
        network = build_crop_network(cfg)
        return {
            "network": network,
            "size": crop.SIZE,
            "pixel_mean": crop.PIXEL_MEAN,
            "pixel_std": crop.PIXEL_STD,
            "swap_channels": crop.FORMAT != cfg.INPUT.FORMAT,
            "flip": crop.FLIP,
            "batch_size": crop.BATCH,
            **build_training_parts(cfg, network.feature_dim),
        }

    @property
    def feature_dim(self) -> int:
        """D, the length of an embedding."""
        return self.network.feature_dim

    def forward(self, pictures: list[torch.Tensor], boxes: list[torch.Tensor]):
        """Features for inference. Boxes of one picture that are equal in whole pixels share one.

        Args:
            pictures: B of (3, H, W), 0 to 255, of any sizes, their channels in ``INPUT.FORMAT``.
            boxes: B of (N, 4), in pixels of the picture.

        Returns:
            tuple: B of (N, D) float32, L2-normalised.
        """
        crops, rows, numbers = [], [], []
        for picture, given in zip(pictures, boxes, strict=True):
            different, place = pixel_boxes(given, *picture.shape[1:]).unique(
                dim=0, return_inverse=True
            )
            rows.append(place + sum(numbers))
            numbers.append(len(different))
            crops.append(self.cut(picture, different))
        parts = [
            self.embed_crops(part.to(self.pixel_mean.device))
            for part in torch.cat(crops).split(self.batch_size)
            if len(part)
        ]
        features = torch.cat([self.pixel_mean.new_zeros(0, self.feature_dim), *parts])
        return tuple(features[row.to(features.device)] for row in rows)

    def cut(self, picture: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
        """(3, H, W), (N, 4) of :func:`pixel_boxes` -> (N, 3, h, w), as the network takes them."""
        return cut_out(picture, boxes, self.size, self.network.interpolation)

    def embed_crops(self, crops: torch.Tensor) -> torch.Tensor:
        """(N, 3, h, w), N > 0, 0 to 255, channels in INPUT.FORMAT -> (N, D) L2-normalised."""
        crops = self._normalized(crops)
        features = self.network(crops).float()
        if self.flip:
            features = (features + self.network(crops.flip(-1)).float()) / 2
        return F.normalize(features)

    def _normalized(self, crops: torch.Tensor) -> torch.Tensor:
        if self.swap_channels:
            crops = crops.flip(1)
        return (crops.float() - self.pixel_mean) / self.pixel_std

    def embed_all(self, source, boxes: list[Boxes], counts: list[int]) -> torch.Tensor:
        crops = [
            self.cut(picture, pixel_boxes(own.tensor, *picture.shape[1:]))
            for picture, own in zip(source, boxes, strict=True)
        ]
        crops = torch.cat(crops).to(self.pixel_mean.device)
        # a batch norm has no variance of a single crop: it keeps to its running statistics
        self.network.train(len(crops) > 1)
        if len(crops):
            features = F.normalize(self.network(self._normalized(crops)).float())
        else:
            features = self.pixel_mean.new_zeros(0, self.feature_dim)
        return gather_rows(features, counts)

    def training_losses(self, pictures: list[torch.Tensor], gt_instances) -> dict:
        """As :meth:`losses_from`, of pictures as :meth:`forward` takes them."""
        return self.losses_from(pictures, gt_instances)
