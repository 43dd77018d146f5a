"""tools/check_demo.py: each promise fails on its own, and a broken file is one line."""

import copy
import json

import pytest

import check_demo

GOOD = {
    "detection": {"AP": 90.0, "recall": 95.0},
    "search": {"mAP": 70.0, "top1": 80.0, "top5": 90.0},
    "floor": {"mAP": 45.0},
    "untrained": {"mAP": 45.0},
    "seconds": 500.0,
}


def run(tmp_path, results) -> int:
    path = tmp_path / "results.json"
    path.write_text(results if isinstance(results, str) else json.dumps(results))
    return check_demo.main([str(path)])


def test_figures_exactly_at_their_least_pass(tmp_path):
    assert run(tmp_path, GOOD) == 0


@pytest.mark.parametrize(
    "task, metric, value, name",
    [
        ("detection", "AP", 89.9, "detection AP"),
        ("detection", "recall", 94.9, "detection recall"),
        ("search", "top1", 79.9, "search top-1"),
        ("floor", "mAP", 45.1, "floor"),
        ("untrained", "mAP", 45.1, "untrained"),
    ],
)
def test_one_figure_below_its_least_fails_and_is_named(tmp_path, capsys, task, metric, value, name):
    results = copy.deepcopy(GOOD)
    results[task][metric] = value
    assert run(tmp_path, results) == 1
    failing = [line for line in capsys.readouterr().out.splitlines() if line.startswith("FAIL")]
    assert len(failing) == 1 and name in failing[0]


def test_low_search_map_fails_itself_and_both_margins(tmp_path, capsys):
    results = copy.deepcopy(GOOD)
    results["search"]["mAP"] = 69.0
    assert run(tmp_path, results) == 1
    assert capsys.readouterr().out.count("FAIL") == 3


@pytest.mark.parametrize("value", [None, "70", float("nan")])
def test_a_figure_that_is_no_number_is_named(tmp_path, capsys, value):
    results = copy.deepcopy(GOOD)
    results["search"]["mAP"] = value
    assert run(tmp_path, results) == 2
    assert "search.mAP" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "[]", "{}"])
def test_a_broken_file_is_one_line(tmp_path, capsys, text):
    assert run(tmp_path, text) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_missing_file_says_what_to_run(tmp_path, capsys):
    assert check_demo.main([str(tmp_path / "none.json")]) == 2
    assert "make demo" in capsys.readouterr().err
