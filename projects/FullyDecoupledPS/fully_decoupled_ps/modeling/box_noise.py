"""SnA, the paper's augmentation of ground-truth boxes with spatial noise (section III-C)."""

import torch
from detectron2.config import configurable
from detectron2.structures import Boxes

from ..errors import UserError


class BoxNoise:
    """Add noisy copies to ground-truth boxes, as imprecise as a detector's would be.

    A copy of a box of width w and height h has its centre moved by dx and dy, drawn uniformly with
    ``|dx| < lambda1 * w / 2`` and ``|dy| < lambda1 * h / 2``, and its width and height multiplied
    by factors drawn uniformly from ``[1 - lambda2, 1 + lambda2]``. Copies are clipped to the image.
    """

    @configurable
    def __init__(self, *, center_shift: float, scale: float, num_copies: int):
        """
        Args:
            center_shift: lambda1, in [0, 1).
            scale: lambda2, in [0, 1).
            num_copies: n, the number of noisy copies of each box; 0 turns the noise off.

        Raises:
            UserError: if a value is out of its range.
        """
        for name, value in (("center_shift", center_shift), ("scale", scale)):
            if not 0 <= value < 1:
                raise UserError(f"BOX_NOISE: {name} is {value}; it must be in [0, 1)")
        if num_copies < 0:
            raise UserError(f"BOX_NOISE: num_copies is {num_copies}; it must be 0 or more")
        self.center_shift = center_shift
        self.scale = scale
        self.num_copies = num_copies

    @classmethod
    def from_config(cls, cfg):
        noise = cfg.MODEL.REID.BOX_NOISE
        return {
            "center_shift": noise.CENTER_SHIFT,
            "scale": noise.SCALE,
            "num_copies": noise.NUM_COPIES,
        }

    def __call__(self, boxes: Boxes, image_size: tuple[int, int]) -> Boxes:
        """
        Args:
            boxes: M ground-truth boxes, in pixels of the network's input.
            image_size: height and width to clip to.

        Returns:
            Boxes: M * (n + 1) boxes; the M given ones first, then n rounds of M noisy ones, so
            that one value per box (its id, say) fits after ``values.repeat(n + 1)``.
        """
        gt = boxes.tensor
        if self.num_copies == 0 or len(gt) == 0:
            return Boxes(gt.repeat(self.num_copies + 1, 1))
        copies = gt.repeat(self.num_copies, 1)
        size = copies[:, 2:] - copies[:, :2]
        # uniform in (-1, 1): one pair for the centre, one for the size
        noise = torch.rand(len(copies), 4, device=gt.device, dtype=gt.dtype) * 2 - 1
        center = (copies[:, :2] + copies[:, 2:]) / 2 + noise[:, :2] * self.center_shift * size / 2
        half = size * (1 + noise[:, 2:] * self.scale) / 2
        noisy = Boxes(torch.cat([center - half, center + half], dim=1))
        noisy.clip(image_size)
        return Boxes.cat([boxes, noisy])
