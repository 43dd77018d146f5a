"""The network that a training starts from: a ready one, or the run of an earlier training."""

import os
from dataclasses import dataclass
from pathlib import Path

import torch
from detectron2.config import CfgNode

from .. import ready
from ..checkpoint import read_checkpoint
from ..config import last_checkpoint, load_config
from ..errors import UserError
from ..utils.files import atomic_write
from .data import sha256_of

# A tuned detector and the re-id part of a run, in one file.
JOINED = "with_reid_of_start.pth"


@dataclass(frozen=True)
class Start:
    """
    Attributes:
        location: as the user named it.
        cfg: its config, unfrozen, with the local paths of its weights.
        checkpoint: of a run, which holds both parts; "": the parts are two published files.
    """

    location: str
    cfg: CfgNode
    checkpoint: str

    @property
    def weights(self) -> list[str]:
        """The options that name its weights, of both parts."""
        opts = ["MODEL.WEIGHTS", self.cfg.MODEL.WEIGHTS]
        if not self.checkpoint:
            opts += ["MODEL.CROP_REID.WEIGHTS", self.cfg.MODEL.CROP_REID.WEIGHTS]
        return opts

    @property
    def identity(self) -> str:
        """What it is known by: its kind, and the SHA-256 of its files."""
        files = [path for path in self.weights[1::2] if os.path.isfile(path)]
        digests = ", ".join(sha256_of(path)[:16] for path in files)
        return f"{os.path.basename(self.location.rstrip('/'))} (SHA-256 {digests})"


def find_start(location: str, models_dir: str = "") -> Start:
    """
    Args:
        location: the name of a ready network, a yaml that names the weights of both parts, the
            output folder of a training, or a checkpoint in it.
        models_dir: where files of ready networks are, or are downloaded to; "": as
            :func:`ready.models_folder` says.

    Raises:
        UserError: there is nothing to start from, or it can't be trained in two stages.
    """
    if network := ready.find_ready(location):
        opts = ready.fetch(network, ready.models_folder(models_dir))
        cfg, checkpoint = load_config(str(network.config), opts), ""
    else:
        config_file, checkpoint = _find_run(location)
        cfg = load_config(config_file, ["MODEL.WEIGHTS", checkpoint])
    if cfg.MODEL.META_ARCHITECTURE == "CoupledPersonSearch" or cfg.SOLVER.STAGE == "joint":
        raise UserError(
            f"--start {location} is one network that was trained as a whole "
            f"({cfg.MODEL.META_ARCHITECTURE}, stage {cfg.SOLVER.STAGE}); name one of a detector "
            "and a re-id part, such as a run of stage reid or a ready network"
        )
    cfg.MODEL.REID.NUM_IDS = 0  # taken from the data
    # what it was trained on may have had more CPUs
    cfg.DATALOADER.NUM_WORKERS = min(cfg.DATALOADER.NUM_WORKERS, os.cpu_count() or 1)
    return Start(location, cfg, checkpoint)


def _find_run(location: str) -> tuple[str, str]:
    """The config and the checkpoint of a run."""
    path = Path(location)
    if not path.exists():
        raise UserError(
            f"--start {location}: no such network; name a ready network, or the output folder of a "
            f"training; {ready.suggestion(location)}"
        )
    if path.is_file():
        folder, checkpoint = path.parent, str(path)
    else:
        # what a training in two stages has for its output holds both as folders
        folder = path / "reid" if (path / "reid" / "config.yaml").is_file() else path
        checkpoint = last_checkpoint(str(folder))
    config_file = folder / "config.yaml"
    if not config_file.is_file() or not checkpoint or not os.path.isfile(checkpoint):
        raise UserError(
            f"--start {location}: {folder} holds no "
            f"{'checkpoint' if config_file.is_file() else 'config.yaml'}; name the output folder "
            "of a finished training, such as output/demo/reid, or a ready network"
        )
    return str(config_file), os.path.abspath(checkpoint)


def weights_of_stage_reid(start: Start, detection_folder: str | None) -> list[str]:
    """The options that name what stage ``reid`` starts from.

    Args:
        detection_folder: of the stage in which the detector was tuned; None: it is the start's.
    """
    if detection_folder is None:
        return start.weights
    detector = last_checkpoint(detection_folder)
    if not start.checkpoint:
        return ["MODEL.WEIGHTS", detector, *start.weights[2:]]
    return ["MODEL.WEIGHTS", _join(detector, start.checkpoint, detection_folder)]


def remove_joined(weights: list[str]) -> None:
    """Remove the file that :func:`weights_of_stage_reid` has made, if it has, after the stage."""
    if os.path.basename(weights[1]) == JOINED:
        os.remove(weights[1])


def _join(detector: str, start: str, folder: str) -> str:
    """Write a checkpoint of a tuned detector and the re-id part of the start; returns its path.

    It lies beside the detector's config, by which is known what it was trained with.
    """
    path = os.path.join(folder, JOINED)
    if os.path.isfile(path):
        return path
    source = read_checkpoint(start)
    model = dict(read_checkpoint(detector)["model"])
    parts = {name.removeprefix("module."): value for name, value in source["model"].items()}
    model.update((name, value) for name, value in parts.items() if name.startswith("reid."))
    content = {"model": model}
    if data := source.get("trainer", {}).get("training_data"):
        content["trainer"] = {"training_data": data}  # whose persons its memory is of
    with atomic_write(path, "wb") as f:
        torch.save(content, f)
    return path
