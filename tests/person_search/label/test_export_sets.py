"""Frames become a training and a test set: cases worked by hand."""

from collections import Counter

import pytest

from person_search.errors import UserError
from person_search.index import Frame
from person_search.label.export_sets import (
    MIN_ACROSS,
    choose,
    drop_single_camera,
    renumber,
    split_in_time,
    unlabel_useless,
)


def frames(*rows):
    """Of each row camera, time and ids."""
    return [
        {
            "frame": Frame(i, f"/{camera}.mp4", i, str(camera), float(time), 100, 100),
            "image_id": f"c{camera}_{i}",
            "camera_id": camera,
            "annotations": [{"person_id": person, "bbox": [0, 0, 20, 40]} for person in ids],
        }
        for i, (camera, time, ids) in enumerate(rows)
    ]


def rows_of(dicts):
    return [
        (d["camera_id"], d["frame"].time, [a["person_id"] for a in d["annotations"]]) for d in dicts
    ]


def all_timed(dicts, value=True):
    return {d["frame"]: value for d in dicts}


# Camera 1 has eight frames; camera 2 four, of its own time, that all are later.
ROWS = [(1, t, [0 if t < 4 else 1]) for t in range(8)]
ROWS += [(2, 100 + t, [0 if t < 2 else 1]) for t in range(4)]


def test_cameras_with_common_clocks_are_cut_at_one_moment():
    dicts = frames(*ROWS)
    train, test = split_in_time(dicts, all_timed(dicts), 0.5)
    assert [d["frame"].time for d in train] == [0, 1, 2, 3, 4, 5]
    assert [d["frame"].time for d in test] == [6, 7, 100, 101, 102, 103]
    # 4 boxes of 0 are early and 2 late, 2 of 1 early and 4 late
    assert [ids for _, _, ids in rows_of(train)] == [[0]] * 4 + [[-1]] * 2
    assert [ids for _, _, ids in rows_of(test)] == [[1]] * 2 + [[-1]] * 2 + [[1]] * 2


def test_cameras_without_are_cut_each_by_itself():
    dicts = frames(*ROWS)
    train, test = split_in_time(dicts, all_timed(dicts, False), 0.5)
    assert [d["frame"].time for d in train] == [0, 1, 2, 3, 100, 101]
    assert {i for _, _, ids in rows_of(train) for i in ids} == {0}
    assert {i for _, _, ids in rows_of(test) for i in ids} == {1}


def test_the_share_is_that_of_the_frames():
    dicts = frames(*[(1, t, [0 if t < 9 else 1]) for t in range(12)])
    assert [len(s) for s in split_in_time(dicts, all_timed(dicts), 0.25)] == [9, 3]
    assert [len(s) for s in split_in_time(dicts, all_timed(dicts), 0)] == [12, 0]


def test_nobody_left_for_a_set_is_told():
    dicts = frames(*[(1, t, [0]) for t in range(4)])
    with pytest.raises(UserError, match="--test-share 0.5 leaves nobody who is known"):
        split_in_time(dicts, all_timed(dicts), 0.5)


def test_who_has_one_box_has_no_id():
    dicts, counts = frames((1, 0, [0, 1]), (1, 1, [0, -1])), Counter()
    unlabel_useless(dicts, is_test=False, counts=counts)
    assert [ids for _, _, ids in rows_of(dicts)] == [[0, -1], [0, -1]]
    assert list(counts.values()) == [1]


@pytest.mark.parametrize("across", [MIN_ACROSS - 1, MIN_ACROSS])
def test_enough_test_persons_of_two_cameras_are_all_that_is_searched(across):
    """Beside them person 99 is seen twice, by one camera."""
    ids = list(range(across))
    dicts = frames((1, 0, [*ids, 99]), (1, 1, [99]), (2, 2, ids))
    unlabel_useless(dicts, is_test=True, counts=Counter())
    kept = {a["person_id"] for d in dicts for a in d["annotations"]} - {-1}
    assert kept == {*ids} | ({99} if across < MIN_ACROSS else set())
    training = frames((1, 0, [*ids, 99]), (1, 1, [99]), (2, 2, ids))
    unlabel_useless(training, is_test=False, counts=Counter())
    assert 99 in {a["person_id"] for d in training for a in d["annotations"]}


def test_ids_are_numbered_without_a_gap_in_their_order():
    dicts = frames((1, 0, [7, 3]), (1, 1, [-1, 7]))
    assert renumber(dicts, 5) == {5: 3, 6: 7}
    assert [ids for _, _, ids in rows_of(dicts)] == [[6, 5], [-1, 6]]


def test_one_camera_alone_is_not_written():
    one, two = frames((1, 0, [0])), frames((1, 0, [0]), (2, 0, [0]))
    drop_single_camera(one)
    drop_single_camera(two)
    assert "camera_id" not in one[0] and two[0]["camera_id"] == 1


def test_frames_are_given_back_by_time():
    dicts = frames(*[(1, t, [0]) for t in range(9)])
    assert [d["frame"].time for d in choose(dicts, 4)] == [0, 2, 4, 8]
