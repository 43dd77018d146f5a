"""What a training computes in: chosen once, kept at a resume, and told."""

import logging

from detectron2.config import CfgNode

from ..checkpoint import read_checkpoint
from ..config import last_checkpoint
from ..modeling.precision import channels_last_in_training, name_of, training_type

logger = logging.getLogger(__name__)


def settle_precision(cfg: CfgNode, *, resume: bool) -> None:
    """Turn a ``SOLVER.AMP.ENABLED`` of None into True or False, which the run's config then says.

    Args:
        cfg: of one stage; changed in place.
        resume: whether the run in ``OUTPUT_DIR``, if there is one, is gone on with. Then it is what
            its checkpoint was trained in, on whatever device that was.

    Raises:
        UserError: as :func:`training_type`; or if the checkpoint can't be read.
    """
    if cfg.SOLVER.AMP.ENABLED is not None:
        return
    if resume and (checkpoint := last_checkpoint(cfg.OUTPUT_DIR)):
        # not config.yaml, which any start in the folder writes again
        cfg.SOLVER.AMP.ENABLED = _was_mixed(read_checkpoint(checkpoint).get("trainer", {}))
    else:
        cfg.SOLVER.AMP.ENABLED = training_type(cfg) is not None


def _was_mixed(state: dict) -> bool:
    """Of a checkpoint's "trainer"; one without "precision" has a scaler if it was."""
    if "precision" in state:
        return state["precision"] != "float32"
    return "grad_scaler" in state.get("_trainer", {})


def with_precision(cfg: CfgNode) -> CfgNode:
    """A config whose precision is settled, which the log tells in one line."""
    said = cfg.SOLVER.AMP.ENABLED
    if said is None:
        cfg = cfg.clone()
        cfg.defrost()
        settle_precision(cfg, resume=False)
        cfg.freeze()
    order = "N, H, W, C" if channels_last_in_training(cfg, training_type(cfg)) else "N, C, H, W"
    logger.info(
        "Training computes in %s (SOLVER.AMP.ENABLED %s), with maps in memory as %s "
        "(MODEL.CHANNELS_LAST %s)",
        *(precision_of(cfg), cfg.SOLVER.AMP.ENABLED, order, cfg.MODEL.CHANNELS_LAST),
    )
    return cfg


def precision_of(cfg: CfgNode) -> str:
    """ "float32", "bfloat16" or "float16"."""
    return name_of(training_type(cfg))


def tell_other_precision(state: dict, precision: str) -> None:
    """Say that a run goes on in another precision than it began with.

    Args:
        state: a checkpoint's "trainer".
        precision: as of :func:`precision_of`.
    """
    began = state.get("precision", precision)
    if began != precision:
        logger.warning(
            "The run began in %s, and goes on in %s: another device, or another "
            "SOLVER.AMP.ENABLED than before",
            *(began, precision),
        )
