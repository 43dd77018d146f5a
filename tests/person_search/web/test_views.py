"""The page's HTML, read back."""

import re
import shutil
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from person_search.errors import UserError
from person_search.index import NO_FILTERS, Filters, Frame, Person
from person_search.web import pictures, views
from person_search.web import service as service_module
from person_search.web.service import FramePage, FrameWithPersons
from tests.tiny_run import save_video

from .made_up_world import ODD_CAMERA


def test_one_of_a_kind_is_not_told_as_many():
    assert "1 frame of 1 file" in views.header("DIR", (1, 1, 1), None)
    assert "1,200 frames of 2 files" in views.header("DIR", (2, 1200, 0), None)


class Page(HTMLParser):
    """The buttons' data, the number of pictures, and the text."""

    def __init__(self, html):
        super().__init__()
        self.buttons, self.images, self.text = [], 0, ""
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        if tag == "button":
            self.buttons.append(dict(attributes))
        self.images += tag == "img"

    def handle_data(self, data):
        self.text += data

    def ids(self, css_class):
        return [
            int(b["data-id"])
            for b in self.buttons
            if b["class"] == css_class and b["data-event"] == "person"
        ]


@pytest.fixture
def shown(service):
    """A frame with several persons."""
    frames = service.frame_page(NO_FILTERS, 1).frames
    return max(frames, key=lambda item: len(item.persons))


def result(service, pause=600.0, filters=NO_FILTERS, person_id=1):
    queries = [service.query_of_person(person_id)]
    hits = service.search(queries, filters, 8, cws=False)
    return hits, Page(views.result_view(queries, hits, filters, pause))


def test_a_list_has_a_button_for_each_frame(service):
    page = Page(views.frame_list(service.frame_page(NO_FILTERS, 1)))
    frames = service.frame_page(NO_FILTERS, 1).frames
    assert [b["data-file"] for b in page.buttons] == [item.frame.path for item in frames]
    assert {(b["data-event"], b["data-pts"]) for b in page.buttons} == {("frame", "")}
    assert page.images == 20
    assert "20 frames. Choose one" in page.text


def test_pages_are_turned_from_the_list(service, monkeypatch):
    monkeypatch.setattr(service_module, "FRAMES_PER_PAGE", 6)
    for number, others in ((1, ["0", "2"]), (2, ["1", "3"]), (4, ["3", "5"])):
        html = views.frame_list(service.frame_page(NO_FILTERS, number))
        page = Page(html)
        turns = [b for b in page.buttons if b["data-event"] == "turn"]
        assert [b["data-page"] for b in turns] == others * 2  # above and below
        off = [b["data-page"] for b in turns if "disabled" in b]
        assert off == [n for n in others if n in ("0", "5")] * 2
        assert f"page {number} of 4" in page.text


def test_names_of_others_are_shown_as_they_are(service):
    html = views.frame_list(service.frame_page(Filters(cameras=(ODD_CAMERA,)), 1))
    assert "<b>" not in html
    assert f"camera {ODD_CAMERA}," in Page(html).text


def test_persons_of_a_frame_are_marked_and_listed(shown):
    page = Page(views.frame_view(shown))
    ids = [person.person_id for person in shown.persons]
    assert page.ids("ps-mark") == page.ids("ps-pick") == ids
    assert page.images == 1 + len(ids)


def test_marks_are_where_the_persons_are_and_small_ones_on_top():
    marks = views._marks([(0, 0, 100, 50), (10, 10, 20, 20)], width=200, height=100)
    assert marks[0]["style"] == "left:0.00%;top:0.00%;width:50.00%;height:50.00%;z-index:1"
    assert marks[1]["style"] == "left:5.00%;top:10.00%;width:5.00%;height:10.00%;z-index:2"


def test_a_result_has_every_hit_in_its_group(service):
    hits, page = result(service)
    assert sorted(page.ids("ps-pick")) == sorted(hit.person.person_id for hit in hits)
    # a query, and two buttons for each hit, and one for each kind of file
    assert (page.images, len(page.buttons)) == (1 + len(hits), 2 * len(hits) + 4)
    assert f"{hits[0].similarity:.3f}" in page.text


def test_one_ranking_keeps_the_order(service):
    hits, page = result(service, pause=views.ONE_RANKING)
    assert page.ids("ps-pick") == [hit.person.person_id for hit in hits]


