"""One run of train_net.py after another, each remembered when it is done."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable
from concurrent.futures import Future
from pathlib import Path

import torch
from tqdm import tqdm

from fully_decoupled_ps.errors import UserError
from fully_decoupled_ps.modeling.precision import cpu_has_bfloat16
from fully_decoupled_ps.utils.files import write_json

from .variants import MIXED_PRECISION, PRETRAINED, PRETRAINING, VARIANTS, write_pretrained

PROJECT = Path(__file__).resolve().parents[2]
TRAIN = PROJECT / "train_net.py"
EMULATED = Path(__file__).with_name("emulated_bfloat16.py")  # is TRAIN, but for its arithmetic
CONFIGS = PROJECT / "configs" / "synthetic"
# Half the demo's pixels: there are many runs.
SIZE = (
    *("INPUT.MIN_SIZE_TRAIN", "(256, 270)", "INPUT.MIN_SIZE_TEST", 270),
    *("MODEL.ANCHOR_GENERATOR.SIZES", "[[44, 62, 88]]"),
)


class Runs:
    """Runs ``train_net.py``, and remembers what is done."""

    def __init__(self, folder: Path, iterations: int, batch: int, jobs: int, bar: tqdm):
        """
        Args:
            folder: where everything is, data sets included.
            iterations, batch: of each net; the batch in frames.
            jobs: runs at a time, which share the cores.
            bar: is told of each run.
        """
        self.folder, self.iterations, self.batch, self.bar = folder, iterations, batch, bar
        self.threads = max(1, (os.cpu_count() or 1) // jobs)

    def train(self, detector: str, seed: int, name: str, before: Iterable[Future] = ()) -> dict:
        """Train one network as soon as those of ``before`` are trained, which it starts from.

        Returns:
            dict: its metrics, minutes, and what its checkpoint tells.

        Raises:
            UserError: if the command fails.
        """
        for future in before:
            future.result()
        command = self._command(detector, seed, name)
        record = self._folder(detector, seed) / f"{name}.json"
        if record.exists():
            found = json.loads(record.read_text())
            if found["command"] == command:
                return self._done(found, "done before")
        start = time.monotonic()
        self._run(detector, seed, name, command)
        stage = self._folder(detector, seed) / name / VARIANTS[name].stage
        metrics = stage / "inference" / "synthetic_test" / "metrics.json"
        found = {
            "command": command,
            "detector": detector,
            "seed": seed,
            "variant": name,
            "minutes": (time.monotonic() - start) / 60,
            "metrics": json.loads(metrics.read_text()),
            **facts_of(stage / "model_final.pth"),
        }
        if name == PRETRAINING:
            write_pretrained(stage / "model_final.pth", self._pretrained)
        write_json(record, found)
        return self._done(found, f"{found['minutes']:.1f} min")

    @property
    def _pretrained(self) -> Path:
        return self.folder / "pretrained.pth"

    def _folder(self, detector: str, seed: int) -> Path:
        return self.folder / detector / f"seed{seed}"

    def _run(self, detector: str, seed: int, name: str, command: list[str]) -> None:
        log = self._folder(detector, seed) / f"{name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        datasets = self.folder / ("other_datasets" if name == PRETRAINING else "datasets")
        own = {"DETECTRON2_DATASETS": str(datasets), "OMP_NUM_THREADS": str(self.threads)}
        with open(log, "w") as f:
            status = subprocess.run(
                [sys.executable, *command],
                stdout=f,
                stderr=subprocess.STDOUT,
                env={**os.environ, **own},
            ).returncode
        if status:
            raise UserError(f"{detector}, seed {seed}, {name}: status {status}; see {log}")

    def _command(self, detector: str, seed: int, name: str) -> list[str]:
        variant, folder = VARIANTS[name], self._folder(detector, seed)
        own = [self._pretrained if opt == PRETRAINED else opt for opt in variant.opts]
        opts = [
            *("SEED", seed, "SOLVER.STAGE", variant.stage, "OUTPUT_DIR", folder / name),
            *("SOLVER.MAX_ITER", self.iterations, "SOLVER.IMS_PER_BATCH", self.batch),
            *("SOLVER.CHECKPOINT_PERIOD", self.iterations, "DATALOADER.NUM_WORKERS", 0),
            *("SOLVER.AMP.ENABLED", False),  # the same everywhere, unless the variant says another
            *SIZE,
            *own,
        ]
        if variant.start:
            stage = VARIANTS[variant.start].stage
            opts += ["MODEL.WEIGHTS", folder / variant.start / stage / "model_final.pth"]
        config = CONFIGS / f"{detector}_R18.yaml"
        program = EMULATED if variant.opts == MIXED_PRECISION and emulates_bfloat16() else TRAIN
        return [str(x) for x in (program, "--config-file", config, *opts)]

    def _done(self, found: dict, text: str) -> dict:
        self.bar.write(f"{found['detector']}, seed {found['seed']}, {found['variant']}: {text}")
        self.bar.update()
        return found


def emulates_bfloat16() -> bool:
    """Whether mixed precision is emulated: on a CPU without instructions for it."""
    return not torch.cuda.is_available() and not cpu_has_bfloat16()


def facts_of(checkpoint: Path) -> dict:
    """
    Returns:
        dict: "f_d parameters", how many it has; "alpha", the weights of f_d's maps in the
        side-fusions that have one, by the name of the layer.
    """
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)["model"]
    # anchors and pixel means are buffers of the model, and not saved
    size = sum(value.numel() for name, value in state.items() if name.startswith("detector."))
    alphas = {
        name.split(".")[-2]: value.sigmoid().item()
        for name, value in state.items()
        if name.endswith(".alpha_logit")
    }
    return {"f_d parameters": size, "alpha": alphas}
