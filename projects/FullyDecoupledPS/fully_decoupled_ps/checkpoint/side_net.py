"""What a new side-net's weights start from."""

import logging
import re

from detectron2.utils.file_io import PathManager
from torch import nn

from ..errors import UserError
from ..modeling import StagedSideNet
from .blocks import blocks_of
from .checkpointer import PersonSearchCheckpointer, misfits_of, trained_names
from .reading import read_checkpoint

logger = logging.getLogger(__name__)


def initialize_side_net(reid: nn.Module, weights: str, detector: nn.Module) -> None:
    """Give a new branch's conv3, conv4 and conv5 the values that they are trained from.

    Args:
        reid: the branch; its side-net has ``res3`` and ``res4``, its head conv5, which files call
            ``res5``.
        weights: "detector", for a copy of the detector's layers of those names; "random"; or the
            path or URL of an ImageNet checkpoint, which is loaded into the side-net alone
            (Detectron2's matching by ends of names can't tell two ``res3`` apart in one model).
        detector: the trained f_d.

    Raises:
        UserError: if ``weights`` is empty, or names something without one of the layers.
    """
    if not hasattr(reid, "side_net"):  # of a coupled network: the detector's own layers
        return
    if weights == "random":
        logger.warning(
            "The side-net starts from random weights, as MODEL.REID.SIDE_NET.WEIGHTS says"
        )
        return
    if not weights:
        raise UserError(
            "MODEL.REID.SIDE_NET.WEIGHTS is empty; name an ImageNet checkpoint, "
            'or say "detector" (a copy of the detector\'s own layers) or "random"'
        )
    side_net = reid.side_net
    if hasattr(reid, "head"):  # COAT's heads have transformers, which start at random
        side_net.res5 = reid.head.conv5
    try:
        if weights == "detector":
            checkpoint = {"model": _detector_layers(detector)}
        else:
            path = PathManager.get_local_path(weights)
            checkpoint = read_checkpoint(path, keeps_names=isinstance(side_net, StagedSideNet))
            checkpoint["model"] = side_net.rename_published(checkpoint["model"])
        incompatible = PersonSearchCheckpointer(side_net)._load_model(checkpoint)
        _report_side_net(side_net, weights, incompatible)
    except (OSError, UserError) as error:
        raise UserError(f"MODEL.REID.SIDE_NET.WEIGHTS {weights}: {error}") from error
    finally:
        side_net._modules.pop("res5", None)


def _report_side_net(side_net: nn.Module, weights: str, incompatible) -> None:
    """Log what was and what was not taken; refuse conv3, conv4 and conv5 of another network."""
    misfits = misfits_of(incompatible)
    # a detector under a pyramid has none to copy
    copied = misfits if weights == "detector" else ()
    final_norm = {name for name in copied if name.startswith("res5.norm.")}
    # the file of a deeper network has all of a shallower one's blocks, and more of them
    blocks = {_block_of(name) for name in side_net.state_dict()}
    layers = {block.split(".")[0] for block in blocks}  # a side-net may do without its conv5
    surplus = {
        name
        for name in incompatible.unexpected_keys
        if name.split(".")[0] in layers and _block_of(name) not in blocks
    }
    for names, fault in (
        (misfits - final_norm, "of the side-net are not in it or have another shape"),
        (surplus, "in it have no place in the side-net"),
    ):
        wrong = sorted(name for name in names if name.startswith(("res3.", "res4.", "res5.")))
        if wrong:
            raise UserError(
                f"{len(wrong)} tensors {fault}, {wrong[0]} among them; {_other_weights(weights)}"
            )
    expected = trained_names(side_net)
    logger.info(
        "The side-net starts from %s: %d of its %d tensors are taken; new are %s; "
        "of the file, not taken are %s",
        weights,
        len(expected - misfits),
        len(expected),
        _modules_of((expected & misfits) - final_norm) + ", res5.norm" * bool(final_norm),
        _modules_of(incompatible.unexpected_keys),
    )


def _other_weights(weights: str) -> str:
    if weights != "detector":
        return "use weights of its architecture"
    return (
        "f_r is full where the detector is lighter (MODEL.DETECTOR.BLOCKS), or of another depth: "
        'name an ImageNet checkpoint of its own, or say "random"'
    )


def _block_of(name: str) -> str:
    """ "res3.2" for the name of any tensor in it."""
    found = blocks_of([name])
    return str(found.pop()) if found else ".".join(name.split(".")[:2])


def _modules_of(names) -> str:
    """ "res2, stem" for the names of any tensors in these."""
    return ", ".join(sorted({name.split(".")[0] for name in names})) or "none"


def _detector_layers(detector: nn.Module) -> dict:
    """The detector's ``res3``, ``res4`` and ``res5``, wherever they stand, by their short names."""
    state = {}
    for name, value in detector.state_dict().items():
        match = re.search(r"(?:^|\.)(res[345]\..*)", name)
        if match:
            state[match[1]] = value
    return state
