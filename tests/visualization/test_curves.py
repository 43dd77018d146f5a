"""Training logs and the charts made of them."""

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fully_decoupled_ps.errors import UserError
from fully_decoupled_ps.visualization import curves
from fully_decoupled_ps.visualization.scalar_names import scalar_words


def write_log(path, *records):
    lines = [record if isinstance(record, str) else json.dumps(record) for record in records]
    path.write_text("\n".join(lines))
    return path


def points_of(svg):
    """The polylines of a chart as lists of (x, y)."""
    lines = re.findall(r'points="([^"]*)"', svg)
    return [[tuple(map(float, pair.split(","))) for pair in line.split()] for line in lines]


def test_log_is_read_a_scalar_at_a_time_and_a_resumed_run_wins(tmp_path, caplog):
    path = write_log(
        tmp_path / "metrics.json",
        {"iteration": 19, "total_loss": 3.0, "lr": 0.1},
        {"iteration": 59, "total_loss": 9.0},
        '{"iteration": 79, "total_l',  # killed while writing
        {"iteration": 39, "total_loss": 2.0},
        {"iteration": 59, "total_loss": 1.0},
        {"iteration": 79, "total_loss": float("nan"), "note": "text"},
    )
    log = curves.read_training_log(path)
    assert log == {"total_loss": [(19, 3.0), (39, 2.0), (59, 1.0)], "lr": [(19, 0.1)]}
    assert "1 of 6 lines left out" in caplog.text


def test_missing_log_and_evaluation_results_are_named(tmp_path):
    with pytest.raises(UserError, match="nowhere.json"):
        curves.read_training_log(tmp_path / "nowhere.json")
    evaluation = write_log(tmp_path / "metrics.json", {"search": {"mAP": 70.0}})
    with pytest.raises(UserError, match="metrics.json.*iteration"):
        curves.read_training_log(evaluation)


def test_charts_show_what_training_means_and_nothing_else():
    one = [(0, 0.5), (10, 0.25)]
    names = ["loss_oim", "total_loss", "lr", "alpha/conv3", "memory/lookup", "memory/queue"]
    other = ["time", "data_time", "eta_seconds", "search/mAP", "fast_rcnn/cls_accuracy"]
    charts = curves.training_charts({name: one for name in names + other})
    shown = [[line["name"] for line in chart["legend"]] for chart in charts]
    assert shown == [
        ["all losses together", "OIM (identity memory)"],
        ["after conv3"],
        ["lookup", "queue"],
    ]
    assert charts[0]["legend"][0]["last"] == "0.25"
    assert "all losses together from 0.5 to 0.25" in charts[0]["svg"]
    assert curves.training_charts({name: one for name in other}) == []


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("loss_rpn_loc", "proposals: position"),
        ("loss_box_reg_stage2", "position of the boxes, stage 3"),
        ("alpha/res4", "after conv4"),
        ("memory/lookup_seen", "table of the labelled persons"),
        ("loss_of_tomorrow", "of tomorrow"),
    ],
)
def test_scalars_are_called_in_words(name, words):
    assert scalar_words(name) == words


def test_no_line_hides_another_of_the_same_words():
    one = [(0, 0.5), (10, 0.25)]
    (chart,) = curves.training_charts({"a/loss_new": one, "b/loss_new": one})
    assert [line["name"] for line in chart["legend"]] == ["a/loss_new", "b/loss_new"]


def test_line_chart_spans_its_axes():
    svg = curves.line_chart({"a": [(0, 0.0), (50, 2.0), (100, 1.0)]}, "losses")
    (line,) = points_of(svg)
    right, bottom = curves.WIDTH - curves.RIGHT, curves.HEIGHT - curves.BOTTOM
    middle = (curves.LEFT + right) / 2, (curves.TOP + bottom) / 2
    assert line[0] == (curves.LEFT, bottom)
    assert line[1] == (middle[0], curves.TOP)
    assert line[2] == (right, middle[1])


def test_shares_are_drawn_on_the_whole_of_0_to_1():
    svg = curves.line_chart({"alpha": [(0, 0.5), (1, 0.5)]}, "alpha", 1.0)
    ((_, y), _) = points_of(svg)[0]
    assert y == (curves.TOP + curves.HEIGHT - curves.BOTTOM) / 2


def test_long_logs_are_thinned_and_keep_both_ends():
    points = [(i, float(i)) for i in range(10_000)]
    (line,) = points_of(curves.line_chart({"a": points}, "losses"))
    assert 200 < len(line) <= curves.MAX_POINTS + 1
    assert line[0][0] == curves.LEFT and line[-1][0] == curves.WIDTH - curves.RIGHT


def test_one_point_and_one_value_are_charts_too():
    assert len(points_of(curves.line_chart({"a": [(5, 0.0)]}, "losses"))[0]) == 2
    curves.line_chart({"a": [(5, -3.0), (6, -3.0)]}, "losses")


def test_names_of_scalars_are_escaped():
    chart = curves.training_charts({"loss<b>\"'": [(0, 1.0), (1, 2.0)]})[0]
    assert "<b>" not in chart["svg"]


@settings(max_examples=50, deadline=None)
@given(st.floats(-1e4, 0), st.floats(1e-6, 1e6))
def test_ticks_are_round_few_and_span_the_values(low, high):
    ticks = curves._ticks(low, high)
    step = ticks[1] - ticks[0]
    assert ticks[0] <= low + 1e-6 * step and ticks[-1] >= high - 1e-6 * step
    assert 2 <= len(ticks) <= 8
    assert f"{step:.3e}"[0] in "125"


def test_ranking_chart_has_a_bar_a_query_and_marks_the_shown_ones():
    svg = curves.ranking_chart([1.0, 0.75, 0.5, 0.0], [0, 3])
    other, shown = re.findall(r'<path class="(?:other|shown)" d="([^"]*)"', svg)
    assert re.findall(r"v(-[\d.]+)h", other) == ["-75", "-50"]
    assert re.findall(r"v(-[\d.]+)h", shown) == ["-100", "-1"]  # an AP of 0 still shows
    assert shown.count(" 106v5") == 2 and " 106v5" not in other
    assert "4 queries" in svg
