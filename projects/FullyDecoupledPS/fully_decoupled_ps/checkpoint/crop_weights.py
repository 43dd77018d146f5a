"""Published weights of networks for crops."""

import logging
import re

import torch
from detectron2.utils.file_io import PathManager

from ..errors import UserError
from .checkpointer import trained_names
from .crop_names import name_of_crop_network
from .reading import check_state_dict, read_content, without_prefixes

logger = logging.getLogger(__name__)

# Where the writers of files put the weights, beside an optimizer, an epoch and the like.
_ENVELOPES = ("state_dict", "model_state_dict", "model")
IMAGENET_CLASSES = 1000
# Where a person-search network or a detector has the tensors of torchvision's ResNet.
_BACKBONE = r"backbone\.(?:body\.)?((?:conv1|bn1|layer\d\.\d+)\..*)"
_HEADS = ("roi_heads.reid_head.", "roi_heads.box_head.")  # the first that is there has layer4


def load_crop_weights(network, weights: str) -> bool:
    """Load a published file into a network for crops, by the file's own names.

    Files of torchvision, torchreid, fast-reid and timm are taken, and what training has written of
    those: the weights in an envelope of other things. Of a person-search network the ResNet in it
    is taken. What was taken and what was left is logged. Nothing that a file asks to run is run.

    Args:
        network: a :class:`~fully_decoupled_ps.modeling.crop_reid.CropNetwork`.
        weights: the path or URL of a file, or "random" for weights to be trained from nothing.

    Returns:
        bool: whether the file's classifier has ImageNet's number of classes: it is a start of
        training, and no re-id network.

    Raises:
        UserError: if nothing is said, the file can't be read, a tensor of the network is not in it,
            or a tensor in it that is needed has no place in the network.
    """
    if network.is_file:
        return False
    if weights == "random":
        logger.warning(
            "%s starts from random weights, as MODEL.CROP_REID.WEIGHTS says: its features mean "
            "nothing until it is trained",
            network.name,
        )
        return False
    if not weights:
        raise UserError(
            f"MODEL.CROP_REID.WEIGHTS is empty; name a published file of {network.name} (path or "
            'URL), or say "random"'
        )
    try:
        path = PathManager.get_local_path(weights)
        return _fill(network, _unwrap(path, read_content(path)), weights)
    except (OSError, UserError) as error:
        raise UserError(f"MODEL.CROP_REID.WEIGHTS {weights}: {error}") from error


def _unwrap(path: str, content) -> dict[str, torch.Tensor]:
    """A file's weights without what is around them and before all of their names."""
    while isinstance(content, dict):
        inner = next((content[k] for k in _ENVELOPES if isinstance(content.get(k), dict)), None)
        if inner is None:
            break
        content = inner
    check_state_dict(path, content)
    return without_prefixes({name: torch.as_tensor(value) for name, value in content.items()})


def _fill(network, state: dict, weights: str) -> bool:
    """Give a network a file's tensors; refuse a file of another network."""
    part = _resnet_inside(state)
    own = network.state_dict()
    read = {n: state[old] for n, old in part.items()} or state
    published = network.rename_published(read)
    if len(published) < len(read):
        raise UserError(
            f"{len(read) - len(published)} of its {len(read)} tensors have the place of another in "
            f"{network.name}; {_resemblance(state, network.name)}"
        )
    taken = {n: v for n, v in published.items() if n in own and v.shape == own[n].shape}
    expected = trained_names(network)
    missing = sorted(expected - taken.keys())
    left = sorted(published.keys() - own.keys())
    surplus = [name for name in left if not re.fullmatch(network.left_out, name)]
    for names, fault in (
        (missing, f"of the {len(expected)} tensors of NAME are not in it or have another shape"),
        (surplus, f"of its {len(published)} tensors have no place in NAME"),
    ):
        if names:
            raise UserError(
                f"{len(names)} {fault.replace('NAME', network.name)}, {names[0]} among them; "
                f"{_resemblance(state, network.name)}"
            )
    _refuse_no_weights(taken, own)
    network.load_state_dict(taken, strict=False)
    if part:
        left += sorted(state.keys() - set(part.values()))
        logger.warning(
            "%s is of a whole person-search network or detector: %s takes the ResNet in it, "
            "without what makes re-id features of its maps. It is a start of training",
            weights,
            network.name,
        )
    logger.info(
        "%s starts from %s: all of its %d tensors are taken; of the file, %d are not taken: %s",
        network.name,
        weights,
        len(expected),
        len(left),
        _heads_of(left),
    )
    classifiers = [published[n] for n in left if n in published and n.endswith(".weight")]
    return any(weight.dim() == 2 and len(weight) == IMAGENET_CLASSES for weight in classifiers)


def _refuse_no_weights(taken: dict, own: dict) -> None:
    """
    Raises:
        UserError: if a tensor is quantised, or has numbers that are none, and the network's not.
    """
    for name, value in taken.items():
        if own[name].is_floating_point() and not value.is_floating_point():
            kind = str(value.dtype).removeprefix("torch.")
            raise UserError(
                f"its {name} is of type {kind}, where floating-point numbers are expected; take a "
                "file that is not quantised"
            )
        if own[name].isfinite().all() and not value.isfinite().all():
            raise UserError(
                f"its {name} has numbers that are not finite: its training has diverged, or the "
                "file is damaged; take another"
            )


def _resnet_inside(state: dict) -> dict[str, str]:
    """torchvision's names of the ResNet in another network -> the names that they have there.

    Empty if there is none, or if ``state`` is fast-reid's, which is of a network for crops itself.
    """
    if any(name.startswith("heads.") for name in state):
        return {}
    head = next((h for h in _HEADS if any(name.startswith(f"{h}layer4.") for name in state)), None)
    part = {}
    for name in state:
        if match := re.fullmatch(_BACKBONE, name):
            part[match[1]] = name
        elif head and name.startswith(f"{head}layer4."):
            part[name.removeprefix(head)] = name
    return part


def _heads_of(names: list[str]) -> str:
    """ "roi_heads.embedding_head, rpn.head" for the names of any tensors in these."""
    return ", ".join(sorted({".".join(n.split(".")[:-1][:2]) or n for n in names})) or "none"


def _resemblance(state: dict, name: str) -> str:
    """What a file that does not fit looks like, and what to do with it."""
    known = name_of_crop_network(state)
    if known and known != name:
        return f"it looks like {known}: set MODEL.CROP_REID.NAME to that"
    if known:
        return f"it is of another variant of {name}, which no NAME stands for"
    heads = {n.split(".")[0] for n in state}
    if heads & {"detector", "reid"}:
        return "it looks like a whole network of this project, which MODEL.WEIGHTS names"
    if heads & {"proposal_generator", "roi_heads", "rpn", "roi_head", "bbox_head", "head"}:
        return "it looks like a detector, which MODEL.WEIGHTS names"
    first = ", ".join(list(state)[:3]) or "none"
    return f"the first names in it are {first}; take a file of MODEL.CROP_REID.NAME"
