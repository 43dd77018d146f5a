"""What a training computes in: chosen once, kept at a resume, and told."""

import logging

from detectron2.config import CfgNode
from detectron2.utils import comm

from ..checkpoint import read_checkpoint
from ..config import last_checkpoint, run_config, value_in
from ..modeling.precision import channels_last_in_training, name_of, training_type

logger = logging.getLogger(__name__)

# Of a checkpoint that does not tell which type.
REDUCED = "reduced precision"


def settle_precision(cfg: CfgNode, *, resume: bool = False, eval_only: bool = False) -> None:
    """Turn a ``SOLVER.AMP.ENABLED`` of None into True or False, which the run's config then says.

    All processes of a training call it together; it is mixed if all of their devices are for it.

    Args:
        cfg: of one stage; changed in place.
        resume: whether the run in ``OUTPUT_DIR``, if there is one, is gone on with. Then it is what
            its checkpoint was trained in, on whatever device that was.
        eval_only: whether nothing is trained. Then it stays what the run's ``config.yaml`` says,
            which is about to be written again.

    Raises:
        UserError: as :func:`training_type`; or if the checkpoint can't be read.
    """
    if cfg.SOLVER.AMP.ENABLED is not None:
        return
    checkpoint = last_checkpoint(cfg.OUTPUT_DIR)
    if eval_only:
        cfg.SOLVER.AMP.ENABLED = value_in(run_config(checkpoint), "SOLVER.AMP.ENABLED")
        return
    if resume and checkpoint:
        # not config.yaml, which any start in the folder writes again
        began = _precision_in(read_checkpoint(checkpoint).get("trainer", {}))
        is_mixed = began not in ("", "float32")
    else:
        is_mixed = training_type(cfg) is not None
    cfg.SOLVER.AMP.ENABLED = all(comm.all_gather(is_mixed))  # processors may be unlike


def _precision_in(state: dict) -> str:
    """What a checkpoint with this "trainer" was trained in; "": not known.

    One without "precision" has a scaler if it was trained in reduced precision.
    """
    if "precision" in state or "_trainer" not in state:
        return state.get("precision", "")
    return REDUCED if "grad_scaler" in state["_trainer"] else "float32"


def with_precision(cfg: CfgNode) -> CfgNode:
    """A config whose precision is settled, which the log tells in one line."""
    said = cfg.SOLVER.AMP.ENABLED
    if said is None:
        cfg = cfg.clone()
        cfg.defrost()
        settle_precision(cfg)
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
    began = _precision_in(state)
    same = ("", precision) if precision == "float32" else ("", precision, REDUCED)
    if began not in same:
        logger.warning(
            "The run began in %s, and goes on in %s: another device, or another "
            "SOLVER.AMP.ENABLED than before",
            *(began, precision),
        )
