"""A frame and its boxes in headless Chromium, by keyboard and by mouse."""

from dataclasses import replace

import pytest

from .drawn_project import box_of
from .visitor import DESKTOP, log


def open_frame(visit, size=DESKTOP, path="/frames/2?unit=2"):
    visitor = visit(path, size)
    visitor.page.wait_for_function(
        "() => document.querySelector('.lb-stage img')?.naturalWidth > 0"
    )
    return visitor


def boxes_of(labelling, frame_id=2):
    return {one.box.box_id: one.box.box for one in labelling.boxes([frame_id])}


def test_the_marked_picture_s_frame_is_opened_and_the_next_one(visit, any_width):
    visitor = visit(size=any_width)
    visitor.press("ArrowRight", "f")
    visitor.page.wait_for_url("**/frames/2?unit=1")
    visitor.page.wait_for_selector(".lb-box[data-unit='1']:focus")
    assert visitor.fits()
    visitor.press(".")
    visitor.page.wait_for_url("**/frames/3?unit=1")
    visitor.page.wait_for_selector("[data-marked]:focus")
    visitor.press(",")
    visitor.page.wait_for_url("**/frames/2?unit=1")
    visitor.page.wait_for_selector("[data-marked]:focus")
    visitor.press("p")
    visitor.page.wait_for_url("**/person?unit=1")


def test_boxes_lie_where_they_are_in_the_picture(visit, any_width):
    visitor = open_frame(visit, any_width)
    picture = visitor.page.locator(".lb-stage img").bounding_box()
    box = visitor.page.locator(".lb-box[data-unit='2']").bounding_box()
    x0, y0, x1, y1 = box_of(1, 1)
    scale = picture["width"] / 320
    assert picture["height"] == pytest.approx(240 * scale, abs=1)
    assert box["x"] - picture["x"] == pytest.approx(x0 * scale, abs=1.5)
    assert box["y"] - picture["y"] == pytest.approx(y0 * scale, abs=1.5)
    assert box["width"] == pytest.approx((x1 - x0) * scale, abs=1.5)
    assert box["height"] == pytest.approx((y1 - y0) * scale, abs=1.5)


def test_a_box_is_moved_and_resized_by_keys(visit, labelling, folder, any_width):
    visitor = open_frame(visit, any_width)
    number = int(visitor.marked().removeprefix("box"))
    x0, y0, x1, y1 = box_of(1, 1)
    visitor.press("ArrowRight", "ArrowRight", "ArrowUp", "Shift+ArrowDown", "Shift+ArrowLeft")
    assert "not saved" in visitor.said()
    assert log(folder) == []
    visitor.press(".")  # it is not left behind in silence
    assert "not saved" in visitor.page.inner_text("#problem")
    assert visitor.path() == "/frames/2?unit=2"
    visitor.decide("Enter")
    moved = [x0 + 2, y0 - 1, x1 + 1, y1]
    assert log(folder) == [("move_box", {"box_id": number, "box": moved})]
    assert boxes_of(labelling)[number] == tuple(moved)
    assert visitor.marked() == f"box{number}"
    visitor.press("ArrowLeft", "Escape")
    assert visitor.page.locator(".lb-changed").count() == 0
    visitor.decide("z")
    assert boxes_of(labelling)[number] == (x0, y0, x1, y1)


def test_one_box_is_changed_at_a_time(visit, labelling):
    visitor = open_frame(visit)
    first = visitor.marked()
    visitor.press("ArrowRight", "a")
    assert visitor.page.locator("[data-id=new]").count() == 0
    visitor.press("Tab", "ArrowRight")
    assert "not saved" in visitor.page.inner_text("#problem")
    changed = visitor.page.locator(".lb-changed")
    assert changed.count() == 1 and changed.get_attribute("data-item") == first


def test_a_box_is_removed(visit, labelling, folder):
    visitor = open_frame(visit)
    number = int(visitor.marked().removeprefix("box"))
    assert "box removed" in visitor.decide("Delete")
    assert log(folder) == [("remove_box", {"box_id": number})]
    assert visitor.page.locator(".lb-box").count() == 2


def test_a_box_is_added_for_somebody_who_is_near(visit, labelling, folder, any_width):
    removed = labelling.boxes([2])[1]
    labelling.decide("0" * 32, "remove_box", {"box_id": removed.box.box_id})
    visitor = open_frame(visit, any_width)
    visitor.press("a")
    assert visitor.marked() == "boxnew"
    visitor.press("ArrowLeft")
    visitor.press("Escape")
    assert visitor.page.locator("[data-id=new]").count() == 0
    visitor.press("a", "ArrowLeft")
    visitor.page.locator("#who").focus()
    visitor.press("ArrowDown")  # as a keyboard chooses in a list
    visitor.page.locator("[data-id=new]").focus()
    visitor.decide("Enter")
    # of the size of the others, in the middle, one step to the left
    box = [139, 70, 179, 170]
    assert log(folder)[-1] == ("add_box", {"frame_id": 2, "box": box, "unit": 2})
    assert boxes_of(labelling)[-2] == tuple(box)


def test_a_mouse_drags_boxes_and_their_borders(visit, labelling, folder):
    visitor = open_frame(visit)
    mouse, number = visitor.page.mouse, int(visitor.marked().removeprefix("box"))
    picture = visitor.page.locator(".lb-stage img").bounding_box()
    scale = picture["width"] / 320

    def drag(start, end):
        mouse.move(picture["x"] + start[0] * scale, picture["y"] + start[1] * scale)
        mouse.down()
        mouse.move(picture["x"] + end[0] * scale, picture["y"] + end[1] * scale, steps=3)
        mouse.up()

    x0, y0, x1, y1 = box_of(1, 1)
    drag((x0 + 20, y0 + 50), (x0 + 30, y0 + 40))
    visitor.wait_for_answers(1)
    moved = (x0 + 10, y0 - 10, x1 + 10, y1 - 10)
    assert boxes_of(labelling)[number] == pytest.approx(moved, abs=0.5)
    drag((moved[2] - 1, moved[1] + 50), (moved[2] + 14, moved[1] + 50))
    visitor.wait_for_answers(2)
    wider = (*moved[:2], moved[2] + 15, moved[3])
    assert boxes_of(labelling)[number] == pytest.approx(wider, abs=0.5)
    visitor.press("a")
    drag((20, 10), (60, 50))
    visitor.decide("Enter")
    assert log(folder)[-1][1]["box"] == pytest.approx([20, 10, 60, 50], abs=0.5)
    assert log(folder)[-1][1]["unit"] is None


def test_a_picture_that_is_gone_is_told(visit, service, monkeypatch):
    frame = service.frame(2).frame
    monkeypatch.setattr(service, "_frames_around", lambda i, n: [_without_file(frame)])
    page = visit("/frames/2").page
    page.wait_for_selector(".ps-missing-frame")
    assert "the file is not there any more" in page.inner_text(".ps-missing-frame")


def _without_file(frame):
    return replace(frame, path="/nowhere/a.png")
