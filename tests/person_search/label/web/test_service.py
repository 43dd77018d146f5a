"""What the page shows of a project."""

from person_search.label.web.service import cut_page


def decide(labelling, *decisions):
    for number, (kind, payload) in enumerate(decisions):
        labelling.decide(f"{number:032x}", kind, payload)


def same(a, b):
    return "same", {"a": a, "b": b}


def test_pages_are_cut_and_the_nearest_is_taken():
    assert cut_page("abcde", 2, 2) == (("c", "d"), 2, 3, 5)
    assert cut_page("abcde", 9, 2) == (("e",), 3, 3, 5)
    assert cut_page("", 0, 2) == ((), 1, 1, 0)


def test_a_part_of_a_tracklet_has_its_own_views(service, labelling):
    decide(labelling, ("split", {"unit": 4, "view": 1}))
    assert [v.number for v in service.passage(4).views] == [0]
    assert [v.number for v in service.passage(-1).views] == [1, 2, 3]


def test_a_side_has_some_views_of_further_tracklets(service, labelling):
    decide(labelling, same(1, 4), same(4, 7), ("split", {"unit": 2, "view": 1}))
    side = service.side(4, (4, 7, 1))
    assert [v.number for v in side.first.views] == [0, 1, 2, 3]
    assert [p.unit.unit for p in side.others] == [7, 1] and side.num_left_out == 0
    assert [[v.number for v in p.views] for p in side.others] == [[1, 3], [1, 3]]
    assert service.side(4, (4, 7, 1, 2, 5)).num_left_out == 1


def test_a_frame_has_its_boxes_and_who_is_near(service, labelling):
    shown = service.frame(2)
    assert [one.person for one in shown.boxes] == [1, 2, 3]
    assert (shown.earlier, shown.later, shown.nearby) == (1, 3, ())
    decide(
        labelling,
        same(2, 5),
        ("remove_box", {"box_id": shown.boxes[1].box.box_id}),
        ("remove_box", {"box_id": shown.boxes[2].box.box_id}),
        ("not_person", {"unit": 3}),
    )
    shown = service.frame(2)
    # 3 is nobody, and no person of another recording is near
    assert [one.person for one in shown.boxes] == [1] and shown.nearby == ((2, 2),)
    assert [one.kind for one in service.frame(1).boxes] == [
        *("person", "person", "no_person", "uncertain")
    ]
    last = service.frame(6)
    assert (last.earlier, last.later) == (5, None)


def test_history_tells_what_was_undone_from_what_does_not_hold(service, labelling):
    decide(labelling, same(1, 4), same(4, 7), ("undo", {"number": 1}), ("not_person", {"unit": 4}))
    found = [(d.number, holds, gone) for d, holds, gone in service.history(1).items]
    assert found == [(4, True, False), (3, True, False), (2, False, False), (1, False, True)]
