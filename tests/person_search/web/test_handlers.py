"""Clicks without a browser: what they make of the values of the page's fields."""

import base64
import html
import io
import json
import re
from urllib.parse import quote

import gradio as gr
import pytest
from PIL import Image

from person_search.index import open_index
from person_search.web.address import View
from person_search.web.handlers import Handlers, explained
from person_search.web.service import SearchService
from person_search.web.state import DEFAULT_TOP, Search
from person_search.web.uploads import Uploads
from person_search.web.views import ONE_RANKING
from tests.person_search.index import made_up_index

from .made_up_world import OneFaceNetwork

OPTIONS = ([], "", "", 0, DEFAULT_TOP, False)
NOTHING = Search()


def event(**data):
    return gr.EventData(None, data)


@pytest.fixture
def handlers(index):
    return Handlers(SearchService(index, OneFaceNetwork(true_id=1)), Uploads())


def add_picture(handlers, name="a.png", shade=0):
    buffer = io.BytesIO()
    Image.new("L", (40, 30), shade).save(buffer, "PNG")
    return handlers.uploads.add(name, buffer.getvalue())


def search_for(handlers, person_id, before=NOTHING, merge=False, options=OPTIONS):
    return handlers.search_person(event(id=str(person_id)), View(), before, merge, *options)


def ids_in(html):
    return sorted(re.findall(r'"person" data-id="(\d+)"', html))


def test_a_search_replaces_the_one_before_and_has_an_address(handlers):
    first = search_for(handlers, 1)
    second = search_for(handlers, 2, before=first.search)
    assert [q.person.person_id for q in second.search.queries] == [2]
    assert (first.address, second.address) == ("?person=1", "?person=2")
    # Back, and a reload by another visitor: all from the address
    for again in (
        handlers.go_back(event(address=first.address), second.search),
        handlers.open_address(first.address, NOTHING),
    ):
        assert again.search.hits == first.search.hits
        assert again.result == first.result
        assert again.address == first.address


def test_another_view_is_added_and_the_box_is_unticked(handlers):
    first = search_for(handlers, 1)
    second = search_for(handlers, 2, before=first.search, merge=True)
    assert [q.person.person_id for q in second.search.queries] == [1, 2]
    assert second.merge is False
    assert second.address == "?person=1&person=2"
    assert handlers.open_address(second.address, NOTHING).search.hits == second.search.hits


def test_filters_search_again_only_what_was_searched(handlers):
    options = (["c1"], *OPTIONS[1:])
    nothing = handlers.apply(View(), NOTHING, False, *options)
    assert nothing.address == "?camera=c1" and nothing.result == gr.skip()
    first = search_for(handlers, 1)
    again = handlers.apply(first.view, first.search, False, *options)
    assert {hit.person.frame.camera for hit in again.search.hits} == {"c1"}
    assert again.search.queries == first.search.queries
    assert again.address == "?camera=c1&person=1"


def test_an_address_fills_the_fields(handlers):
    address = "?camera=c1&camera=c2&from=2024-05-31&to=2024-06-30&score=0.6&top=7&cws=1&person=1"
    opened = handlers.open_address(address, NOTHING)
    assert (opened.cameras, opened.start, opened.end) == (["c1", "c2"], "2024-05-31", "2024-06-30")
    assert (opened.min_score, opened.top, opened.cws) == (0.6, 7, True)
    assert len(opened.search.hits) <= 7
    assert all(hit.person.score >= 0.6 for hit in opened.search.hits)
    assert opened.address == address


def test_an_address_opens_a_frame_and_a_page_of_the_list(handlers, index):
    path = index.frames(limit=1)[0].path
    opened = handlers.open_address(f"?frame={quote(path, safe='')}&person=2", NOTHING)
    assert path in opened.frame and opened.view.frame == path
    assert opened.search.queries  # the result is there too, behind the frame
    listed = handlers.open_address("?list=3", NOTHING)
    assert "20 frames" in listed.frames and listed.search == gr.skip()


@pytest.mark.parametrize(
    "address",
    [
        *("?person=99999", "?frame=/etc/passwd", "?frame=/etc/passwd&at=1", "?camera=none"),
        *("?from=noon", "?person=1&top=501", "?apart=61", "?score=2", f"?person={10**14}"),
    ],
)
def test_an_address_that_leads_nowhere_is_told_and_the_start_is_shown(
    handlers, address, monkeypatch
):
    told = []
    monkeypatch.setattr(gr, "Warning", lambda message, **options: told.append(message))
    opened = handlers.open_address(address, NOTHING)
    assert len(told) == 1
    assert opened.address == "" and "20 frames" in opened.frames
    assert opened.frame == gr.skip() and opened.search == gr.skip()


