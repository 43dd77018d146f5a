"""tools/demo.py: what it tells before and while it works."""

import pytest

import demo
from fully_decoupled_ps import UserError


def test_how_long_it_takes_comes_from_training_steps_of_this_machine(monkeypatch):
    """The fastest of a few steps of each stage: the others waited for something else."""
    steps = []

    def time_in_turns(cases, rounds, device):
        steps.append(cases["step"]())  # a real one
        return {"step": [[0.5, 0.2, 0.3], [4.0, 5.0, 3.0]][len(steps) - 1]}

    monkeypatch.setattr(demo, "time_in_turns", time_in_turns)
    opts = ["SOLVER.MAX_ITER", 60, "INPUT.MIN_SIZE_TRAIN", (64, 96)]
    assert demo.estimate_seconds(demo.CONFIG, opts) == pytest.approx((60 * 0.2 + 60 * 3) / 0.9)
    assert len(steps) == 2


def test_another_config_is_refused_before_any_work(tmp_path, capsys):
    arguments = ["--output-dir", str(tmp_path), "--config-file", str(tmp_path / "none.yaml")]
    assert demo.main(arguments) == 2
    assert str(tmp_path / "none.yaml") in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_config_of_other_data_is_refused_before_any_work(tmp_path, capsys):
    config = demo.PROJECT / "configs" / "prw" / "faster_rcnn_R50.yaml"
    output = tmp_path / "output"
    assert demo.main(["--output-dir", str(output), "--config-file", str(config)]) == 2
    error = capsys.readouterr().err
    assert "faster_rcnn_R50.yaml: DATASETS.TRAIN is ('prw_train',)" in error
    assert error.count("\n") == 1 and not output.exists()


@pytest.mark.parametrize(
    ("key", "value", "error"),
    [
        ("OUTPUT_DIR", "elsewhere", "OUTPUT_DIR is for the demo to set"),
        ("MODEL.WEIGHTS", "model.pth", "MODEL.WEIGHTS is for the demo to set"),
        ("SOLVER.STAGE", "detached", "SOLVER.STAGE is for the demo to set"),
        ("DATASETS.TEST", "('prw_test',)", "DATASETS.TEST is ('prw_test',); the demo draws synth"),
    ],
)
def test_a_key_that_its_steps_contradict_is_refused_before_any_work(
    key, value, error, tmp_path, capsys
):
    output = tmp_path / "output"
    opts = ["SOLVER.MAX_ITER", "60", key, value]
    assert demo.main(["--output-dir", str(output), *opts]) == 2
    told = capsys.readouterr().err
    assert error in told and told.count("\n") == 1 and not output.exists()


def test_a_step_shows_what_its_command_logs(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(demo, "SECONDS_BETWEEN_LINES", -1)
    steps = demo.Steps(tmp_path, tmp_path, total=2)
    steps.run("count", "Counting", ["-c", "print('first of 2'); print('second of 2')"])
    shown = capsys.readouterr().out.splitlines()
    assert shown[:3] == ["[1/2] Counting", "[1/2]   first of 2", "[1/2]   second of 2"]
    assert (tmp_path / "count.log").read_text().endswith("first of 2\nsecond of 2\n")
    with pytest.raises(UserError, match=f"step exit failed with status 3; see {tmp_path}/exit.log"):
        steps.run("exit", "Exiting", ["-c", "print('why'); exit(3)"])
    assert capsys.readouterr().err.endswith("\nwhy\n\n")


def test_the_report_names_the_command_that_gives_it_again(monkeypatch):
    told = []
    monkeypatch.setattr(demo, "run_demo", lambda *args: told.append(args[-1]))
    assert demo.main([]) == 0
    assert demo.main(["--output-dir", "my demo", "SOLVER.MAX_ITER", "60"]) == 0
    assert told == ["make demo", "python tools/demo.py --output-dir 'my demo' SOLVER.MAX_ITER 60"]
