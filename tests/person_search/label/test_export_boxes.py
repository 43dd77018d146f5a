"""Boxes of a frame of 100 x 90 pixels as annotations: who is kept, and what becomes a region."""

from collections import Counter

import pytest

from person_search.label.export_boxes import annotate
from person_search.label.labelled import NO_PERSON, NOBODY, PERSON, UNCERTAIN, LabelledBox
from person_search.label.records import Box

SIZE = (100, 90)


def box(xyxy, person=NOBODY, kind=PERSON, score=0.9, drawn=False, interpolated=False):
    number = -1 if drawn else 1
    unit = None if person == NOBODY else person
    return LabelledBox(Box(number, 1, 1, xyxy, score, interpolated), unit, person, kind)


def annotated(*boxes, ids=()):
    """Persons as (box, id), regions, counts."""
    counts = Counter()
    found = annotate(boxes, SIZE, dict(ids), counts)
    assert all(a["person_id"] == -1 for a in found if a.get("iscrowd"))
    persons = [(tuple(a["bbox"]), a["person_id"]) for a in found if not a.get("iscrowd")]
    return persons, [tuple(a["bbox"]) for a in found if a.get("iscrowd")], sum(counts.values())


A, B, C = (10.0, 10.0, 30.0, 70.0), (40.0, 10.0, 60.0, 70.0), (70.0, 10.0, 90.0, 70.0)


def test_known_and_unknown_persons_have_a_box():
    persons, regions, changed = annotated(box(A, 7), box(B, 8), box(C), ids={7: 0}.items())
    assert persons == [(A, 0), (B, -1), (C, -1)] and regions == [] and changed == 0


def test_what_may_be_a_person_is_a_region_and_what_is_none_is_not_there():
    persons, regions, changed = annotated(
        box(A, kind=UNCERTAIN, score=0.2), box(B, kind=NO_PERSON), box(C, 7)
    )
    assert persons == [(C, -1)] and regions == [A] and changed == 2


@pytest.mark.parametrize(
    ("xyxy", "cut"),
    [
        ((-5.0, -5.0, 30.0, 95.0), (0.0, 0.0, 30.0, 90.0)),
        ((80.0, 10.0, 101.0, 70.0), (80.0, 10.0, 100.0, 70.0)),
    ],
)
def test_boxes_are_cut_at_the_border(xyxy, cut):
    assert annotated(box(xyxy, 7))[0] == [(cut, -1)]


def test_a_box_outside_is_left_out():
    assert annotated(box((100.0, 0.0, 120.0, 60.0), 7)) == ([], [], 1)


@pytest.mark.parametrize("xyxy", [(10.0, 10.0, 17.9, 70.0), (10.0, 10.0, 30.0, 25.9)])
def test_a_tiny_person_is_a_region(xyxy):
    assert annotated(box(xyxy, 7), ids={7: 0}.items()) == ([], [xyxy], 1)
    larger = (10.0, 10.0, 18.0, 26.0)
    assert annotated(box(larger, 7), ids={7: 0}.items()) == ([(larger, 0)], [], 0)


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ({"score": 0.8}, {"score": 0.7}),
        ({"score": 0.1}, {"score": 0.0, "interpolated": True}),
        ({"drawn": True, "score": 1.0}, {"score": 1.0}),
    ],
)
def test_of_two_boxes_of_a_person_the_better_one_is_kept(better, worse):
    ids = {7: 0}.items()
    for order in (1, -1):
        boxes = [box(A, 7, **better), box(B, 7, **worse)][::order]
        assert annotated(*boxes, ids=ids) == ([(A, 0)], [B], 1)


def test_two_boxes_of_somebody_unknown_may_be_two_people():
    assert annotated(box(A, 7), box(B, 7))[0] == [(A, -1), (B, -1)]


def test_of_two_boxes_in_one_place_the_one_of_a_known_person_is_kept():
    """They have 20 x 60 and 20 x 61 pixels: an IoU of 60 / 61, above 0.95."""
    longer = (10.0, 10.0, 30.0, 71.0)
    boxes = (box(longer, 8, score=0.99), box(A, 7, score=0.5))
    assert annotated(*boxes, ids={7: 0}.items()) == ([(A, 0)], [longer], 1)
    apart = (10.0, 10.0, 30.0, 80.0)  # 60 / 70
    assert len(annotated(box(apart, 8), box(A, 7), ids={7: 0}.items())[0]) == 2
