"""The labelling page in headless Chromium, by keyboard alone, at two widths."""

from contextlib import closing
from dataclasses import replace

import pytest

import make_screenshots as screenshots
from person_search.label.store import open_project
from person_search.label.web.app import make_app
from tests.person_search.web.browser import chromium

from .drawn_project import box_of

DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
UPPER, LOWER = ".lb-side:nth-of-type(1) .lb-crop", ".lb-side:nth-of-type(2) .lb-crop"


@pytest.fixture(scope="module")
def window():
    with chromium() as browser:
        yield browser.new_context()


@pytest.fixture(params=[DESKTOP, PHONE], ids=["desktop", "phone"])
def any_width(request):
    return request.param


class Visitor:
    """Somebody at the page who has a keyboard and no mouse."""

    def __init__(self, page, url):
        self.page, self.url = page, url

    def go(self, path="/"):
        self.page.goto(self.url.rstrip("/") + path)
        self.page.wait_for_selector("main [data-marked]:focus")

    def press(self, *keys):
        for key in keys:
            self.page.keyboard.press(key)

    def decide(self, key):
        """Press a key, and wait until its decision is on the disk; returns what is said of it."""
        before = self.page.evaluate("window.answers = window.answers ?? 0")
        self.press(key)
        self.wait_for_answers(before + 1)
        return self.said()

    def wait_for_answers(self, count):
        """Until so many decisions were answered, and what comes next is shown."""
        self.page.wait_for_function(
            "n => !document.body.matches('.lb-busy') && window.answers >= n", arg=count
        )

    def said(self):
        return self.page.inner_text("#said")

    def marked(self):
        """The unit and the view that are marked, which have the focus."""
        return self.page.get_attribute("main [data-marked]:focus", "data-item")

    def unit_of(self, row):
        return int(self.page.locator(row).first.get_attribute("data-unit"))

    def path(self):
        return self.page.url.removeprefix(self.url.rstrip("/"))

    def fits(self):
        """Whether nothing has to be scrolled sideways, and no text is cut."""
        return self.page.evaluate(
            """() => document.documentElement.scrollWidth <= window.innerWidth
            && [...document.querySelectorAll('.ps-control, h1, h2, h3, p')]
                .every((part) => part.scrollWidth <= part.clientWidth + 1)"""
        )


@pytest.fixture
def serve(service):
    with screenshots.running(make_app(service, "127.0.0.1")) as url:
        yield url


@pytest.fixture
def visit(window, serve):
    """Opens the page at a size; at the end nothing may have gone wrong in it."""
    pages, complaints, requests = [], [], []

    def open_page(path="/", size=DESKTOP):
        page = window.new_page()
        pages.append(page)
        page.set_viewport_size(size)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda line: line.type == "error" and complaints.append(line.text))
        page.on("request", lambda request: requests.append(request.url))
        page.add_init_script(
            """const real = window.fetch; window.answers = 0;
            window.fetch = async (...all) => {
              const answer = await real(...all);
              if (all[0] === '/decide') window.answers += 1;
              return answer;
            };"""
        )
        visitor = Visitor(page, serve)
        visitor.go(path)
        return visitor

    yield open_page
    for page in pages:
        page.close()
    # what is refused, and a picture that is gone, is told in the page
    expected = ("400 (Bad Request)", "404 (Not Found)")
    assert [c for c in complaints if not any(text in c for text in expected)] == []
    assert [r for r in requests if not r.startswith((serve, "data:"))] == []


def log(folder):
    """Kinds and payloads of all decisions on the disk."""
    with closing(open_project(folder)) as project:
        return [(d.kind, d.payload) for d in project.decisions()]


