"""The trained network, as the application sees it."""

import logging
import os

from fully_decoupled_ps import predictor, ready
from fully_decoupled_ps.predictor import InputMapper, PersonDetections, Predictor

from .errors import UserError, translated
from .index import IndexInfo

__all__ = [
    "PersonDetections",
    "InputMapper",
    "Predictor",
    "check_precision",
    "choose_network",
    "choose_precision",
    "load_network",
]

logger = logging.getLogger(__name__)


def choose_network(model: str, weights: str, info: IndexInfo | None) -> tuple[str, str]:
    """What :func:`load_network` is to load.

    Args:
        model, weights: what the user says; "": nothing.
        info: of the index, whose own network is taken where nothing is said; None: there is none
            yet, and the default ready network is taken.

    Raises:
        UserError: if the index's network is not there, or weights are named of no network.
    """
    if model:
        if ready.is_ready_name(model) and os.path.exists(model):
            logger.info("--model %s is the ready network; the file or folder is ./%s", model, model)
        return model, weights
    if info is None:
        if weights:
            raise UserError(f"--weights {weights} needs --model: the network that it belongs to")
        logger.info(
            "Network: %s, as no --model is named (person-search models)", ready.DEFAULT_NETWORK
        )
        return ready.DEFAULT_NETWORK, ""
    if not (ready.is_ready_name(info.model) or os.path.exists(info.model)):
        raise UserError(
            f"the network that made the index is not at {info.model} any more, or can't be "
            "reached there; say with --model where it is"
        )
    return info.model, weights or info.weights


def choose_precision(asked: str, info: IndexInfo | None) -> str:
    """What :func:`load_network` is to compute in, so that all of an index is computed alike.

    Args:
        asked: what the user says; "": nothing.
        info: of the index; None: there is none yet.

    Raises:
        UserError: if the index was made in another precision.
    """
    if info is None:
        return asked or "auto"
    if info.precision:
        check_precision(asked, info.precision)
    return info.precision


def check_precision(asked: str, made_in: str) -> None:
    """Refuse what the user says, if an index is made in another precision.

    One that notes none is computed as its network's config says, which is known once that is
    loaded.

    Raises:
        UserError: as :func:`choose_precision`.
    """
    if asked not in ("", "auto", made_in):
        raise UserError(
            f"--precision {asked}: the index was made in {made_in}; leave the option out, or make "
            "a new index"
        )


# With this package's UserError
load_network = translated()(predictor.load_network)
