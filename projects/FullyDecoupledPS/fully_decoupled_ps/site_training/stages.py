"""The steps of the work: training a stage, evaluating a network, trying a batch."""

import glob
import logging
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from detectron2.config import CfgNode
from detectron2.engine import HookBase, default_argument_parser
from detectron2.utils.events import EventStorage

from .. import train_net
from ..checkpoint import load_parts
from ..config import last_checkpoint
from ..engine.trainer import Trainer
from ..errors import UserError
from ..modeling.inference_form import prepare_for_inference
from ..utils.progress import with_progress
from .console import quiet_console
from .data import TEST, TRAIN
from .options import REID, options_of
from .start import Start

logger = logging.getLogger(__name__)

TRIED_STEPS = 3  # after one in which everything is allocated
TRIED_FRAMES = 3
# Of a GPU's memory; pictures with more persons than those of the trial need more than it did.
LARGEST_SHARE = 0.85
SECONDS_BETWEEN_LINES = 30.0


class SiteTrainer(Trainer):
    """The trainer, which tells how far an evaluation is."""

    @classmethod
    def build_test_loader(cls, cfg, dataset_name):
        return with_progress(super().build_test_loader(cfg, dataset_name), "test frames")


class TellProgress(HookBase):
    """A line in the log now and then: iterations, loss, time left."""

    def before_train(self):
        self._begun = self._last = time.monotonic()

    def after_step(self):
        now, trainer = time.monotonic(), self.trainer
        done, left = trainer.iter + 1 - trainer.start_iter, trainer.max_iter - trainer.iter - 1
        if left and now - self._last < SECONDS_BETWEEN_LINES:
            return
        self._last = now
        loss = trainer.storage.history("total_loss").median(20)
        logger.info(
            "stage %s: iteration %d of %d, loss %.3g, %s left",
            *(trainer.cfg.SOLVER.STAGE, trainer.iter + 1, trainer.max_iter, loss),
            duration((now - self._begun) / done * left),
        )


class KeepLastCheckpoint(HookBase):
    """Removes the checkpoints before the last one, which nobody goes on from."""

    def after_step(self):
        cfg = self.trainer.cfg
        if (self.trainer.iter + 1) % cfg.SOLVER.CHECKPOINT_PERIOD:
            return
        kept = last_checkpoint(cfg.OUTPUT_DIR)
        for path in glob.glob(os.path.join(glob.escape(cfg.OUTPUT_DIR), "model_[0-9]*.pth")):
            if path != kept:
                os.remove(path)


@dataclass(frozen=True)
class Job:
    """What is the same in all steps.

    Attributes:
        folder: the output folder, absolute.
        start: what is trained further.
        opts: ``KEY VALUE`` pairs of the command line.
        device: "cpu" or "cuda...".
    """

    folder: str
    start: Start
    opts: list[str]
    device: str

    def setup(
        self, stage: str, config: str, output: str, weights: list[str], *, test: bool = False
    ) -> CfgNode:
        """The checked config of one step, whose log is begun.

        Args:
            config: as text.
            output: folder above that of the stage.
            weights: options that name them.
            test: whether the test set is evaluated on, and not the training set trained on.
        """
        Path(output).mkdir(parents=True, exist_ok=True)
        config_file = os.path.join(output, f"{stage}.yaml")
        Path(config_file).write_text(config)
        opts = [
            *("SOLVER.STAGE", stage, "OUTPUT_DIR", output, "MODEL.DEVICE", self.device),
            *("DATASETS.TRAIN", f"('{TRAIN}',)"),
            *("DATASETS.TEST", f"('{TEST}',)" if test else "()"),
            *weights,
            *options_of(stage, self.opts),
        ]
        flags = ["--config-file", config_file, "--eval-only" if test else "--resume"]
        return train_net.setup(default_argument_parser().parse_args([*flags, *map(str, opts)]))


def train_stage(job: Job, stage: str, config: str, weights: list[str]) -> None:
    """Train a stage, or go on with it where it was stopped, in its folder of ``job.folder``.

    Raises:
        UserError: the loss has diverged, or memory has run out.
    """
    with quiet_console():
        cfg = job.setup(stage, config, job.folder, weights)
        trainer = SiteTrainer(cfg)
        trainer.register_hooks([TellProgress(), KeepLastCheckpoint()])
        trainer.resume_or_load(resume=True)
        if trainer.start_iter:
            logger.info("stage %s goes on after iteration %d", stage, trainer.start_iter)
        try:
            trainer.train()
        except torch.cuda.OutOfMemoryError as error:
            batch = cfg.SOLVER.IMS_PER_BATCH
            raise UserError(
                f"stage {stage} ran out of memory with {batch} frames in a batch; say "
                f"SOLVER.IMS_PER_BATCH {max(1, batch // 2)}, and another --output"
            ) from error


