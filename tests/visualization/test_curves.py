"""Training logs and the charts made of them."""

import base64
import json
import re

import numpy as np
import pytest

from fully_decoupled_ps.errors import UserError
from fully_decoupled_ps.visualization import curves


def write_log(path, *records):
    lines = [record if isinstance(record, str) else json.dumps(record) for record in records]
    path.write_text("\n".join(lines))
    return path


def drawing_of(picture):
    """The SVG of a chart's data URI."""
    return base64.b64decode(picture.removeprefix("data:image/svg+xml;base64,")).decode()


def line_and_grid(picture):
    """(N, 2) points of a chart's only line; heights of its grid lines, lowest value first."""
    paths = re.findall(r'<path d="([^"]*)"[^>]*stroke: (#\w+)', drawing_of(picture))
    paths = [
        (np.array(re.findall(r"[\d.]+", path), float).reshape(-1, 2), color)
        for path, color in paths
    ]
    (line,) = (points for points, color in paths if color == curves.LINE_STYLES[0][0])
    return line, [points[0, 1] for points, color in paths if points is not line]


def words_of(picture):
    return re.findall(r"<text[^>]*>([^<]*)", drawing_of(picture))


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
    assert "all losses together from 0.5 to 0.25" in charts[0]["alt"]
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
    assert curves.scalar_words(name) == words


def test_no_line_hides_another_of_the_same_words():
    one = [(0, 0.5), (10, 0.25)]
    (chart,) = curves.training_charts({"a/loss_new": one, "b/loss_new": one})
    assert [line["name"] for line in chart["legend"]] == ["a/loss_new", "b/loss_new"]


def test_line_chart_spans_its_axes():
    picture = curves.line_chart({"a": [(0, 0.0), (50, 2.0), (100, 1.0)]})
    line, grid = line_and_grid(picture)
    assert line[:, 1] == pytest.approx([grid[0], grid[-1], (grid[0] + grid[-1]) / 2], abs=0.01)
    left, middle, right = line[:, 0]
    assert 0 < left < 0.15 * curves.WIDTH and 0.9 * curves.WIDTH < right < curves.WIDTH
    assert middle == pytest.approx((left + right) / 2, abs=0.01)
    assert words_of(picture)[:6] == ["0", "20", "40", "60", "80", "100"]


def test_shares_are_drawn_on_the_whole_of_0_to_1():
    line, grid = line_and_grid(curves.line_chart({"alpha": [(0, 0.5), (1, 0.5)]}, 1.0))
    assert line[:, 1] == pytest.approx((grid[0] + grid[-1]) / 2, abs=0.01)


def test_the_axis_goes_on_to_round_values():
    picture = curves.line_chart({"a": [(20, 6.92), (860, 2.146)]})
    line, grid = line_and_grid(picture)
    assert words_of(picture)[-5:] == ["0", "2", "4", "6", "8"]
    assert line[:, 1].min() > min(grid) + 10


def test_long_logs_are_thinned_and_keep_both_ends():
    points = [(i, float(i % 7)) for i in range(10_000)]  # no straight line, which thins itself
    line, _ = line_and_grid(curves.line_chart({"a": points}))
    assert 200 < len(line) <= curves.MAX_POINTS
    short, _ = line_and_grid(curves.line_chart({"a": [points[0], points[-1]]}))
    assert line[[0, -1], 0] == pytest.approx(short[:, 0], abs=0.01)


def test_one_point_and_one_value_are_charts_too():
    picture = curves.line_chart({"a": [(5, 2.0)]})
    assert "<use " in drawing_of(picture)  # a dot
    assert words_of(picture)[:2] == ["5", "iteration"]
    curves.line_chart({"a": [(5, 0.0)]})
    line, _ = line_and_grid(curves.line_chart({"a": [(5, -3.0), (6, -3.0)]}))
    assert len(line) == 2


def test_lines_are_told_apart_by_their_dashes():
    one = [(0, 0.5), (10, 0.25)]
    drawing = drawing_of(curves.line_chart({name: one for name in "abcdef"}))
    styles = re.findall(r'style="fill: none; ([^"]*)stroke: (?!#e4e7ec)#', drawing)
    assert len(styles) == 6 == len(set(styles))


def test_equal_charts_are_equal_files():
    one = {"a": [(5, 0.5)]}  # its dot is a symbol with an id
    assert curves.line_chart(one) == curves.line_chart(one)


def test_ranking_chart_has_a_bar_a_query_and_marks_the_shown_ones():
    svg = curves.ranking_chart([1.0, 0.75, 0.5, 0.0], [0, 3])
    other, shown = re.findall(r'<path class="(?:other|shown)" d="([^"]*)"', svg)
    assert re.findall(r"v(-[\d.]+)h", other) == ["-75", "-50"]
    assert re.findall(r"v(-[\d.]+)h", shown) == ["-100", "-1"]  # an AP of 0 still shows
    assert shown.count(" 106v5") == 2 and " 106v5" not in other
    assert "4 queries" in svg
