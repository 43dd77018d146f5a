"""What a training leaves in its folder, of a network that was never trained."""

from pathlib import Path

import torch
from detectron2.modeling import build_model

from .networks import benchmark_config


def write_untrained_run(config_file: str, folder: Path, opts=(), seed: int = 0) -> Path:
    """Write a config and a checkpoint; returns the folder, which ``--model`` takes.

    Raises:
        UserError: as :func:`benchmark_config`.
    """
    cfg = benchmark_config(config_file, "reid", ["MODEL.DEVICE", "cpu", *opts])
    torch.manual_seed(seed)
    folder.mkdir(parents=True)
    torch.save({"model": build_model(cfg).state_dict()}, folder / "model_final.pth")
    (folder / "config.yaml").write_text(cfg.dump())
    (folder / "last_checkpoint").write_text("model_final.pth")
    return folder
