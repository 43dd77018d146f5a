"""timm's networks without their classifier."""

import logging
import re

from ...errors import UserError
from .backbone import BackboneNetwork, probe_feature_dim
from .crop_network import register_as

logger = logging.getLogger(__name__)

# Differences of pixel values, 0 to 255, that are none.
TOLERANCE = 0.05


@register_as("timm")
class TimmBackbone(BackboneNetwork):
    """``timm:NAME``: a network of the package timm (an extra of this one), without its classifier.

    Takes timm's own files, ``pytorch_model.bin`` or ``model.safetensors``: a start of training,
    mostly on ImageNet, no re-id network. Each has a licence of its own, which its page states.
    timm's networks have sizes of crops, means and deviations of their own, which MODEL.CROP_REID
    has to say; a mean or deviation other than timm's is told.
    """

    @classmethod
    def from_config(cls, cfg, variant: str):
        name = cfg.MODEL.CROP_REID.NAME
        try:
            import timm
        except ImportError as error:
            raise UserError(
                f"MODEL.CROP_REID.NAME {name} needs the package timm ({error}): pip install timm"
            ) from None
        if not timm.is_model(variant):
            similar = timm.list_models(f"*{variant}*")[:5] or ["resnet50", "vit_small_patch16_224"]
            raise UserError(
                f"MODEL.CROP_REID.NAME is {name!r}; timm has no network of that name, but "
                f"{', '.join(similar)} and others, which timm.list_models() lists"
            )
        body = timm.create_model(variant, pretrained=False, num_classes=0)
        for key, ours in (
            ("mean", cfg.MODEL.CROP_REID.PIXEL_MEAN),
            ("std", cfg.MODEL.CROP_REID.PIXEL_STD),
        ):
            theirs = [255 * value for value in body.default_cfg.get(key) or ()]
            if theirs and max(abs(a - b) for a, b in zip(theirs, ours)) > TOLERANCE:
                logger.warning(
                    "timm trains %s with PIXEL_%s %s; MODEL.CROP_REID.PIXEL_%s is %s",
                    *(variant, key.upper(), [round(value, 3) for value in theirs]),
                    *(key.upper(), list(ours)),
                )
        classifiers = body.default_cfg.get("classifier") or ()
        if isinstance(classifiers, str):
            classifiers = (classifiers,)
        return {
            "body": body,
            "feature_dim": probe_feature_dim(body, cfg),
            "left_out": rf"({'|'.join(map(re.escape, classifiers))})\.(weight|bias)",
        }