def test_messages_show_names_as_they_are(handlers, monkeypatch):
    """Gradio's messages are HTML, and anybody can write an address, or name a file so."""
    told = []
    monkeypatch.setattr(gr, "Warning", lambda message, **options: told.append(message))
    name = "<a href='https://elsewhere.example'>log in</a>"
    handlers.open_address(f"?camera={quote(name)}", NOTHING)
    token = add_picture(handlers, "<b>me.png")
    with pytest.raises(gr.Error) as raised:
        explained(handlers.search_box)(token, "1,2,3,4000", View(), NOTHING, False, *OPTIONS)
    for message, shown in ((told[0], name), (raised.value.message, "<b>me.png")):
        assert "<" not in message and shown in html.unescape(message)


def test_what_is_no_frame_of_the_index_is_told_alike(handlers, tmp_path):
    there = tmp_path / "there.png"
    Image.new("L", (4, 4)).save(there)
    messages = []
    for path in (str(there), str(tmp_path / "none.png")):
        with pytest.raises(gr.Error) as raised:
            explained(handlers.open_frame)(
                event(file=path, pts=""), View(), NOTHING, False, *OPTIONS
            )
        messages.append(str(raised.value).replace(path, "PATH"))
    assert len(set(messages)) == 1 and "no frame of PATH" in messages[0]


def test_another_grouping_shows_the_same_hits(handlers):
    first = search_for(handlers, 1, options=(["c1"], *OPTIONS[1:]))
    grouped, ranked = (
        handlers.show_again(event(value=str(pause)), first.view, first.search)
        for pause in (60.0, ONE_RANKING)
    )
    assert "Among camera c1; all times" in grouped.result
    assert "Camera c1<" in grouped.result and "Camera c1<" not in ranked.result
    ids = sorted(str(hit.person.person_id) for hit in first.search.hits)
    assert ids_in(grouped.result) == ids_in(ranked.result) == ids
    assert ranked.address == "?camera=c1&apart=-1.0&person=1"
    assert handlers.open_address(ranked.address, NOTHING).result == ranked.result


def test_pictures_of_the_same_name_are_told_apart(handlers):
    search = NOTHING
    for shade in (0, 255):
        token = add_picture(handlers, shade=shade)
        search = handlers.search_whole_picture(token, View(), search, True, *OPTIONS).search
    assert [query.name for query in search.queries] == ["a.png", "a.png (2)"]


def test_an_own_picture_is_in_no_address(handlers):
    token = add_picture(handlers, "me.png")
    first = handlers.search_whole_picture(token, View(), NOTHING, False, *OPTIONS)
    assert first.address == "?own=1" and token not in first.address
    other = search_for(handlers, 1, before=first.search)
    # Back in the same visit leads to it; elsewhere it is told
    again = handlers.go_back(event(address=first.address), other.search)
    assert again.search.hits == first.search.hits and again.result == first.result
    stranger = handlers.open_address(first.address, NOTHING)
    assert "No address can hold a picture" in stranger.result
    assert stranger.search == NOTHING


def test_an_own_picture_that_gave_way_is_searched_all_the_same(handlers):
    token = add_picture(handlers)
    first = handlers.search_whole_picture(token, View(), NOTHING, False, *OPTIONS)
    handlers.uploads._kept.clear()
    again = handlers.apply(first.view, first.search, False, *OPTIONS)
    assert again.search.hits == first.search.hits
    assert "Missing" in again.result


@pytest.mark.parametrize("pts", [0, 10])
def test_a_frame_of_a_video_is_opened(tmp_path, pts):
    with open_index(str(tmp_path / "index"), create=made_up_index.INFO) as index:
        made_up_index.fill(index)
        handlers = Handlers(SearchService(index), Uploads())
        opened = handlers.open_frame(
            event(file="/data/v.mp4", pts=str(pts)), View(), NOTHING, False, *OPTIONS
        )
        again = handlers.open_address(opened.address, NOTHING)
    assert opened.view.pts == again.view.pts == pts
    assert f"v.mp4#{pts}" in opened.frame


@pytest.mark.parametrize("kind", ["CSV", "JSON", "Montage", "Web page"])
def test_a_result_is_saved(handlers, kind):
    first = search_for(handlers, 1)
    file = handlers.download(event(kind=kind), first.search)
    assert file["name"].startswith("hits.") and file["base64"]


