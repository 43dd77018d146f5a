"""What is chosen, against the rules worked by hand."""

from dataclasses import replace

import pytest
import yaml

from fully_decoupled_ps import UserError
from fully_decoupled_ps.site_training.plan import Planner
from tests.testing import make_config

from .test_amounts import ENOUGH

TRAIN = replace(ENOUGH, frames_with_boxes=1000)
CONFIG = make_config("detection", config_file="ready/osnet-ain.yaml")


def plan(train=TRAIN, opts=(), device="cuda", detector="auto", room=64, seconds=2.0):
    """The plan, where memory has room for ``room`` frames and a step takes ``seconds``."""

    def try_batch(stage, cfg, batch):
        while batch > room:
            batch //= 2
        return batch, seconds

    return Planner(CONFIG, train, list(opts), device).plan(detector, try_batch)


def solver(planned, stage):
    config = yaml.safe_load(planned.config)["SOLVER"]
    return config if stage == "detection" else config["REID"]


def test_the_papers_schedule_on_a_gpu():
    """
    1000 frames, 18 times: 18,000 / 8 = 2250 and 18,000 / 5 = 3600 iterations; drops at two thirds,
    1500, and at 10 / 18, 2000; once through is 125 and 200.
    """
    planned = plan()
    assert planned.stages == ["detection", "reid"]
    for stage, batch, iterations, drop, warmup in (
        ("detection", 8, 2250, 1500, 125),
        ("reid", 5, 3600, 2000, 200),
    ):
        chosen = solver(planned, stage)
        assert (chosen["IMS_PER_BATCH"], chosen["BASE_LR"]) == (batch, 0.003)
        assert (chosen["MAX_ITER"], chosen["STEPS"]) == (iterations, [drop])
        assert chosen["WARMUP_ITERS"] == warmup
        assert chosen["CHECKPOINT_PERIOD"] == 300  # of 2 s each, 10 minutes
    assert planned.seconds == {"detection": 4500.0, "reid": 7200.0}


def test_the_rate_goes_with_the_batch_that_memory_has_room_for():
    planned = plan(room=4)
    chosen = solver(planned, "detection")
    assert (chosen["IMS_PER_BATCH"], chosen["BASE_LR"]) == (4, 0.0015)
    assert chosen["MAX_ITER"] == 4500
    assert ["detection", "batch", "4", "memory has no room for 8"] in planned.rows


def test_a_cpu_takes_small_batches_and_fewer_times():
    """6 x 1000 / 2; and 0.003 x 2 / 8 = 0.00075, 0.003 x 2 / 5 = 0.0012."""
    planned = plan(device="cpu")
    for stage, rate in (("detection", 0.00075), ("reid", 0.0012)):
        chosen = solver(planned, stage)
        assert (chosen["IMS_PER_BATCH"], chosen["MAX_ITER"]) == (2, 3000)
        assert chosen["BASE_LR"] == rate


@pytest.mark.parametrize(
    "height, size, longest",
    [
        (0.2, 480, 800),  # 96 pixels of 480; the network's own are 800 and 1333
        (0.11, 600, 1000),  # 53 of 480, but 66 of 600
        (0.05, 800, 1333),
    ],
)
def test_a_cpu_takes_pictures_as_small_as_persons_allow(height, size, longest):
    planned = plan(replace(TRAIN, height=height), device="cpu")
    sizes = yaml.safe_load(planned.config)["INPUT"]
    assert (sizes["MIN_SIZE_TEST"], sizes["MAX_SIZE_TEST"]) == (size, longest)
    assert max(sizes["MIN_SIZE_TRAIN"]) == size


@pytest.mark.parametrize("options", [{"device": "cpu", "detector": "freeze"}, {"device": "cuda"}])
def test_else_pictures_are_of_the_networks_own_size(options):
    """A detector that is not tuned is used to it, and a GPU is fast enough."""
    sizes = yaml.safe_load(plan(**options).config)["INPUT"]
    assert (sizes["MIN_SIZE_TEST"], sizes["MAX_SIZE_TEST"]) == (800, 1333)
    assert sizes["MIN_SIZE_TRAIN"] == list(CONFIG.INPUT.MIN_SIZE_TRAIN)


