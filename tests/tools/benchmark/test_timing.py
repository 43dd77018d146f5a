"""Times in turns, and of a network's parts."""

import time

import pytest
import torch
from torch import nn

from benchmark.timing import Breakdown, median_ratio, time_in_turns

CPU = torch.device("cpu")


class Clock:
    """A clock that the timed functions move on."""

    now = 0.0

    def __call__(self):
        return self.now


def test_cases_take_turns_and_the_first_run_of_each_is_not_counted():
    clock, order = Clock(), []
    durations = {"a": iter([100.0, 1.0, 2.0]), "b": iter([100.0, 4.0, 5.0])}

    def run(name):
        order.append(name)
        clock.now += next(durations[name])

    cases = {name: lambda name=name: run(name) for name in "ab"}
    seconds = time_in_turns(cases, 2, CPU, clock)
    assert order == ["a", "b"] * 3
    assert seconds == {"a": [1.0, 2.0], "b": [4.0, 5.0]}


def test_what_a_case_is_given_is_made_anew_for_each_run_and_not_timed():
    clock, given = Clock(), []

    def make():
        clock.now += 50.0
        return []

    def run(mine):
        given.append(list(mine))
        mine.append(1)
        clock.now += 2.0

    cases = {"a": run, "b": lambda: None}
    seconds = time_in_turns(cases, 2, CPU, clock, {"a": make})
    assert seconds == {"a": [2.0, 2.0], "b": [0.0, 0.0]} and given == [[], [], []]


def test_the_ratio_is_of_the_same_round():
    # a machine that is ten times slower in one round: the ratio of the medians would be 3 / 2
    assert median_ratio([3.0, 30.0, 3.0], [1.5, 15.0, 2.0]) == 2.0


class Sleep(nn.Module):
    def __init__(self, seconds, inner=None):
        super().__init__()
        self.seconds, self.inner = seconds, inner

    def forward(self, x):
        time.sleep(self.seconds)
        return x if self.inner is None else self.inner(x)


def test_parts_do_not_count_what_runs_inside_them():
    inner = Sleep(0.08)
    outer = Sleep(0.02, inner)
    whole = nn.Sequential(outer, Sleep(0.04))
    breakdown = Breakdown({"outer": [outer], "inner": [inner]}, CPU)
    with breakdown.measure() as seconds:
        whole(torch.zeros(1))
    assert list(seconds) == ["outer", "inner", "rest"]
    assert seconds["inner"] >= 0.08 and seconds["outer"] >= 0.02 and seconds["rest"] >= 0.04
    assert seconds["outer"] < seconds["inner"]  # it would be the longer one
    whole(torch.zeros(1))
    assert sum(seconds.values()) == pytest.approx(sum(breakdown.seconds.values()))
    assert not outer._forward_hooks and not outer._forward_pre_hooks
