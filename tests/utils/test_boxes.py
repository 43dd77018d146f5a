"""Overlap of two boxes, by hand."""

import pytest

from fully_decoupled_ps.utils.boxes import iou


@pytest.mark.parametrize(
    "box, expected",
    [
        ([0, 0, 10, 10], 1.0),
        ([5, 0, 15, 10], 1 / 3),
        ((2, 4, 4, 9), 0.1),
        ([10, 0, 20, 10], 0.0),
    ],
)
def test_iou(box, expected):
    assert iou([0, 0, 10, 10], box) == pytest.approx(expected, abs=1e-12)


def test_boxes_without_an_area_overlap_nothing():
    assert iou([5, 5, 5, 5], [5, 5, 5, 5]) == 0.0
