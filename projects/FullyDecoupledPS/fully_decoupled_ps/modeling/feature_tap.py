"""Reading a detector's intermediate maps while it runs, whatever the detector is."""

from collections.abc import Callable
from contextlib import contextmanager

import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling.backbone.resnet import ResNet
from torch import nn

from ..errors import UserError
from .staged.backbone import StagedBackbone

TAPPED_LAYERS = ("res2", "res3", "res4")


class FeatureTap:
    """The outputs of conv2, conv3 and conv4 of the one ResNet, or other network, in a detector.

    It may be the backbone itself or the bottom-up part of an FPN; its layers are observed
    by a forward hook, so that neither the detector nor its list of output features is changed.
    """

    def __init__(self, detector: nn.Module):
        """
        Raises:
            UserError: if the detector does not hold exactly one Detectron2 ResNet or
                :class:`StagedBackbone`.
        """
        found = [m for m in detector.modules() if isinstance(m, (ResNet, StagedBackbone))]
        if len(found) != 1:
            raise UserError(
                f"{type(detector).__name__} has {len(found)} backbones of stages; the re-id "
                "side-net is parallel to the one ResNet of a detector, or its one staged backbone "
                "(MODEL.STAGED); change MODEL.BACKBONE.NAME or MODEL.DETECTOR.ZOO, or take "
                "MODEL.META_ARCHITECTURE TwoStepPersonSearch, which takes any detector"
            )
        self.bottom_up = found[0]

    def shapes(self) -> dict[str, ShapeSpec]:
        """Channels and stride of each tapped map."""
        # not output_shape(), which leaves out what is no output
        channels = self.bottom_up._out_feature_channels
        strides = self.bottom_up._out_feature_strides
        return {n: ShapeSpec(channels=channels[n], stride=strides[n]) for n in TAPPED_LAYERS}

    def run(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """Run the bottom-up network alone, and no further than conv4.

        Args:
            images: (B, 3, H, W), normalised.

        Returns:
            dict: as :meth:`record` yields.
        """
        maps, x = {}, self.bottom_up.stem(images)
        for name in TAPPED_LAYERS:
            x = maps[name] = getattr(self.bottom_up, name)(x)
        return maps

    @contextmanager
    def record(self, on_complete: Callable[[dict], None] | None = None):
        """Within the context, the yielded dict is filled by each run of the detector's backbone.

        Args:
            on_complete: called with the dict as soon as it is complete, while the detector has yet
                to make its detections.

        Yields:
            dict: "res2", "res3", "res4" -> (B, C, H / s, W / s), s = 4, 8, 16.
        """
        maps = {}

        def keep(name):
            def hook(module, inputs, output):
                maps[name] = output
                if on_complete is not None and name == TAPPED_LAYERS[-1]:
                    on_complete(maps)

            return hook

        hooks = [
            getattr(self.bottom_up, name).register_forward_hook(keep(name))
            for name in TAPPED_LAYERS
        ]
        try:
            yield maps
        finally:
            for hook in hooks:
                hook.remove()
