"""The occluded-attention transformer of COAT, the detector of the paper's Table VIII.

COAT is "Cascade Transformers for End-to-End Person Search" (CVPR 2022).
"""

from collections.abc import Sequence

import torch
from detectron2.config import configurable
from torch import nn

from ..errors import UserError


def exchange_tokens(tokens: torch.Tensor, max_share: float) -> torch.Tensor:
    """Let each person's tokens be covered, in one rectangle, by those of another in the batch.

    It imitates occlusion. Rectangles have the map's aspect ratio, and an area drawn uniformly up to
    ``max_share`` of the map; every person takes its tokens from another one.

    Args:
        tokens: (N, C, h, w).
        max_share: in [0, 1).

    Returns:
        Tensor: (N, C, h, w); the input itself if N < 2 or ``max_share`` is 0.
    """
    n, _, height, width = tokens.shape
    if n < 2 or max_share == 0:
        return tokens
    draw = torch.rand(n, 3, device=tokens.device)
    side = (draw[:, :1] * max_share).sqrt()  # of the rectangle, as a share of the map's
    rows, columns = (
        (torch.arange(size, device=tokens.device) + 0.5) / size for size in (height, width)
    )
    start = draw[:, 1:] * (1 - side)
    in_rows = (rows >= start[:, :1]) & (rows < start[:, :1] + side)  # (N, h)
    in_columns = (columns >= start[:, 1:]) & (columns < start[:, 1:] + side)  # (N, w)
    covered = in_rows[:, :, None] & in_columns[:, None, :]
    # a random cycle through all persons: nobody is its own partner
    order = torch.randperm(n, device=tokens.device)
    partner = torch.empty_like(order)
    partner[order] = order.roll(1)
    return torch.where(covered[:, None], tokens[partner], tokens)


def relu(x: torch.Tensor) -> torch.Tensor:
    """ReLU by a name that PyTorch's encoder does not know, which keeps it off its fused path.

    That path crashes in PyTorch 2.4 under a CPU's autocast: its weights are not cast.
    """
    return x.relu()


class OccludedAttention(nn.Module):
    """From the RoI features of persons to features that see the whole person.

    The channels are sliced, one slice per scale; a convolution of the scale's kernel makes tokens
    of a slice; in training, tokens of the same place are exchanged among the batch's persons; a
    transformer encoder attends over a person's tokens; the scales are concatenated again.
    """

    @configurable
    def __init__(
        self,
        *,
        in_channels: int,
        dim: int = 512,
        num_heads: int = 8,
        num_layers: int = 1,
        token_kernels: Sequence[int] = (1, 3),
        max_occlusion: float = 0.5,
    ):
        """
        Args:
            in_channels: C.
            dim: D, the output's channels; a multiple of scales times heads.
            num_heads, num_layers: of each scale's encoder.
            token_kernels: odd kernel sizes, one per scale.
            max_occlusion: see :func:`exchange_tokens`; 0 turns the exchange off.

        Raises:
            UserError: if channels can't be shared out, or a value is out of its range.
        """
        super().__init__()
        scales = len(token_kernels)
        if scales == 0 or any(kernel < 1 or kernel % 2 == 0 for kernel in token_kernels):
            raise UserError(
                f"COAT.TOKEN_KERNELS is {tuple(token_kernels)}; give one or more odd sizes"
            )
        if in_channels % scales or dim % (scales * num_heads):
            raise UserError(
                f"COAT.DIM is {dim} on {in_channels} channels; it must be a multiple of the "
                f"{scales} scales times {num_heads} heads, and the channels of the scales"
            )
        if not 0 <= max_occlusion < 1:
            raise UserError(f"COAT.MAX_OCCLUSION is {max_occlusion}; it must be in [0, 1)")
        self.out_channels = dim
        self.max_occlusion = max_occlusion
        given, width = in_channels // scales, dim // scales
        self.tokens = nn.ModuleList(
            nn.Conv2d(given, width, kernel, padding=kernel // 2) for kernel in token_kernels
        )
        self.encoders = nn.ModuleList(
            nn.TransformerEncoder(
                nn.TransformerEncoderLayer(
                    width,
                    num_heads,
                    4 * width,
                    dropout=0.0,
                    activation=relu,
                    batch_first=True,
                    norm_first=True,
                ),
                num_layers,
                norm=nn.LayerNorm(width),
                enable_nested_tensor=False,
            )
            for _ in token_kernels
        )

    @classmethod
    def from_config(cls, cfg, in_channels: int):
        coat = cfg.MODEL.COAT
        return {
            "in_channels": in_channels,
            "dim": coat.DIM,
            "num_heads": coat.NUM_HEADS,
            "num_layers": coat.NUM_LAYERS,
            "token_kernels": coat.TOKEN_KERNELS,
            "max_occlusion": coat.MAX_OCCLUSION,
        }

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, h, w) -> (N, D, h, w)."""
        slices = x.chunk(len(self.tokens), dim=1)
        tokens = torch.cat([conv(part) for conv, part in zip(self.tokens, slices)], dim=1)
        if self.training:
            tokens = exchange_tokens(tokens, self.max_occlusion)
        n, _, height, width = tokens.shape
        if n == 0:  # attention refuses an empty batch
            return tokens
        return torch.cat(
            [
                encoder(part.flatten(2).transpose(1, 2))
                .transpose(1, 2)
                .unflatten(2, (height, width))
                for encoder, part in zip(self.encoders, tokens.chunk(len(self.encoders), dim=1))
            ],
            dim=1,
        )