@pytest.mark.parametrize(
    "frames, boxes, tuned", [(200, 1000, True), (199, 5000, False), (5000, 999, False)]
)
def test_a_detector_is_tuned_on_enough(frames, boxes, tuned):
    train = replace(TRAIN, frames_with_boxes=frames, boxes=boxes)
    assert plan(train).stages == ["detection"] * tuned + ["reid"]
    row = plan(train).rows[0]
    assert row[2].startswith("tuned" if tuned else "as it is")
    assert f"{frames} frames with {boxes} boxes" in row[3]
    assert plan(train, detector="tune").stages == ["detection", "reid"]
    assert plan(train, detector="freeze").stages == ["reid"]


def test_few_frames_get_the_least_iterations_and_many_the_most():
    few = solver(plan(replace(TRAIN, frames_with_boxes=3), detector="tune"), "detection")
    # a batch of all three: 18 x 3 / 3 would be 18
    assert (few["IMS_PER_BATCH"], few["MAX_ITER"]) == (3, 300)
    assert few["BASE_LR"] == pytest.approx(0.003 * 3 / 8, rel=0.01)
    assert solver(plan(replace(TRAIN, frames_with_boxes=10**5)), "reid")["MAX_ITER"] == 40_000


def test_what_is_said_stays_and_the_rest_follows():
    """Batch 4 of both; 90 iterations of reid alone, whose drop is at 50."""
    opts = ("SOLVER.IMS_PER_BATCH", "4", "SOLVER.REID.MAX_ITER", "90", "INPUT.MIN_SIZE_TEST", "500")
    planned = plan(opts=opts)
    detection, reid = solver(planned, "detection"), solver(planned, "reid")
    assert (detection["IMS_PER_BATCH"], detection["BASE_LR"]) == (4, 0.0015)
    assert (detection["MAX_ITER"], detection["STEPS"]) == (4500, [3000])
    assert (reid["IMS_PER_BATCH"], reid["BASE_LR"]) == (4, 0.0024)
    assert (reid["MAX_ITER"], reid["STEPS"], reid["WARMUP_ITERS"]) == (90, [50], 9)
    assert yaml.safe_load(planned.config)["INPUT"]["MIN_SIZE_TEST"] == 500
    said = {(stage, what) for stage, what, _, why in planned.rows if why.startswith("said")}
    assert said == {
        ("detection", "batch"),
        ("reid", "batch"),
        ("reid", "iterations"),
        ("both", "shorter side of a picture"),
    }


def test_a_batch_that_is_said_and_does_not_fit_is_refused():
    with pytest.raises(UserError, match="IMS_PER_BATCH is 16, .* in stage detection; it has for 8"):
        plan(opts=("SOLVER.IMS_PER_BATCH", "16"), room=8)


def test_regions_to_ignore_are_known_to_a_detector_that_is_tuned():
    heads = yaml.safe_load(plan().config)["MODEL"]["ROI_HEADS"]["NAME"]
    assert heads == "PersonStandardROIHeads"


def test_a_schedule_without_steps_gets_none():
    cfg = make_config("detection", config_file="synthetic/faster_rcnn_R18.yaml")
    planner = Planner(cfg, TRAIN, [], "cpu")
    planned = planner.plan("auto", lambda stage, cfg, batch: (batch, 1.0))
    assert cfg.SOLVER.LR_SCHEDULER_NAME == "WarmupCosineLR"
    assert "rate drops after" not in {what for _, what, _, _ in planned.rows}
    # AdamW's rate for 8 is 0.0003
    assert solver(planned, "detection")["BASE_LR"] == pytest.approx(0.0003 / 4)
