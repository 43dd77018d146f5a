"""Published weight files of the networks that a detector's staged backbone is made of."""

import logging

from torch import nn

from ..modeling import Stage, StagedBackbone
from .blocks import blocks_of, surplus_blocks

logger = logging.getLogger(__name__)

# How a network's own tensors and a detector's begin; no published classifier has such names.
_OWN = ("detector.", "reid.", "backbone.", "proposal_generator.", "roi_heads.")


def staged_backbone(detector: nn.Module | None) -> StagedBackbone | None:
    """A detector's staged backbone, if it has one."""
    modules = detector.modules() if detector is not None else ()
    return next((m for m in modules if isinstance(m, StagedBackbone)), None)


def place_published(detector: nn.Module, state: dict, prefix: str) -> tuple[dict, set[str]]:
    """
    Args:
        detector: with a staged backbone, and perhaps its last stage in a head.
        state: of any file.
        prefix: of the detector's names in the whole network.

    Returns:
        tuple: a published file's tensors by the network's names; the names of all of the network's
        tensors that such a file has to fill. Of other files, ``state`` itself, and no names.
    """
    backbone = staged_backbone(detector)
    if backbone is None or any(name.startswith(_OWN) for name in state):
        return state, set()
    # "res3" of the file -> "detector.backbone.res3"
    places = {
        path.rpartition(".")[2]: f"{prefix}{path}"
        for path, module in detector.named_modules()
        if isinstance(module, Stage)
    }
    placed = {}
    for name, value in backbone.rename_published(state).items():
        stage, dot, rest = name.partition(".")
        placed[places.get(stage, stage) + dot + rest] = value
    stages = tuple(f"{place}." for place in places.values())
    own = {f"{prefix}{name}" for name in detector.state_dict()}
    return placed, {n for n in own if n.startswith(stages) and not n.endswith("_tracked")}


def tell_published(wanted: set[str], misfits: set[str], unexpected: list[str]) -> None:
    """Log what a published file has given to a detector, but for blocks, which are told of apart.

    Args:
        wanted: as :func:`place_published` returns.
        misfits: names that the file did not fill.
        unexpected: names in the file that the network has no place for.
    """
    surplus = set(surplus_blocks(wanted, unexpected))
    others = (name for name in unexpected if not blocks_of([name]) & surplus)
    left = sorted({name.rpartition(".")[0] for name in others})
    logger.info(
        "The backbone starts from a published file: %d of its %d tensors are taken; of the file, "
        "not taken are %s; the rest of the detector is new",
        *(len(wanted - misfits), len(wanted), ", ".join(left) or "none"),
    )
