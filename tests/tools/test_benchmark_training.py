"""Steps of training in several forms: each takes the way that it names."""

import pytest

import benchmark_training
from benchmark_training import FORMS, measure, parse_args, prepare_step, table
from fully_decoupled_ps.modeling.feature_tap import FeatureTap
from fully_decoupled_ps.modeling.fold_norms import is_constant
from tests.testing import TINY

ARGUMENTS = ["--train-size", "64", "96", "--train-batch", "1", "--rounds", "1", "--copies", "1"]
CONFIG = "prw/faster_rcnn_R50.yaml"


def args_of(*more):
    args = parse_args([*ARGUMENTS, *more])
    args.opts = list(TINY)
    return args


@pytest.mark.parametrize(
    "form, norms", [("plain", True), ("folded", False), ("channels-last", True), ("cached", None)]
)
def test_a_re_id_step_makes_its_maps_as_the_form_says(monkeypatch, form, norms):
    step = prepare_step(CONFIG, args_of(), "reid", FORMS[form])
    seen = []
    run = FeatureTap.run

    def spy(tap, images):
        seen.append(any(map(is_constant, tap.bottom_up.modules())))
        return run(tap, images)

    monkeypatch.setattr(FeatureTap, "run", spy)
    step()
    assert seen == ([] if norms is None else [norms])


def test_the_sum_of_both_steps_is_compared(monkeypatch):
    """Of 1 + 3 seconds, and of the 1 + 2 and 1 + 1 of forms that have no detection step."""
    seconds = {"plain": 3.0, "folded": 2.0, "cached": 1.0}

    def in_turns(steps, rounds, device, clock):
        return {(f, stage): [seconds[f] if stage == "reid" else 1.0] for f, stage in steps}

    monkeypatch.setattr(benchmark_training, "prepare_step", lambda *args: None)
    monkeypatch.setattr(benchmark_training, "time_in_turns", in_turns)
    records = measure(CONFIG, args_of("--forms", "folded", "cached"))
    assert [(r["form"], r["to plain"]["reid"]) for r in records] == [
        ("plain", 1.0),
        ("folded", pytest.approx(2 / 3)),
        ("cached", pytest.approx(1 / 3)),
    ]
    # cached has the detection step of an auto that was not measured
    assert [r["to plain"].get("sum") for r in records] == [1.0, 0.75, None]
    lines = table(records).splitlines()
    assert lines[-2].split("|")[-2].strip() == "0.75" and lines[-1].split("|")[-2].strip() == ""


def test_a_processor_without_bfloat16_is_spared_it(monkeypatch):
    monkeypatch.setattr(
        benchmark_training, "time_in_turns", lambda steps, *args: {key: [1.0] for key in steps}
    )
    monkeypatch.setattr(benchmark_training, "prepare_step", lambda *args: None)
    for emulated in (False, True):
        monkeypatch.setattr(benchmark_training, "is_emulated", lambda *args, e=emulated: e)
        forms = [r["form"] for r in measure(CONFIG, args_of())]
        assert forms == [n for n in FORMS if not (emulated and n in ("mixed", "both"))]


@pytest.mark.parametrize(
    "key", ["MODEL.CHANNELS_LAST", "SOLVER.AMP.ENABLED", "MODEL.REID.BOX_NOISE.NUM_COPIES"]
)
def test_keys_that_a_form_sets_are_refused(monkeypatch, capsys, key):
    monkeypatch.setattr(benchmark_training, "measure", lambda *args: pytest.fail("it was measured"))
    assert benchmark_training.main(["--opts", "MODEL.DEVICE", "cpu", key, "True"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: --opts {key} has no effect")
