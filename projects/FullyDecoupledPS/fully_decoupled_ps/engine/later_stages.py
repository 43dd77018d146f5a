"""What a training of the detector alone leads up to: whether f_r can be built beside it."""

import torch
from detectron2.config import CfgNode

from ..errors import UserError


def check_reid_beside(model: torch.nn.Module, cfg: CfgNode) -> None:
    """Build the f_r of a later stage, and drop it: what is wrong with it is told before detection.

    Args:
        model: of stage ``detection``; left as it is, as are the random numbers to come.
        cfg: its config.

    Raises:
        UserError: if f_r can't be built as the config says.
    """
    if model.is_two_step:  # whose f_r takes pictures, not the detector's maps
        return
    with torch.random.fork_rng(devices=[]):
        try:
            model.build_reid(cfg, model.detector)
        except UserError as error:
            raise UserError(
                f"f_r, which follows stage detection, can't be built: {error}"
            ) from error
