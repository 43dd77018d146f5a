"""What is chosen for a training, from the data, the machine and the command line; with reasons."""

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from detectron2.config import CfgNode
from tabulate import tabulate

from ..config import merge_config
from ..errors import UserError
from .amounts import Amounts
from .options import DETECTION, REID, options_of

# A detector that knows persons already forgets more than it learns from fewer than these. PRW has
# 5,704 frames with 18,000 boxes.
MIN_FRAMES_TO_TUNE, MIN_BOXES_TO_TUNE = 200, 1000
# The paper's schedule: 18 times through the data. A CPU takes seconds for a frame, and a network
# that is tuned, not begun, gains most in the first third of that.
EPOCHS, EPOCHS_ON_CPU = 18, 6
# Fewer, and the schedule is over before the memory of identities is filled; more add little.
MIN_ITERATIONS, MAX_ITERATIONS = 300, 40_000
# The paper's batches, and the learning rates for them; the rate goes with the batch (Goyal et al.,
# 2017, the linear rule). AdamW's is not in the paper.
BATCH = {DETECTION: 8, REID: 5}
BATCH_ON_CPU = 2  # a larger one saves no time there
RATES = {"SGD": 0.003, "AdamW": 0.0003}
# The rate drops to a tenth after this share of the iterations (the paper's, of each stage).
DROP = {DETECTION: 2 / 3, REID: 10 / 18}
MAX_WARMUP = 1000  # iterations; else one time through the data, as in the paper
# On a CPU a small person (10th percentile) has to be so many pixels high, and no more.
PERSON_PIXELS = 60
SMALLER_SIZES = (480, 600)  # of a picture's shorter side
TRAIN_SIZES = (0.8, 0.85, 0.9, 0.95, 1.0)  # of it, one of which a training picture gets
SECONDS_BETWEEN_CHECKPOINTS = 600
WORKERS = 4  # processes that read pictures
SEED = 1  # where the start's config has none

SAID = "said on the command line"
WORDS = {
    "SEED": "seed",
    "DATALOADER.NUM_WORKERS": "processes that read",
    "INPUT.MIN_SIZE_TEST": "shorter side of a picture",
    "IMS_PER_BATCH": "batch",
    "BASE_LR": "learning rate",
    "MAX_ITER": "iterations",
    "STEPS": "rate drops after",
    "WARMUP_ITERS": "warm-up",
    "CHECKPOINT_PERIOD": "saved every",
}

# (stage, config of both, batch) -> that batch, or a smaller one that memory has room for, and the
# seconds that a step takes with it.
TryBatch = Callable[[str, CfgNode, int], tuple[int, float]]


@dataclass
class Plan:
    """
    Attributes:
        stages: those to be trained, in order.
        config: of both stages as text; what differs in stage ``reid`` is in its ``SOLVER.REID``.
        rows: (stage, what, value, reason) of all that was chosen.
        seconds: what takes how long, estimated: each stage, and "before" and "after", the
            evaluations.
    """

    stages: list[str]
    config: str
    rows: list[list[str]]
    seconds: dict[str, float] = field(default_factory=dict)

    def table(self) -> str:
        return tabulate(self.rows, ["stage", "what", "value", "why"], disable_numparse=True)


