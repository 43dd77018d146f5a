"""tools/demo.py: what it tells before and while it works."""

import pytest

import demo


def test_how_long_it_takes_comes_from_training_steps_of_this_machine(monkeypatch):
    """The fastest of a few steps: the others waited for something else."""
    steps = []

    def time_in_turns(cases, rounds, device):
        steps.append(cases["step"]())  # a real one
        return {"step": [0.5, 0.2, 0.3]}

    monkeypatch.setattr(demo, "time_in_turns", time_in_turns)
    assert demo.estimate_seconds() == pytest.approx(0.2 * demo.DEMO_IN_STEPS)
    assert len(steps) == 1


@pytest.mark.parametrize(
    "line, told",
    [
        ("eta: 0:01:42  iter: 639  total_loss: 1.311", "iteration 640, loss 1.311, 0:01:42 left"),
        ("Inference done 11/150. ... ETA=0:00:05", "evaluated 11 of 150 frames, 0:00:05 left"),
        ("Loading", ""),
    ],
)
def test_progress(line, told):
    assert demo.progress(line) == told
