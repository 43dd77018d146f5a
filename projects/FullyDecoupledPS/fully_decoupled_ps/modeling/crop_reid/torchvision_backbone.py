"""torchvision's classification networks without their classifier."""

import re

import torchvision
from torch import nn

from ...errors import UserError
from .backbone import BackboneNetwork, probe_feature_dim
from .crop_network import register_as

# These two have further classifiers inside for their training, and take ImageNet's mean and
# deviation off the crops only to apply others, as torchvision does for its published weights.
_INCEPTION = {"aux_logits": False, "init_weights": True, "transform_input": True}
_OPTIONS = {"googlenet": _INCEPTION, "inception_v3": _INCEPTION}


@register_as("torchvision")
class TorchvisionBackbone(BackboneNetwork):
    """``torchvision:NAME``: a classification network of torchvision up to its last linear layer.

    Takes torchvision's own files (BSD-3-Clause; trained on ImageNet, whose terms hold besides): a
    start of training, no re-id network. ``torchvision:resnet50`` takes torchreid's files of
    ``resnet50`` in deep-person-reid's model zoo too (MIT licence; trained on Market-1501,
    DukeMTMC-reID or MSMT17, as a file's name says), whose crops are 256 x 128, RGB, with ImageNet's
    mean and deviation, and of person-search files, such as SeqNet's, the ResNet that is in them.
    """

    @classmethod
    def from_config(cls, cfg, variant: str):
        name = cfg.MODEL.CROP_REID.NAME
        known = torchvision.models.list_models(module=torchvision.models)
        if variant not in known:
            raise UserError(
                f"MODEL.CROP_REID.NAME is {name!r}; of torchvision there are {', '.join(known)}"
            )
        body = torchvision.models.get_model(variant, weights=None, **_OPTIONS.get(variant, {}))
        last, layer = list(body.named_modules())[-1]
        if not isinstance(layer, nn.Linear):
            raise UserError(
                f"MODEL.CROP_REID.NAME is {name!r}, which does not end in a linear classifier that "
                "could be taken off; take another of torchvision's networks"
            )
        parent, _, child = last.rpartition(".")
        setattr(body.get_submodule(parent), child, nn.Identity())
        return {
            "body": body,
            "feature_dim": probe_feature_dim(body, cfg),
            # torchreid calls it "classifier"; the further ones of _INCEPTION are at the end
            "left_out": rf"({re.escape(last)}|classifier)\.(weight|bias)|(aux\d|AuxLogits)\..*",
        }

    def rename_published(self, state: dict) -> dict:
        # the names of DenseNets' files are of a time when they could have more dots
        undotted = {
            re.sub(r"(\.denselayer\d+\.(?:norm|conv))\.([12])\.", r"\1\2.", name): value
            for name, value in state.items()
        }
        return super().rename_published(undotted)