class Planner:
    """Chooses what the command line does not say; what follows from a value follows from both."""

    def __init__(self, cfg: CfgNode, train: Amounts, opts: Sequence[str], device: str):
        """
        Args:
            cfg: of the start; unchanged.
            train: of the training set.
            opts: ``KEY VALUE`` pairs of the command line, checked.
            device: "cpu" or "cuda...".
        """
        self.cfg, self.train, self.opts = cfg.clone(), train, opts
        self.on_cpu = not device.startswith("cuda")
        self.rows: list[list[str]] = []
        self.seconds: dict[str, float] = {}
        # what a run's config says of its own training and evaluation
        self.cfg.SOLVER.REID = CfgNode(new_allowed=True)
        self.cfg.SOLVER.REFERENCE_WORLD_SIZE = 0
        self.cfg.SOLVER.AMP.ENABLED = None
        self.cfg.TEST.EVAL_PERIOD, self.cfg.TEST.EXPECTED_RESULTS = 0, []

    def plan(self, detector: str, try_batch: TryBatch) -> Plan:
        """
        Args:
            detector: "tune", "freeze", or "auto": by the amount of data.
            try_batch: tries a batch in a stage.
        """
        stages = self._choose_stages(detector)
        self._choose_for_both(DETECTION in stages)
        for stage in stages:
            batch, seconds = self._choose_batch(stage, try_batch)
            self._choose_schedule(stage, batch, seconds)
        return Plan(stages, self.cfg.dump(), self.rows, self.seconds)

    def _choose_stages(self, detector: str) -> list[str]:
        frames, boxes = self.train.frames_with_boxes, self.train.boxes
        tuned = frames >= MIN_FRAMES_TO_TUNE and boxes >= MIN_BOXES_TO_TUNE
        why = (
            f"{frames} frames with {boxes} boxes; with fewer than {MIN_FRAMES_TO_TUNE} and "
            f"{MIN_BOXES_TO_TUNE} it forgets more than it learns"
        )
        if detector != "auto":
            tuned, why = detector == "tune", SAID
        self._tell("both", "detector", "tuned" if tuned else "as it is (frozen)", why)
        return [DETECTION, REID] if tuned else [REID]

    def _choose_for_both(self, tunes_detector: bool) -> None:
        if self.cfg.SEED < 0:
            self._set("SEED", SEED, "so that the training can be repeated")
        cpus = os.cpu_count() or 1
        self._set("DATALOADER.NUM_WORKERS", min(WORKERS, cpus), f"{cpus} CPUs")
        if tunes_detector and self.cfg.MODEL.ROI_HEADS.NAME == "StandardROIHeads":
            # the same, but it does not learn regions to ignore as background
            self.cfg.MODEL.ROI_HEADS.NAME = "PersonStandardROIHeads"
        self._choose_size(tunes_detector)

    def _choose_size(self, tunes_detector: bool) -> None:
        sizes, own = self.cfg.INPUT, self.cfg.INPUT.MIN_SIZE_TEST
        size, why = own, "the network's own"
        if self.on_cpu and tunes_detector:
            shares = {s: s * self.train.height for s in SMALLER_SIZES if s < own}
            size = next((s for s, pixels in shares.items() if pixels >= PERSON_PIXELS), own)
        if size != own:
            why = f"faster on a CPU, and small persons are still {shares[size]:.0f} pixels high"
            longest = round(sizes.MAX_SIZE_TEST * size / own)
            sizes.MAX_SIZE_TEST = sizes.MAX_SIZE_TRAIN = longest
            sizes.MIN_SIZE_TRAIN = [round(size * share) for share in TRAIN_SIZES]
        self._set("INPUT.MIN_SIZE_TEST", size, why)

    def _choose_batch(self, stage: str, try_batch: TryBatch) -> tuple[int, float]:
        frames = self.train.frames_with_boxes
        batch = min(BATCH_ON_CPU if self.on_cpu else BATCH[stage], frames)
        wanted = self._said(stage, "IMS_PER_BATCH", batch)
        fitting, seconds = try_batch(stage, self.cfg, wanted)
        if fitting < wanted and self._is_said(stage, "IMS_PER_BATCH"):
            raise UserError(
                f"SOLVER.IMS_PER_BATCH is {wanted}, which memory has no room for in stage {stage}; "
                f"it has for {fitting}"
            )
        why = "a larger one saves no time on a CPU" if self.on_cpu else "the paper's"
        if fitting < wanted:
            why = f"memory has no room for {wanted}"
        elif batch == frames:
            why = "all frames"
        self._set_solver(stage, "IMS_PER_BATCH", fitting, why)
        return fitting, seconds

    def _choose_schedule(self, stage: str, batch: int, seconds: float) -> None:
        frames, reference = self.train.frames_with_boxes, RATES[self.cfg.SOLVER.OPTIMIZER]
        rate = float(f"{reference * batch / BATCH[stage]:.3g}")
        why = f"{reference:g} for a batch of {BATCH[stage]}, in proportion"
        self._set_solver(stage, "BASE_LR", rate, why)
        epochs = EPOCHS_ON_CPU if self.on_cpu else EPOCHS
        whole = math.ceil(epochs * frames / batch)
        kept = min(max(whole, MIN_ITERATIONS), MAX_ITERATIONS)
        why = f"{epochs} times through {frames} frames"
        if kept != whole:
            why = f"the {'least' if kept > whole else 'most'}; {why} would be {whole}"
        iterations = self._set_solver(stage, "MAX_ITER", kept, why)
        drops = (round(DROP[stage] * iterations),) if iterations > 2 else ()
        if self.cfg.SOLVER.LR_SCHEDULER_NAME.endswith("MultiStepLR"):  # others have no steps
            self._set_solver(stage, "STEPS", drops, "to a tenth; the share is the paper's")
        warmup = min(MAX_WARMUP, math.ceil(frames / batch), iterations // 10)
        self._set_solver(stage, "WARMUP_ITERS", warmup, "iterations in which the rate rises")
        period = max(1, round(SECONDS_BETWEEN_CHECKPOINTS / seconds))
        why = "iterations; about 10 minutes, the most that a kill costs"
        self._set_solver(stage, "CHECKPOINT_PERIOD", min(period, iterations), why)
        self.seconds[stage] = seconds * iterations

    # --- what is said, set and told --------------------------------------------------------------

    def _is_said(self, stage: str, key: str) -> bool:
        return f"SOLVER.{key}" in options_of(stage, self.opts)[::2]

    def _said(self, stage: str, key: str, chosen: Any) -> Any:
        if not self._is_said(stage, key):
            return chosen
        said = self.cfg.clone()
        merge_config(said, opts=options_of(stage, self.opts))
        return said.SOLVER[key]

    def _set_solver(self, stage: str, key: str, chosen: Any, why: str) -> Any:
        solver = self.cfg.SOLVER if stage == DETECTION else self.cfg.SOLVER.REID
        value = solver[key] = self._said(stage, key, chosen)
        self._tell(stage, WORDS[key], value, SAID if self._is_said(stage, key) else why)
        return value

    def _set(self, key: str, value: Any, why: str) -> None:
        if key in self.opts[::2]:
            value, why = dict(zip(self.opts[::2], self.opts[1::2], strict=True))[key], SAID
        self.cfg.merge_from_list([key, value])
        self._tell("both", WORDS[key], value, why)

    def _tell(self, stage: str, what: str, value: Any, why: str) -> None:
        if isinstance(value, (tuple, list)):
            value = ", ".join(map(str, value)) or "never"
        text = f"{value:g}" if isinstance(value, float) else str(value)
        self.rows.append([stage, what, text, why])
