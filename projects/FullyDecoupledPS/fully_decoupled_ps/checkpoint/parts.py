"""What a network's parts start from, and networks put together from published files."""

import logging

from detectron2.config import CfgNode
from torch import nn

from ..errors import UserError
from .checkpointer import PersonSearchCheckpointer
from .crop_weights import load_crop_weights
from .side_net import initialize_side_net

logger = logging.getLogger(__name__)


def initialize_reid(model: nn.Module, cfg: CfgNode) -> None:
    """Give a new f_r the weights that it is trained from.

    Args:
        model: with a trained detector.
        cfg: ``MODEL.CROP_REID.WEIGHTS`` of a two-step network, ``MODEL.REID.SIDE_NET.WEIGHTS`` of
            others.

    Raises:
        UserError: if nothing is said, or it does not fit.
    """
    if not model.is_two_step:
        initialize_side_net(model.reid, cfg.MODEL.REID.SIDE_NET.WEIGHTS, model.detector)
        return
    _load_crop_weights(model, cfg)


def load_parts(model: nn.Module, cfg: CfgNode) -> None:
    """Load a network to use it as it is: a trained one, or one put together from published files.

    Args:
        model: of stage ``reid``, unless ``MODEL.WEIGHTS`` is to be loaded alone.
        cfg: ``MODEL.WEIGHTS`` is the checkpoint of the whole network; or, of a two-step network,
            that of its detector, with ``MODEL.CROP_REID.WEIGHTS`` for the other part.

    Raises:
        UserError: if a part of the network would stay as it is.
    """
    checkpointer, weights = PersonSearchCheckpointer(model), cfg.MODEL.WEIGHTS
    if not model.is_two_step or model.reid is None:
        checkpointer.load_trained(weights)
        return
    try:
        checkpointer.load_detector(weights)
    except UserError as error:
        raise UserError(f"MODEL.WEIGHTS {weights}: {error}") from error
    if checkpointer.has_loaded_reid:
        return
    crop_weights = cfg.MODEL.CROP_REID.WEIGHTS
    if crop_weights in ("", "random"):
        raise UserError(
            f"{weights} holds a detector only, and MODEL.CROP_REID.WEIGHTS is {crop_weights!r}; "
            "name a published file of the network for crops there, or train stage reid first"
        )
    if _load_crop_weights(model, cfg):
        logger.warning(
            "%s was trained on ImageNet, as its 1000 classes say, and not to tell persons apart: "
            "what is similar to it is often another person; take a re-id network, or train stage "
            "reid",
            crop_weights,
        )
    logger.info(
        "The network is put together from published files, as they are: detector %s, crops %s (%s)",
        *(weights, crop_weights, cfg.MODEL.CROP_REID.NAME),
    )


def _load_crop_weights(model: nn.Module, cfg: CfgNode) -> bool:
    return load_crop_weights(model.reid.network, cfg.MODEL.CROP_REID.WEIGHTS)
