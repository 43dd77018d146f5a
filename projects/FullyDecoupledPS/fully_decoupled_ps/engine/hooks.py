"""Hooks of the training loop that make a resumed run equal to an uninterrupted one."""

import logging
from collections import Counter

from detectron2.engine import HookBase
from detectron2.modeling.meta_arch.dense_detector import DenseDetector
from detectron2.utils import comm
from torch import nn

from ..data import TrainLoader, seed_iteration

logger = logging.getLogger(__name__)


class SeedIterations(HookBase):
    """Seeds every iteration by its number.

    What the network draws (proposals, box noise) is then the same after a resume, in every process,
    and whether or not an evaluation or a hook has drawn from the same generators in between. States
    of generators in a checkpoint would do for the process alone that writes it.
    """

    def __init__(self, loader: TrainLoader):
        self._loader = loader

    def before_step(self):
        seed_iteration(self._loader.seed, self.trainer.iter)


class LossNormalizers(HookBase):
    """Keeps what Detectron2's dense detectors divide their losses by.

    It is a running mean of each process, and a plain attribute, which no state dict holds. The
    processes' values are gathered just before the first one writes a checkpoint, so that this hook
    must stand before the one that writes.
    """

    def __init__(self, model: nn.Module, checkpoint_period: int):
        self._detectors = [m for m in model.modules() if isinstance(m, DenseDetector)]
        self._period = checkpoint_period
        self._of_processes = []

    def after_step(self):
        done = self.trainer.iter + 1
        if self._detectors and (done % self._period == 0 or done >= self.trainer.max_iter):
            own = [getattr(detector, "loss_normalizer", None) for detector in self._detectors]
            self._of_processes = comm.gather(own)

    def state_dict(self):
        return {"of_processes": self._of_processes} if self._of_processes else {}

    def load_state_dict(self, state_dict):
        of_processes = state_dict["of_processes"]
        # of more processes than there were, the others take the first one's
        own = of_processes[comm.get_rank() if comm.get_rank() < len(of_processes) else 0]
        for detector, value in zip(self._detectors, own, strict=True):
            if value is not None:
                detector.loss_normalizer = value


class LeftOutImages(HookBase):
    """Logs how many images were left out of the training so far because they can't be read.

    At its end, in each process, also how many files these were, and of how many others the reader
    has told something.
    """

    def __init__(self, loader: TrainLoader):
        self._loader = loader

    def after_step(self):
        if self._loader.num_left_out:
            self.trainer.storage.put_scalar(
                "data/unreadable_images", self._loader.num_left_out, smoothing_hint=False
            )

    def after_train(self):
        if self._loader.num_left_out:
            logger.warning(
                "%d image(s) could not be read; other frames took their places %d times",
                *(len(self._loader.files_left_out), self._loader.num_left_out),
            )
        for note, number in Counter(self._loader.notes.values()).items():
            logger.warning("%d image(s) each of which %s", number, note)