def test_a_question_is_shown_with_its_keys(visit, any_width):
    visitor = visit(size=any_width)
    assert visitor.fits()
    page = visitor.page
    assert page.locator(UPPER).count() == page.locator(LOWER).count() == 4
    for picture in page.locator(".lb-crop img").all():
        assert picture.evaluate("img => img.complete && img.naturalWidth > 0")
        assert picture.is_visible()
    keys = page.locator(".lb-tools [data-key]").evaluate_all("all => all.map(e => e.innerText)")
    assert [text.split()[-1] for text in keys] == list("sdunmzxfp")
    assert "0 decisions made, 9 persons of 9 tracklets" in page.inner_text(".lb-progress")
    assert "camera yard <2>" in page.inner_text("main")


def test_questions_are_answered(visit, folder, any_width):
    visitor = visit(size=any_width)
    a, b = map(visitor.unit_of, (UPPER, LOWER))
    assert "one person" in visitor.decide("s")
    assert "1 decision made, 8 persons" in visitor.page.inner_text(".lb-progress")
    # what comes next is said to those who do not see it
    assert "Upper: camera" in visitor.page.text_content("#said")
    assert visitor.marked() == visitor.page.get_attribute(f"{UPPER} >> nth=0", "data-item")
    assert "two persons" in visitor.decide("d")
    assert "nobody can tell" in visitor.decide("u")
    for key, row in (("n", UPPER), ("m", LOWER)):
        unit = visitor.unit_of(row)
        assert "no person" in visitor.decide(key)
        assert log(folder)[-1] == ("not_person", {"unit": unit})
    assert visitor.fits()
    kinds = [kind for kind, _ in log(folder)]
    assert kinds == ["same", "different", "unsure", "not_person", "not_person"]
    assert log(folder)[0] == ("same", {"a": a, "b": b})


def test_a_tracklet_is_split_before_the_marked_picture(visit, folder, any_width):
    visitor = visit(size=any_width)
    first = visitor.marked()
    visitor.press("x")  # nothing is before it
    assert "no picture of this tracklet before" in visitor.page.inner_text("#problem")
    visitor.press("ArrowRight", "ArrowRight")
    unit, _ = map(int, first.split("/"))
    assert visitor.marked() == f"{unit}/2"
    assert "somebody else from view 2 on" in visitor.decide("x")
    assert log(folder) == [("split", {"unit": unit, "view": 2})]
    # "Arrow down" leads to the other row and back
    upper = visitor.marked()
    visitor.press("ArrowDown")
    assert visitor.page.locator(f"{LOWER}:focus").count() == 1
    visitor.press("ArrowUp")
    assert visitor.marked() == upper
    assert "undone" in visitor.decide("z")
    assert log(folder)[-1] == ("undo", {"number": 1})


def test_a_held_key_decides_once(visit, folder):
    visitor = visit()
    visitor.page.keyboard.down("d")
    visitor.wait_for_answers(1)
    for _ in range(3):
        visitor.page.keyboard.down("d")  # as the system repeats it
        assert not visitor.page.evaluate("() => document.body.matches('.lb-busy')")
    visitor.page.keyboard.up("d")
    assert len(log(folder)) == 1


def test_what_contradicts_is_refused_in_words(visit, folder):
    visitor = visit("/compare?a=1&b=2")
    visitor.decide("s")
    problem = visitor.page.inner_text("#problem")
    assert "both seen by camera gate at 2024-05-31" in problem
    assert log(folder) == [] and visitor.said() == ""
    visitor.decide("d")
    assert visitor.page.locator("#problem").is_hidden()


def test_all_questions_are_answered_until_none_is_left(visit, labelling):
    visitor = visit()
    for _ in range(40):
        if visitor.page.inner_text("h1") == "No question is left":
            break
        units = visitor.page.locator(f"{UPPER}, {LOWER}").evaluate_all(
            "all => [...new Set(all.map(e => (e.dataset.unit - 1) % 3))]"
        )
        visitor.decide("s" if len(units) == 1 else "d")
    assert visitor.page.inner_text("h1") == "No question is left"
    assert [group.units for group in labelling.groups()] == [(1, 4, 7), (2, 5, 8), (3, 6, 9)]
    visitor.decide("z")
    assert visitor.page.inner_text("h1") == "Are these one person?"


