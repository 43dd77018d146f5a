"""What of a checkpoint's "trainer" a resumed run goes on from, and what it is refused for.

``trainer`` holds, beside Detectron2's "iteration" and "hooks" (the schedule's state and
:class:`.hooks.LossNormalizers`):

* "_trainer": the optimiser's state (Detectron2 v0.6 itself leaves it out), and AMP's scaler;
* "stage": ``SOLVER.STAGE``;
* "precision": what it computed in, see :mod:`.precision`;
* "stream": of the training data, see :meth:`.data.TrainLoader.state_dict`;
* "training_data": its fingerprint, see :mod:`.data.fingerprint`.
"""

import logging

from detectron2.engine import AMPTrainer, SimpleTrainer

from ..data import TrainLoader, differences
from ..errors import UserError

logger = logging.getLogger(__name__)


def check_resumable(state: dict, stage: str, training_data: dict) -> None:
    """
    Args:
        state: a checkpoint's "trainer".
        stage, training_data: of the run that is to go on from it.

    Raises:
        UserError: if they are others; a row of the memory would then stand for another person.
    """
    if state.get("stage", stage) != stage:
        raise UserError(
            f"--resume: the checkpoint is of stage {state['stage']}, and SOLVER.STAGE is {stage}; "
            "leave --resume out, and name it with MODEL.WEIGHTS"
        )
    changes = differences(state.get("training_data", training_data), training_data)
    if changes:
        raise UserError(
            f"--resume: the training data is not that of the checkpoint ({changes}); restore the "
            "data, or train on the new one from the start, in another OUTPUT_DIR"
        )


def restore_optimizer(trainer: SimpleTrainer, state: dict) -> None:
    """Restore the optimiser, if the checkpoint holds it.

    Raises:
        UserError: if it is of another network, or of another kind.
    """
    if "_trainer" not in state:
        logger.warning(
            "The checkpoint was written without the optimiser's state, as Detectron2 v0.6 does: "
            "its momentum starts from zero"
        )
        return
    saved = state["_trainer"]
    if isinstance(trainer, AMPTrainer) and not saved.get("grad_scaler"):
        # trained in float32, or on a CPU: the losses' scale begins as in a new run
        saved = {**saved, "grad_scaler": trainer.grad_scaler.state_dict()}
    try:
        trainer.load_state_dict(saved)
    except (KeyError, ValueError) as error:
        raise UserError(
            f"--resume: the checkpoint's optimiser doesn't fit this run ({error}); use the config "
            "that it was written with (SOLVER.OPTIMIZER and the network)"
        ) from error


def restore_stream(loader: TrainLoader, state: dict) -> None:
    """Let the training data go on where they were."""
    loader.start_at(state["iteration"] + 1, state.get("stream"))
    if "stream" not in state:
        logger.info(
            "The checkpoint was written without the seed of its training data, and without their "
            "fingerprint: whether they are the same can't be checked, and their order is that of "
            "a run with seed %d from iteration %d on",
            loader.seed,
            loader.first_iteration,
        )


def warn_of_other_data(of_detector: dict | None, training_data: dict) -> None:
    """Say that f_r is trained on other data than the f_d that it starts from; it can be meant."""
    changes = of_detector and differences(of_detector, training_data)
    if changes:
        logger.warning("The detector was trained on other data than this stage is (%s)", changes)
