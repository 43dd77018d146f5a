"""What there is too little of."""

from dataclasses import replace

import pytest

from fully_decoupled_ps import UserError
from fully_decoupled_ps.dataset_tools.inspection import inspect_dataset
from fully_decoupled_ps.site_training.amounts import Amounts, check_enough, count

from .site import write_set

ENOUGH = Amounts(
    frames=500,
    frames_with_boxes=400,
    boxes=3000,
    identities=100,
    in_two_frames=80,
    in_two_cameras=60,
    height=0.2,
    has_ignore_regions=False,
    queries={"full": (90, 40), "multi_view": (70, 35)},
)


def test_counts(tmp_path):
    """
    Persons 4 5, 5 6, 6 4, 4 5 in frames of the cameras 0 0 1 1, and somebody unknown: 4, 5 and 6
    are each in two frames or more, and in both cameras. Boxes are 54, 50 and 42 of 64 pixels high,
    four of each; of 12 sorted values the 10th percentile lies at place 1.1, between two of 42.
    """
    amounts = count(inspect_dataset(str(write_set(tmp_path, "test", [4, 5, 6], 4)), split="test"))
    assert (amounts.frames, amounts.frames_with_boxes, amounts.boxes) == (4, 4, 12)
    assert (amounts.identities, amounts.in_two_frames, amounts.in_two_cameras) == (3, 3, 3)
    assert amounts.height == pytest.approx(42 / 64)
    # one query for each person and camera
    assert amounts.queries == {"full": (6, 3), "multi_view": (6, 3)}
    assert "3 identities, of which 3 have two boxes or more, 3 in two cameras" in str(amounts)


def test_enough_is_said_nothing_of():
    assert check_enough(ENOUGH, ENOUGH) == []
    assert check_enough(replace(ENOUGH, in_two_cameras=None), ENOUGH) == []  # of one camera


def test_little_is_named():
    little = replace(ENOUGH, in_two_frames=10, in_two_cameras=3)
    few = check_enough(little, replace(ENOUGH, boxes=30, queries={"full": (8, 4)}))
    assert [text.split()[1] for text in few] == ["10", "3", "4", "30"]
    assert "10 identities to train on with two boxes or more, where 50" in few[0]
    assert "4 persons to test the search with, where 25" in few[2]


@pytest.mark.parametrize(
    "train, test, missing",
    [
        ({"in_two_frames": 1}, {}, ["1 identities of the training set", "at least 2", "person_id"]),
        ({}, {"queries": {"full": (0, 0)}}, ["no query of the test set has anybody"]),
        ({"in_two_frames": 0}, {"queries": {}}, ["0 identities", "no query"]),
    ],
)
def test_too_little_is_refused(train, test, missing):
    with pytest.raises(UserError) as error:
        check_enough(replace(ENOUGH, **train), replace(ENOUGH, **test))
    assert all(text in str(error.value) for text in missing) and "\n" not in str(error.value)