def join(labelling, *units):
    for number, (a, b) in enumerate(zip(units, units[1:])):
        labelling.decide(f"{number:032x}", "same", {"a": a, "b": b})


def test_a_person_s_tracklets_are_seen_and_one_is_taken_out(visit, labelling, folder, any_width):
    join(labelling, 1, 4, 7)
    visitor = visit("/person?unit=4", any_width)
    assert visitor.fits()
    assert visitor.page.inner_text("h1") == "Person 1: 3 tracklets"
    assert visitor.marked() == "4/0"  # the one that was asked for
    assert "taken out" in visitor.decide("t")
    assert log(folder)[-1] == ("detach", {"unit": 4, "rest": [1, 7]})
    assert visitor.page.inner_text("h1") == "Person 4: 1 tracklet"
    assert visitor.page.locator("[data-key=t]").count() == 0
    visitor.decide("z")
    assert visitor.page.inner_text("h1") == "Person 1: 3 tracklets"
    visitor.press("ArrowDown")
    visitor.decide("n")
    assert log(folder)[-1] == ("not_person", {"unit": 7})
    assert visitor.page.inner_text("h1") == "Person 1: 2 tracklets"


def test_persons_are_merged_by_number(visit, labelling, folder, any_width):
    join(labelling, 1, 4)
    visitor = visit("/persons", any_width)
    assert visitor.fits() and visitor.page.inner_text("h1") == "8 persons"
    visitor.press("Enter")
    visitor.page.wait_for_url("**/person?unit=1")
    visitor.page.wait_for_selector("[data-marked]:focus")
    visitor.press("Shift+Tab", "Shift+Tab")
    visitor.page.keyboard.type("7")
    visitor.press("Enter")
    visitor.page.wait_for_url("**/compare?a=1&b=7")
    visitor.page.wait_for_selector("[data-marked]:focus")
    assert visitor.fits()
    visitor.decide("s")
    assert log(folder)[-1] == ("same", {"a": 1, "b": 7})
    assert visitor.path() == "/person?unit=1"
    assert visitor.page.inner_text("h1") == "Person 1: 3 tracklets"


def test_a_number_of_nobody_is_told(visit):
    visitor = visit("/person?unit=1")
    answer = visitor.page.request.get(f"{visitor.url}person?number=99")
    assert answer.status == 404 and "there is no person 99" in answer.text()


def test_history_undoes_any_decision_and_redoes_it(visit, labelling, folder, any_width):
    join(labelling, 1, 4, 7)
    visitor = visit("/", any_width)
    visitor.press("h")
    visitor.page.wait_for_url("**/history")
    visitor.page.wait_for_selector("[data-marked]:focus")
    assert visitor.fits()
    visitor.press("ArrowDown")
    assert visitor.marked() == "1"
    assert "decision 1 undone" in visitor.decide("Enter")
    assert visitor.page.inner_text("[data-item='3']") == "Redo"
    assert len(labelling.group_of(1).units) == 1
    while visitor.marked() != "3":
        visitor.press("ArrowUp")
    visitor.decide("Enter")
    assert labelling.group_of(1).units == (1, 4, 7)
    assert log(folder)[2:] == [("undo", {"number": 1}), ("undo", {"number": 3})]