def test_a_time_is_said_once(service):
    """The world's frames are half an hour apart: with 10 minutes a group has one time."""
    hits, page = result(service, pause=600.0)
    times = {views.format_time(hit.person.frame.time) for hit in hits}
    assert all(page.text.count(time) == len(groups_at(hits, time)) for time in times)
    # within a day the groups say the day, the hits the time of day alone
    hits, page = result(service, pause=86400.0)
    groups = {hit.person.frame.camera for hit in hits}
    assert page.text.count("2024-05-31") == len(groups)


def groups_at(hits, time):
    return {h.person.frame.camera for h in hits if views.format_time(h.person.frame.time) == time}


def test_weak_hits_are_told(service, world, index):
    person_id, appearances = world.person_seen_by(2, index)
    queries = [service.query_of_person(person_id)]
    hits = service.search(queries, NO_FILTERS, 20, cws=False)
    html = views.result_view(queries, hits, NO_FILTERS, None)
    num_weak = sum(hit.similarity < 0.5 for hit in hits)
    # features of this world: 0.97 for the same person, about 0 for others
    assert num_weak == 20 - (len(appearances) - 1)
    assert html.count("ps-card ps-weak") == num_weak
    assert "below 0.5 a hit is weak" in html
    strong = views.result_view(queries, hits[: len(appearances) - 1], NO_FILTERS, None)
    assert "weak" not in strong


def test_hits_are_grouped_only_as_the_page_offers(service):
    with pytest.raises(UserError, match="can't be grouped so"):
        views.result_view([], [], NO_FILTERS, 61.0)


def test_no_hit_is_told(service):
    _, page = result(service, filters=Filters(min_score=0.999))
    assert "No person of the index passes the filters" in page.text
    assert "scores from 0.999" in page.text


@pytest.mark.parametrize("change", ["moved", "damaged", "another size"])
def test_a_picture_that_is_gone_is_shown_as_missing(service, shown, change):
    path = shown.frame.path
    shutil.copy(path, f"{path}.kept")
    try:
        if change == "moved":
            shutil.move(path, f"{path}.elsewhere")
        elif change == "damaged":
            open(path, "w").close()
        else:
            cv2.imwrite(path, np.zeros((30, 40, 3), np.uint8))
        frame = Page(views.frame_view(shown))
        listed = Page(views.frame_list(service.frame_page(NO_FILTERS, 1)))
        _, found = result(service, person_id=shown.persons[0].person_id)
    finally:
        shutil.move(f"{path}.kept", path)
    assert frame.images == 0 and "Missing: the file" in frame.text
    assert frame.ids("ps-pick") == [person.person_id for person in shown.persons]
    assert listed.images == 19 and "Missing: the file" in listed.text
    # the query is missing too
    assert "Missing: the file" in found.text


def test_an_upload_has_its_persons_and_can_be_drawn_in():
    image = np.zeros((50, 100, 3), np.uint8)
    html = views.upload_view("a<b.jpg", image, np.array([[10.2, 5, 30, 49.6]]))
    page = Page(html)
    assert [b["data-box"] for b in page.buttons] == ["10,5,30,50"] * 2
    assert "a<b.jpg, 100 × 50 pixels" in page.text
    assert 'data-width="100" data-height="50"' in html
    assert "No person is detected" in views.upload_view("a", image, np.zeros((0, 4)))


def test_the_marks_of_a_thumbnail_are_drawn(shown):
    image, _ = pictures.read_indexed(shown.frame)
    with_marks = pictures.thumbnail(image, shown.persons)["src"]
    assert with_marks != pictures.thumbnail(image, ())["src"]


def test_a_frame_of_a_video_is_shown(tmp_path):
    path = str(save_video(tmp_path / "v.avi"))
    shown = []
    for number in (0, 5):
        frame = Frame(number + 1, path, number, "c1", 0.0, width=96, height=64)
        person = Person(7, frame, (10.0, 10.0, 40.0, 60.0), 0.9)
        shown.append(views.frame_view(FrameWithPersons(frame, (person,))))
        assert Page(shown[-1]).images == 2
        assert f"v.avi#{number}" in Page(shown[-1]).text
    sources = [re.findall('src="([^"]+)"', html) for html in shown]
    assert sources[0] != sources[1]
    page = FramePage((FrameWithPersons(frame, ()),), 1, 1, 1)
    assert Page(views.frame_list(page)).buttons[0]["data-pts"] == "5"
