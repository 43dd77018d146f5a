"""Frames with labelled boxes: where labels go, and how sheets are laid out."""

import numpy as np
import pytest

from fully_decoupled_ps.errors import UserError
from fully_decoupled_ps.visualization import frame_boxes
from fully_decoupled_ps.visualization.frame_boxes import (
    LabelledBox,
    draw_boxes,
    draw_dataset_sheet,
    person_style,
    sample_frames,
    sheet,
    text_line,
)

GREY = np.full((100, 200, 3), 120, np.uint8)


def test_ids_have_their_own_colours_and_unlabelled_is_dashed():
    assert len({person_style(i).color for i in range(30)}) == 30
    assert person_style(5) == person_style(5) and not person_style(5).dashed
    assert person_style(-1).dashed


@pytest.mark.parametrize("box", [(0, 0, 30, 60), (180, 70, 200, 100), (-20, -20, 250, 120)])
def test_a_label_is_whole_also_at_the_border(monkeypatch, box):
    drawn = []
    put = frame_boxes.cv2.putText
    monkeypatch.setattr(frame_boxes.cv2, "putText", lambda *a: drawn.append(a) or put(*a))
    draw_boxes(GREY, [LabelledBox(box, person_style(1), "12345")], 200)
    (_, text, (left, base), *_), = drawn  # fmt: skip
    (width, height), _ = frame_boxes.cv2.getTextSize(text, frame_boxes.FONT, 0.45, 1)
    assert 0 <= left and left + width <= 200 and height <= base <= 100


def test_labels_of_boxes_at_one_place_do_not_cover_each_other(monkeypatch):
    tags = []
    draw = frame_boxes._draw_label
    monkeypatch.setattr(frame_boxes, "_draw_label", lambda *a: tags.append(draw(*a)) or tags[-1])
    draw_boxes(GREY, [LabelledBox((50, 30, 80, 90), person_style(i), "1") for i in range(3)], 200)
    assert not any(frame_boxes._touch(a, b) for i, a in enumerate(tags) for b in tags[:i])


def test_boxes_scale_with_the_picture():
    style = person_style(1)
    view = draw_boxes(
        GREY, [LabelledBox((50, 30, 80, 90), style)], 400, [((0, 0, 9, 9), (1, 2, 3))]
    )
    assert view.shape == (200, 400, 3)
    assert (view[100, 100] == style.color).all() and (view[120, 110] == 120).all()
    assert (view[10, 18] == (1, 2, 3)).all()


def test_sheet_has_a_title_rows_and_captions():
    tiles = [(GREY, "one"), (GREY, "two"), (GREY, "three")]
    picture = sheet(tiles, "title", 2)
    assert picture.shape[1] == 2 * 210 + 10
    assert (picture[-40, 300] == 255).all()  # the second row has one picture
    with pytest.raises(UserError, match="title: there is no frame"):
        sheet([], "title", 2)


def test_a_long_line_is_shortened_to_its_width():
    line = text_line("a very long name of a picture " * 20, 150)
    assert line.shape[1] == 150 and (line[:, -2:] == 255).all()
    assert (line < 100).any()


def test_frames_are_of_each_camera_in_turn():
    dicts = [{"camera_id": c} for c in (1, 1, 1, 1, 2, 3)]
    order = [d["camera_id"] for _, d in sample_frames(dicts, seed=0)]
    assert sorted(order[:3]) == [1, 2, 3] and order[3:] == [1, 1, 1]
    places = [[i for i, _ in sample_frames(dicts, seed)] for seed in (0, 0, 1, 2, 3)]
    assert places[0] == places[1] and len(set(map(tuple, places))) > 1
    assert all(dicts[i] is d for i, d in sample_frames(dicts, 0))


def test_dataset_sheet_passes_over_what_it_cannot_read(monkeypatch):
    dicts = [{"file_name": f"{i}", "image_id": str(i), "annotations": []} for i in range(5)]

    def read(file_name):
        if file_name in "01":
            raise UserError("unreadable")
        return GREY

    monkeypatch.setattr(frame_boxes, "read_image", read)
    assert draw_dataset_sheet(dicts, "title", frames=3).shape[1] == 3 * 490 + 10
    with pytest.raises(UserError, match="no frame can be read"):
        draw_dataset_sheet(dicts[:2], "title")
