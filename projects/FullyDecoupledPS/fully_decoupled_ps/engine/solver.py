"""The optimiser: SGD or AdamW, and in stage ``hybrid`` a learning rate of f_d's own."""

from itertools import takewhile

import torch
from detectron2.config import CfgNode
from detectron2.engine import DefaultTrainer
from detectron2.solver import build_lr_scheduler
from detectron2.solver import build_optimizer as build_sgd
from detectron2.solver.build import get_default_optimizer_params, maybe_add_gradient_clipping
from torch import nn
from torch.optim import Optimizer

from ..errors import UserError
from ..modeling import ReIDBranch


def build_optimizer(cfg: CfgNode, model: nn.Module) -> Optimizer:
    """
    Args:
        cfg: its ``SOLVER``.
        model: has ``detector`` and ``reid`` in stage ``hybrid``.

    Returns:
        Optimizer: of one learning rate, ``SOLVER.BASE_LR``; in stage ``hybrid`` that is f_r's, and
        parameter groups of f_d follow, of ``SOLVER.HYBRID_DETECTOR_LR``. The schedule multiplies
        both.

    Raises:
        UserError: if ``SOLVER.OPTIMIZER`` is unknown, or there is nothing to train.
    """
    if cfg.SOLVER.OPTIMIZER not in OPTIMIZERS:
        raise UserError(
            f"SOLVER.OPTIMIZER is {cfg.SOLVER.OPTIMIZER!r}; allowed are {', '.join(OPTIMIZERS)}"
        )
    if not any(p.requires_grad for p in model.parameters()):
        raise UserError(
            f"stage {cfg.SOLVER.STAGE} has nothing to train: MODEL.CROP_REID.NAME is "
            f"{cfg.MODEL.CROP_REID.NAME!r}, a file that is run as it is; evaluate it "
            "(--eval-only), or name a network of layers"
        )
    build, reid = OPTIMIZERS[cfg.SOLVER.OPTIMIZER], getattr(model, "reid", None)
    if cfg.SOLVER.STAGE != "hybrid":
        return build(cfg, _in_order(model, reid))
    optimizer = build(cfg, _in_order(reid, reid))
    cfg = cfg.clone()
    cfg.defrost()
    cfg.SOLVER.BASE_LR = cfg.SOLVER.HYBRID_DETECTOR_LR
    for group in build(cfg, model.detector).param_groups:
        optimizer.add_param_group(group)
    return optimizer


def _in_order(net: nn.Module, reid: nn.Module | None) -> nn.Module:
    """The modules of ``net`` in the order in which checkpoints have an optimiser's state.

    That state goes by the order of the parameters, and is older than the head's ``conv5``: it has
    conv5 between the side-net's conv4 and its fusions. No parameter counts twice.
    """
    if not isinstance(reid, ReIDBranch):
        return net
    side_net = reid.side_net
    layers = takewhile(lambda layer: layer is not side_net.fusions, side_net.children())
    detector = [] if net is reid else [net.detector]
    return nn.ModuleList([*detector, *layers, reid.head.conv5, side_net, net])


def scale_to_processes(cfg: CfgNode, num_processes: int) -> CfgNode:
    """Detectron2's scaling of a schedule that was made for ``SOLVER.REFERENCE_WORLD_SIZE``.

    The batch and the learning rates are multiplied, iterations and periods divided; for f_d's own
    rate in stage ``hybrid`` and for AdamW too. A period stays a period: at least one iteration.

    Args:
        cfg: of one stage; unchanged.
        num_processes: of the run.

    Returns:
        CfgNode: ``cfg`` itself if it names no reference, or just so many processes.
    """
    reference = cfg.SOLVER.REFERENCE_WORLD_SIZE
    scaled = DefaultTrainer.auto_scale_workers(cfg, num_processes)
    if scaled is cfg:
        return cfg
    frozen = scaled.is_frozen()
    scaled.defrost()
    scaled.SOLVER.HYBRID_DETECTOR_LR *= num_processes / reference
    scaled.SOLVER.CHECKPOINT_PERIOD = max(scaled.SOLVER.CHECKPOINT_PERIOD, 1)
    if cfg.TEST.EVAL_PERIOD > 0:
        scaled.TEST.EVAL_PERIOD = max(scaled.TEST.EVAL_PERIOD, 1)
    if frozen:
        scaled.freeze()
    return scaled


def check_schedule(cfg: CfgNode, num_processes: int) -> None:
    """Refuse a schedule that Detectron2 can't build, for a run of so many processes.

    Raises:
        UserError: names the key, and what is allowed.
    """
    cfg = scale_to_processes(cfg, num_processes).clone()
    cfg.defrost()
    solver, steps, end = cfg.SOLVER, list(cfg.SOLVER.STEPS), cfg.SOLVER.MAX_ITER
    if end < 1:
        raise UserError(f"SOLVER.MAX_ITER is {end}; it must be 1 or more")
    solver.STEPS = ()  # what is wrong with them is told better below
    try:
        build_lr_scheduler(cfg, torch.optim.SGD([torch.zeros(1)], lr=1.0))
    except (ValueError, AssertionError) as error:
        keys = ("LR_SCHEDULER_NAME", "WARMUP_METHOD", "WARMUP_FACTOR", "WARMUP_ITERS")
        said = ", ".join(f"SOLVER.{key} {solver[key]!r}" for key in keys)
        raise UserError(f"Detectron2 can't build the schedule of {said}: {error}") from error
    if solver.LR_SCHEDULER_NAME != "WarmupMultiStepLR":
        return  # no other has steps
    read = [step for step in steps if step <= end]  # Detectron2 leaves out later ones, and says so
    if read != sorted(set(read)) or not all(1 <= step < end for step in read):
        raise UserError(
            f"SOLVER.STEPS is {steps} for {num_processes} process(es), with SOLVER.MAX_ITER {end}; "
            f'steps must rise, each from 1 to {end - 1}; correct them, or say "()" for one rate'
        )


def build_adamw(cfg: CfgNode, model: nn.Module) -> Optimizer:
    """AdamW with the parameter groups and the gradient clipping of Detectron2's SGD."""
    params = get_default_optimizer_params(
        model,
        base_lr=cfg.SOLVER.BASE_LR,
        weight_decay=cfg.SOLVER.WEIGHT_DECAY,
        weight_decay_norm=cfg.SOLVER.WEIGHT_DECAY_NORM,
    )
    adamw = maybe_add_gradient_clipping(cfg, torch.optim.AdamW)
    return adamw(params, lr=cfg.SOLVER.BASE_LR, weight_decay=cfg.SOLVER.WEIGHT_DECAY)


OPTIMIZERS = {"SGD": build_sgd, "AdamW": build_adamw}