class TestFrames:
    def open(self, visit, size=DESKTOP, path="/frames/2?unit=2"):
        visitor = visit(path, size)
        visitor.page.wait_for_function(
            "() => document.querySelector('.lb-stage img')?.naturalWidth > 0"
        )
        return visitor

    def boxes(self, labelling, frame_id=2):
        return {one.box.box_id: one.box.box for one in labelling.boxes([frame_id])}

    def test_the_marked_picture_s_frame_is_opened_and_the_next_one(self, visit, any_width):
        visitor = visit(size=any_width)
        visitor.press("ArrowRight", "f")
        visitor.page.wait_for_url("**/frames/2?unit=1")
        visitor.page.wait_for_selector(".lb-box[data-unit='1']:focus")
        assert visitor.fits()
        visitor.press(".")
        visitor.page.wait_for_url("**/frames/3")
        visitor.press(",")
        visitor.page.wait_for_url("**/frames/2")
        visitor.page.wait_for_selector("[data-marked]:focus")
        visitor.press("p")
        visitor.page.wait_for_url("**/person?unit=1")

    def test_boxes_lie_where_they_are_in_the_picture(self, visit, any_width):
        visitor = self.open(visit, any_width)
        picture = visitor.page.locator(".lb-stage img").bounding_box()
        box = visitor.page.locator(".lb-box[data-unit='2']").bounding_box()
        x0, y0, x1, y1 = box_of(1, 1)
        scale = picture["width"] / 320
        assert picture["height"] == pytest.approx(240 * scale, abs=1)
        assert box["x"] - picture["x"] == pytest.approx(x0 * scale, abs=1.5)
        assert box["y"] - picture["y"] == pytest.approx(y0 * scale, abs=1.5)
        assert box["width"] == pytest.approx((x1 - x0) * scale, abs=1.5)
        assert box["height"] == pytest.approx((y1 - y0) * scale, abs=1.5)

    def test_a_box_is_moved_and_resized_by_keys(self, visit, labelling, folder, any_width):
        visitor = self.open(visit, any_width)
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
        assert self.boxes(labelling)[number] == tuple(moved)
        assert visitor.marked() == f"box{number}"
        visitor.press("ArrowLeft", "Escape")
        assert visitor.page.locator(".lb-changed").count() == 0
        visitor.decide("z")
        assert self.boxes(labelling)[number] == (x0, y0, x1, y1)

    def test_a_box_is_removed(self, visit, labelling, folder):
        visitor = self.open(visit)
        number = int(visitor.marked().removeprefix("box"))
        assert "box removed" in visitor.decide("Delete")
        assert log(folder) == [("remove_box", {"box_id": number})]
        assert visitor.page.locator(".lb-box").count() == 2

    def test_a_box_is_added_for_somebody_who_is_near(self, visit, labelling, folder, any_width):
        removed = labelling.boxes([2])[1]
        labelling.decide("0" * 32, "remove_box", {"box_id": removed.box.box_id})
        visitor = self.open(visit, any_width)
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
        assert self.boxes(labelling)[-2] == tuple(box)

    def test_a_mouse_drags_boxes_and_their_borders(self, visit, labelling, folder):
        visitor = self.open(visit)
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
        assert self.boxes(labelling)[number] == pytest.approx(moved, abs=0.5)
        drag((moved[2] - 1, moved[1] + 50), (moved[2] + 14, moved[1] + 50))
        visitor.wait_for_answers(2)
        wider = (*moved[:2], moved[2] + 15, moved[3])
        assert self.boxes(labelling)[number] == pytest.approx(wider, abs=0.5)
        visitor.press("a")
        drag((20, 10), (60, 50))
        visitor.decide("Enter")
        assert log(folder)[-1][1]["box"] == pytest.approx([20, 10, 60, 50], abs=0.5)
        assert log(folder)[-1][1]["unit"] is None

    def test_a_picture_that_is_gone_is_told(self, visit, service, monkeypatch):
        frame = service.frame(2).frame
        monkeypatch.setattr(service, "_frames_around", lambda i, n: [_without_file(frame)])
        page = visit("/frames/2").page
        page.wait_for_selector(".ps-missing-frame")
        assert "the file is not there any more" in page.inner_text(".ps-missing-frame")


def _without_file(frame):
    return replace(frame, path="/nowhere/a.png")