def evaluate(job: Job, config: str, output: str, weights: list[str], opts: list[str]) -> None:
    """Evaluate a network on the test set; the files are in ``output/reid/inference/<TEST>``.

    Args:
        opts: in place of the command line's.
    """
    job = Job(job.folder, job.start, opts, job.device)
    saved = ["TEST.SEARCH.SAVE_PREDICTIONS", True]
    with quiet_console():
        cfg = job.setup(REID, config, output, [*weights, *saved], test=True)
        model = SiteTrainer.build_model(cfg)
        load_parts(model, cfg)
        prepare_for_inference(model, cfg)
        SiteTrainer.test(cfg, model)


def evaluation_folder(output: str) -> Path:
    """Where :func:`evaluate` puts its files."""
    return Path(output, REID, "inference", TEST)


# --- trying ----------------------------------------------------------------------------------


def try_batch(job: Job, stage: str, cfg: CfgNode, batch: int) -> tuple[int, float]:
    """Train a few steps, in a folder that is thrown away.

    Returns:
        the batch, or the largest half, quarter and so on of it that memory has room for; and the
        seconds that a step takes.
    """
    while True:
        try:
            return batch, _seconds_per_step(job, stage, cfg, batch)
        except torch.cuda.OutOfMemoryError as error:
            if batch == 1:
                raise UserError(
                    f"stage {stage} does not fit into the memory of {job.device}, even with one "
                    "frame in a batch; give smaller INPUT.MIN_SIZE_TRAIN and MAX_SIZE_TRAIN"
                ) from error
        torch.cuda.empty_cache()
        batch //= 2


def _seconds_per_step(job: Job, stage: str, cfg: CfgNode, batch: int) -> float:
    tried = ["SOLVER.IMS_PER_BATCH", str(batch), "SOLVER.STEPS", "()"]
    with tempfile.TemporaryDirectory() as folder, quiet_console(logging.ERROR):
        trial = Job(folder, job.start, [*options_of(stage, job.opts), *tried], job.device)
        trainer = SiteTrainer(trial.setup(stage, cfg.dump(), folder, job.start.weights))
        trainer.resume_or_load(resume=False)
        with EventStorage() as trainer.storage:
            for trainer.iter in range(1 + TRIED_STEPS):
                if trainer.iter == 1:
                    begun = time.perf_counter()
                trainer.run_step()
                _wait_for(job.device)
        seconds = (time.perf_counter() - begun) / TRIED_STEPS
    if job.device.startswith("cuda"):
        _, total = torch.cuda.mem_get_info(job.device)
        used = torch.cuda.max_memory_reserved(job.device)
        torch.cuda.reset_peak_memory_stats(job.device)
        if used > LARGEST_SHARE * total:
            raise torch.cuda.OutOfMemoryError("nearly")
    return seconds


def seconds_per_test_frame(job: Job, config: str, opts: list[str]) -> float:
    """With the start's weights, on the first frames of the test set.

    Args:
        config, opts: as of :func:`evaluate`.
    """
    trial = Job(job.folder, job.start, opts, job.device)
    with tempfile.TemporaryDirectory() as folder, quiet_console(logging.ERROR):
        cfg = trial.setup(REID, config, folder, job.start.weights, test=True)
        model = SiteTrainer.build_model(cfg)
        load_parts(model, cfg)
        prepare_for_inference(model, cfg)
        frames = 0
        with torch.no_grad():
            for batch in Trainer.build_test_loader(cfg, TEST):
                if frames == 0:  # the first one allocates
                    model(batch)
                    begun = time.perf_counter()
                model(batch)
                _wait_for(job.device)
                frames += len(batch)
                if frames >= TRIED_FRAMES:
                    break
        return (time.perf_counter() - begun) / frames


def _wait_for(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def duration(seconds: float) -> str:
    """In words, as "40 s", "12 min" or "3.5 h"."""
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"