def test_a_montage_of_an_own_picture_that_gave_way_is_saved(handlers):
    token = add_picture(handlers)
    first = handlers.search_whole_picture(token, View(), NOTHING, False, *OPTIONS)
    handlers.uploads._kept.clear()
    assert handlers.download(event(kind="Montage"), first.search)["base64"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda h, now: h.search_whole_picture(None, *now), "no picture is chosen"),
        (lambda h, now: h.search_whole_picture("/etc/passwd", *now), "not here any more"),
        (lambda h, now: h.search_box(None, None, *now), "Box of the person"),
        (lambda h, now: search_for(h, 99999), "no person 99999"),
        (lambda h, now: h.open_frame(event(file="/none.jpg", pts=""), *now), "no frame of"),
        (lambda h, now: h.apply(View(), NOTHING, False, [], "noon", *OPTIONS[2:]), "From: 'noon'"),
        (lambda h, now: h.download(event(kind="CSV"), NOTHING), "nothing is searched"),
        (lambda h, now: h.download(event(kind="__class__"), NOTHING), "nothing is searched"),
        # what no page of ours sends
        (lambda h, now: search_for(h, "x"), "out of date; reload it"),
        (lambda h, now: search_for(h, 10**30), "out of date; reload it"),
        (lambda h, now: h.search_person(gr.EventData(None, None), *now), "out of date"),
        (lambda h, now: h.open_frame(event(pts="1"), *now), "out of date"),
        (lambda h, now: h.turn_page(event(page="9" * 5000), *now), "out of date"),
        (lambda h, now: h.show_again(event(value="61"), View(), NOTHING), "can't be grouped"),
        (lambda h, now: h.show_again(event(value="nan"), View(), NOTHING), "can't be grouped"),
        (lambda h, now: search_for(h, 1, options=(*OPTIONS[:4], None, False)), "Hits at most"),
        (lambda h, now: search_for(h, 1, options=(*OPTIONS[:4], float("nan"), 0)), "Hits at most"),
        (lambda h, now: h.take_upload(event(token="../a.png")), "not here any more"),
    ],
)
def test_a_mistake_is_shown_in_its_own_words(handlers, call, message):
    with pytest.raises(gr.Error, match=message) as raised:
        explained(lambda: call(handlers, (View(), NOTHING, False, *OPTIONS)))()
    assert not raised.value.print_exception


def test_names_that_are_no_utf8_come_back_with_a_click(tmp_path):
    """What is sent to the browser is valid Unicode, and shows the name."""
    path, camera = "/data/\udce9\x1b\r\n.jpg", "caf\udce9"
    with open_index(str(tmp_path / "index"), create=made_up_index.INFO) as index:
        with index.writer() as writer:
            made_up_index.add_picture(writer, path, camera=camera)
            writer.commit()
        handlers = Handlers(SearchService(index), Uploads())
        _, cameras = handlers.start_page()
        ((label, value),) = cameras.choices
        assert label == r"caf\xe9"
        now = (View(), NOTHING, False, [value], *OPTIONS[1:])
        listed = handlers.apply(*now)
        assert listed.address == "?camera=caf%E9"
        (file,) = re.findall('data-file="([^"]*)"', listed.frames)
        opened = handlers.open_frame(event(file=html.unescape(file), pts=""), *now)
        assert opened.view.frame == path and opened.view.cameras == (camera,)
        again = handlers.open_address(opened.address, NOTHING)
        assert again.view == opened.view and again.frame == opened.frame
        assert again.cameras == [value]  # what the field's choices have
        found = handlers.search_person(event(id="1"), *now)
        assert {hit.person.frame.path for hit in found.search.hits} == {path}
        for shown in (value, listed.frames, listed.filters_box.label, opened.frame, found.result):
            shown.encode()
        assert r"\xe9\x1b" in opened.frame and r"camera caf\xe9" in listed.filters_box.label
        assert r"\xe9\x1b" in found.result and "\x1b" not in found.result.replace(file, "")
        for kind in ("CSV", "JSON", "Web page", "Montage"):
            saved = base64.b64decode(handlers.download(event(kind=kind), found.search)["base64"])
            if kind == "JSON":
                assert {hit["frame"] for hit in json.loads(saved)["hits"]} == {path}
            elif kind != "Montage":
                assert r"\xe9\x1b" in saved.decode()
