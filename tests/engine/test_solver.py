"""Detectron2's scaling of the schedule to the number of processes, in numbers."""

import pytest
from detectron2.solver import build_lr_scheduler
from torch import nn

from fully_decoupled_ps import UserError
from fully_decoupled_ps.engine.solver import build_optimizer, check_schedule, scale_to_processes
from tests.testing import make_config

SCHEDULE = (
    *("SOLVER.REFERENCE_WORLD_SIZE", 2, "SOLVER.IMS_PER_BATCH", 6, "SOLVER.BASE_LR", 0.003),
    *("SOLVER.MAX_ITER", 1000, "SOLVER.STEPS", (600, 800), "SOLVER.WARMUP_ITERS", 100),
    *("SOLVER.CHECKPOINT_PERIOD", 500, "TEST.EVAL_PERIOD", 1),
    *("SOLVER.HYBRID_DETECTOR_LR", 2e-5),
)


class TwoNets(nn.Module):
    def __init__(self):
        super().__init__()
        self.detector = nn.Linear(2, 2)
        self.reid = nn.Linear(2, 2)


def rates(cfg):
    return sorted({group["lr"] for group in build_optimizer(cfg, TwoNets()).param_groups})


@pytest.mark.parametrize("optimizer", ["SGD", "AdamW"])
@pytest.mark.parametrize("stage", ["detection", "joint"])
def test_the_schedule_of_two_processes_on_eight(stage, optimizer):
    cfg = make_config(stage, [*SCHEDULE, "SOLVER.OPTIMIZER", optimizer])
    cfg.freeze()
    scaled = scale_to_processes(cfg, 8)
    solver = scaled.SOLVER
    assert (solver.IMS_PER_BATCH, solver.MAX_ITER, solver.WARMUP_ITERS) == (24, 250, 25)
    assert (solver.STEPS, solver.CHECKPOINT_PERIOD) == ((150, 200), 125)
    assert scaled.TEST.EVAL_PERIOD == 1  # a quarter of it would turn it off
    assert rates(cfg) == [0.003] and rates(scaled) == pytest.approx([0.012])
    assert scaled.is_frozen() and cfg.SOLVER.IMS_PER_BATCH == 6
    # Detectron2's trainer, which scales as well, finds nothing left to do
    assert scale_to_processes(scaled, 8) is scaled


def test_what_the_reid_stage_overrides_is_scaled(tmp_path):
    config_file = tmp_path / "config.yaml"
    config_file.write_text(
        "SOLVER: {REFERENCE_WORLD_SIZE: 4, IMS_PER_BATCH: 4, BASE_LR: 0.004, MAX_ITER: 100,\n"
        "         REID: {IMS_PER_BATCH: 16, BASE_LR: 0.02, MAX_ITER: 60, STEPS: [40]}}\n"
    )
    cfg = make_config("reid", config_file=config_file)
    solver = scale_to_processes(cfg, 2).SOLVER
    assert (solver.IMS_PER_BATCH, solver.MAX_ITER, solver.STEPS) == (8, 120, (80,))
    assert solver.BASE_LR == pytest.approx(0.01)


@pytest.mark.parametrize("optimizer", ["SGD", "AdamW"])
def test_both_rates_of_stage_hybrid_are_scaled(optimizer):
    cfg = make_config("hybrid", [*SCHEDULE, "SOLVER.OPTIMIZER", optimizer])
    assert rates(cfg) == pytest.approx([2e-5, 0.003])
    assert rates(scale_to_processes(cfg, 8)) == pytest.approx([8e-5, 0.012])
    assert rates(scale_to_processes(cfg, 1)) == pytest.approx([1e-5, 0.0015])


def test_periods_stay_periods():
    opts = ["SOLVER.CHECKPOINT_PERIOD", 2, "TEST.EVAL_PERIOD", 0]
    scaled = scale_to_processes(make_config("detection", [*SCHEDULE, *opts]), 16)
    assert (scaled.SOLVER.CHECKPOINT_PERIOD, scaled.TEST.EVAL_PERIOD) == (1, 0)


@pytest.mark.parametrize("reference", [0, 2])
def test_without_need_the_config_is_left_alone(reference):
    cfg = make_config("hybrid", [*SCHEDULE, "SOLVER.REFERENCE_WORLD_SIZE", reference])
    assert scale_to_processes(cfg, 2) is cfg


def test_a_cosine_has_no_steps():
    opts = ["SOLVER.LR_SCHEDULER_NAME", "WarmupCosineLR", "SOLVER.STEPS", (3,)]
    check_schedule(make_config("detection", [*SCHEDULE, *opts, "SOLVER.MAX_ITER", 3]), 1)


@pytest.mark.parametrize(
    "steps, end, processes, allowed",
    [
        ((), 1, 2, True),
        ((2,), 3, 2, True),
        ((3,), 3, 2, False),
        ((4,), 3, 2, True),  # left out
        ((0,), 3, 2, False),
        ((2, 1), 3, 2, False),
        ((1, 1), 3, 2, False),
        ((4, 5), 8, 2, True),
        ((4, 5), 8, 8, False),  # both are 1 of 2
        ((), 0, 2, False),
    ],
)
def test_steps_that_detectron2_cannot_take_are_refused(steps, end, processes, allowed):
    cfg = make_config("detection", [*SCHEDULE, "SOLVER.STEPS", steps, "SOLVER.MAX_ITER", end])
    if allowed:
        check_schedule(cfg, processes)
        cfg = scale_to_processes(cfg, processes)
        build_lr_scheduler(cfg, build_optimizer(cfg, TwoNets()))
        return
    with pytest.raises(UserError, match="SOLVER.STEPS is|SOLVER.MAX_ITER is 0") as error:
        check_schedule(cfg, processes)
    assert "\n" not in str(error.value)
    with pytest.raises((ValueError, ZeroDivisionError)):  # as this says
        cfg = scale_to_processes(cfg, processes)
        build_lr_scheduler(cfg, build_optimizer(cfg, TwoNets()))


@pytest.mark.parametrize("key, value", [("LR_SCHEDULER_NAME", "Cosine"), ("WARMUP_METHOD", "exp")])
def test_a_schedule_that_detectron2_does_not_know(key, value):
    cfg = make_config("detection", [*SCHEDULE, f"SOLVER.{key}", value])
    with pytest.raises(UserError, match=f"can't build the schedule of .*{key} {value!r}") as error:
        check_schedule(cfg, 2)
    assert "\n" not in str(error.value)
