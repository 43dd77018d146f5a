import pytest
from hypothesis import given, settings

from benchmark import plain_loops as reference
from fully_decoupled_ps.evaluation import evaluate_detection

from .worlds import frame, to_detections, to_ground_truth, worlds

A = (0.0, 0.0, 100.0, 200.0)
B = (300.0, 0.0, 400.0, 200.0)
FAR = (800.0, 0.0, 900.0, 200.0)


def evaluate(frames, **kwargs):
    return evaluate_detection(to_detections(frames, 2), to_ground_truth(frames), **kwargs)


def det(box, score):
    return (box, score, (1.0, 0.0))


def test_by_hand():
    """
    Scores 0.9 right, 0.8 wrong, 0.7 right; of three persons one is not found.
    Average precision (1/1 + 2/3) / 2, recall 2/3.
    """
    frames = [
        frame("a", [(A, 1), (B, -1)], [det(A, 0.7), det(FAR, 0.8)]),
        frame("b", [(A, 2)], [det(A, 0.9)]),
    ]
    metrics = evaluate(frames)
    assert metrics["recall"] == pytest.approx(200 / 3)
    assert metrics["labelled_recall"] == 100  # the one who is missed has no identity
    assert metrics["AP"] == pytest.approx(100 * (1 + 2 / 3) / 2 * 2 / 3)


def test_two_detections_on_one_person_are_one_right_one_wrong():
    """The better overlapping one is right, whatever its score."""
    frames = [frame("a", [(A, 1)], [det((0, 0, 90, 200), 0.9), det(A, 0.6)])]
    assert evaluate(frames) == pytest.approx(
        {"AP": 50.0, "recall": 100.0, "labelled_recall": 100.0}
    )


def test_one_detection_over_two_persons_finds_one():
    frames = [frame("a", [(A, 1), ((10, 0, 110, 200), 2)], [det(A, 0.9)])]
    assert evaluate(frames) == pytest.approx({"AP": 50.0, "recall": 50.0, "labelled_recall": 50.0})


def test_a_person_whose_best_detection_fits_another_better_is_not_found():
    """
    d overlaps the first person by 85 / 115 and the second by 75 / 125, for whom it is the best;
    e covers the first exactly. As published: d is wrong, the second person is not found.
    """
    d, e = (15, 0, 115, 200), (0, 0, 100, 200)
    frames = [frame("a", [(A, 1), ((40, 0, 140, 200), 2)], [det(d, 0.9), det(e, 0.8)])]
    assert evaluate(frames) == pytest.approx({"AP": 25.0, "recall": 50.0, "labelled_recall": 50.0})


def test_iou_thresh():
    """IoU of a box shifted by a quarter of its width: 75 / 125."""
    frames = [frame("a", [(A, 1)], [det((25, 0, 125, 200), 0.9)])]
    assert evaluate(frames, iou_thresh=0.6)["recall"] == 100
    assert evaluate(frames, iou_thresh=0.61)["recall"] == 0


@pytest.mark.parametrize("frames", [[], [frame("a")], [frame("a", [], [det(A, 0.5)])]])
def test_figures_over_nobody_are_not_there(frames):
    assert evaluate(frames) == {}


def test_nothing_found():
    assert evaluate([frame("a", [(A, 1)], [det(FAR, 0.5)])]) == {
        "AP": 0.0, "recall": 0.0, "labelled_recall": 0.0
    }  # fmt: skip
    assert evaluate([frame("a", [(A, -1)])]) == {"AP": 0.0, "recall": 0.0}


def test_nobody_has_an_identity():
    assert evaluate([frame("a", [(A, -1)], [det(A, 0.5)])]) == {"AP": 100.0, "recall": 100.0}


@given(world=worlds())
@settings(max_examples=80, deadline=None)
def test_agrees_with_the_reference(world):
    frames, _ = world
    assert evaluate(frames) == pytest.approx(reference.detection(frames), abs=1e-9)
