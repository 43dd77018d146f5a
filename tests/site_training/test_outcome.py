"""What is compared, and the verdict."""

import pytest

from fully_decoupled_ps import UserError
from fully_decoupled_ps.site_training.comparison import Comparison, Interval
from fully_decoupled_ps.site_training.outcome import compare_search, table, verdict


def query(number, person, ap, first, num_gt=1):
    return {
        "query_id": number,
        "image_id": str(number),
        "person_id": person,
        "ap": ap,
        "first_hit_rank": first,
        "num_gt": num_gt,
    }


BEFORE = [query(0, 7, 0.5, 2), query(1, 7, 0.25, None), query(2, 9, 0.0, None, num_gt=0)]
AFTER = [query(0, 7, 1.0, 1), query(1, 7, 0.25, 3), query(2, 9, 0.0, None, num_gt=0)]


def test_the_figures_of_a_search():
    """Before (50 + 25 + 0) / 3 = 25 and no first hit; after (100 + 25 + 0) / 3, one in three."""
    found, first = compare_search("full", BEFORE, AFTER)
    assert (found.before.value, found.after.value) == pytest.approx((25, 125 / 3))
    assert (first.before.value, first.after.value) == pytest.approx((0, 100 / 3))
    assert (found.over, found.groups) == ("3 queries of 2 persons", 2)
    assert found.figure == "search mAP, full gallery"


def test_a_search_in_other_cameras_leaves_out_who_is_not_there():
    """As the published protocol does: (50 + 25) / 2."""
    found, _ = compare_search("multi_view", BEFORE, AFTER)
    assert found.before.value == pytest.approx(37.5)
    assert found.over == "2 queries of 1 persons"
    assert compare_search("multi_view", BEFORE[2:], AFTER[2:]) == []


def test_other_queries_are_no_comparison():
    with pytest.raises(UserError, match="protocol full were others before"):
        compare_search("full", BEFORE, AFTER[:2])


def row(figure, value, low, high):
    return Comparison(
        figure, "", 9, Interval(50.0), Interval(50 + value), Interval(value, low, high)
    )


@pytest.mark.parametrize(
    "rows, is_worse, said",
    [
        (
            [row("detection recall", -3, -5, -1), row("search mAP", 9, 8, 10)],
            True,
            "STARTED FROM: detection recall -3.0 [-5.0, -1.0] points",
        ),
        ([row("search mAP", -3, -5, -1)], True, "STARTED FROM: search mAP"),
        # chance explains it, but it is said
        (
            [row("search mAP", -3, -7, 1), row("detection recall", 4, 2, 6)],
            False,
            "better beyond chance: detection recall; LOWER THAN BEFORE, by no more than chance "
            "explains: search mAP",
        ),
        ([row("search mAP", 3, -1, 7)], False, "no figure has changed by more than chance"),
        # no part of the verdict
        ([row("search top-1", -3, -5, -1)], False, "no figure has changed"),
        ([row("detection AP", -3, None, None)], False, "no figure has changed"),
    ],
)
def test_verdicts(rows, is_worse, said):
    assert verdict(rows)[0] is is_worse
    assert said in verdict(rows)[1]


def test_the_table_has_intervals():
    text = table([row("search mAP", 3, -1, 7)])
    assert "50.0" in text and "3.0 [-1.0, 7.0]" in text
