"""Clicks without a browser: what they make of the values of the page's fields."""

import base64
import html
import json
import re

import gradio as gr
import numpy as np
import pytest

from fully_decoupled_ps.index import open_index
from fully_decoupled_ps.web.handlers import ONE_RANKING, Handlers, Search, Upload, explained
from fully_decoupled_ps.web.service import SearchService
from tests.index import made_up_index

from .made_up_world import OneFaceNetwork

OPTIONS = ([], "", "", 0, 5, False, ONE_RANKING)


def event(**data):
    return gr.EventData(None, data)


@pytest.fixture
def handlers(index):
    return Handlers(SearchService(index, OneFaceNetwork(true_id=1)))


def search_for(handlers, person_id, before=Search(), merge=False):  # noqa: B008 (it is frozen)
    return handlers.search_person(event(id=str(person_id)), before, *OPTIONS, merge)


def test_a_search_replaces_the_one_before_and_back_leads_there(handlers):
    first, *_ = search_for(handlers, 1)
    second, _, back, *_ = search_for(handlers, 2, before=first)
    assert [q.person.person_id for q in second.queries] == [2]
    assert back.interactive
    third, _, back, *_ = handlers.search_before(second, *OPTIONS)
    assert (third.queries, third.hits) == (first.queries, first.hits)
    assert not back.interactive


def test_another_view_is_added_and_the_box_is_unticked(handlers):
    first, *_ = search_for(handlers, 1)
    second, _, _, *others = search_for(handlers, 2, before=first, merge=True)
    assert [q.person.person_id for q in second.queries] == [1, 2]
    assert others[-1] is False


def test_filters_search_again_only_what_was_searched(handlers):
    nothing = handlers.search_again(Search(), *OPTIONS)
    first, *_ = search_for(handlers, 1)
    options = (["c1"], *OPTIONS[1:])
    again, *others = handlers.search_again(first, *options)
    assert len(nothing) == len(others) + 1
    assert {hit.person.frame.camera for hit in again.hits} == {"c1"}
    assert again.queries == first.queries


def test_another_grouping_shows_the_same_hits(handlers):
    assert handlers.show_again(Search(), 60.0) == gr.skip()
    search, *_ = handlers.search_person(event(id="1"), Search(), ["c1"], *OPTIONS[1:], False)
    grouped, ranked = (handlers.show_again(search, pause) for pause in (60.0, ONE_RANKING))
    assert "Among camera c1; all times" in grouped
    assert "Camera c1" in grouped and "Camera c1" not in ranked
    ids = [sorted(re.findall(r'"person" data-id="(\d+)"', html)) for html in (grouped, ranked)]
    assert ids[0] == ids[1] == sorted(str(hit.person.person_id) for hit in search.hits)


def test_pictures_of_the_same_name_are_told_apart(handlers):
    search = Search()
    for shade in (0, 255):
        upload = Upload("a.jpg", np.full((40, 30, 3), shade, np.uint8))
        search, *_ = handlers.search_whole_picture(search, *OPTIONS, upload, True)
    assert [query.name for query in search.queries] == ["a.jpg", "a.jpg (2)"]


@pytest.mark.parametrize("pts", [0, 10])
def test_a_frame_of_a_video_is_opened(tmp_path, pts):
    with open_index(str(tmp_path / "index"), create=made_up_index.INFO) as index:
        made_up_index.fill(index)
        opened = Handlers(SearchService(index)).open_frame(
            event(file="/data/v.mp4", pts=str(pts)), None
        )
    assert opened[0].pts == pts


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda h: h.search_whole_picture(Search(), *OPTIONS, None, False), "no picture is"),
        (lambda h: h.search_before(Search(), *OPTIONS), "no search before"),
        (lambda h: search_for(h, 99999), "no person 99999"),
        (lambda h: h.open_frame(event(file="/none.jpg", pts=""), 0), "no frame of /none.jpg"),
        (lambda h: h.list_frames([], "noon", "", 0), "From: 'noon'"),
    ],
)
def test_a_mistake_is_shown_in_its_own_words(handlers, call, message):
    with pytest.raises(gr.Error, match=message) as raised:
        explained(lambda: call(handlers))()
    assert not raised.value.print_exception


def test_names_that_are_no_utf8_come_back_with_a_click(tmp_path):
    """What is sent to the browser is valid Unicode, and shows the name."""
    path, camera = "/data/\udce9\x1b\r\n.jpg", "caf\udce9"
    with open_index(str(tmp_path / "index"), create=made_up_index.INFO) as index:
        with index.writer() as writer:
            made_up_index.add_picture(writer, path, camera=camera)
            writer.commit()
        handlers = Handlers(SearchService(index))
        _, cameras = handlers.start_page()
        ((label, value),) = cameras.choices
        assert label == r"caf\xe9"
        filters = ([value], "", "", 0)
        listed, _, accordion, *_ = handlers.list_frames(*filters)
        (file,) = re.findall('data-file="([^"]*)"', listed)
        frame, view, *_ = handlers.open_frame(event(file=html.unescape(file), pts=""), 0)
        assert (frame.path, frame.camera) == (path, camera)
        options = (*filters, 5, False, ONE_RANKING)
        search, result, *_ = handlers.search_person(event(id="1"), Search(), *options, False)
        assert {hit.person.frame.path for hit in search.hits} == {path}
        for shown in (value, listed, accordion.label, view, result):
            shown.encode()
        assert r"/data/\xe9\x1b" in view and r"camera caf\xe9" in accordion.label
        assert r"\xe9\x1b" in result and "\x1b" not in result.replace(file, "")
        for label in ("CSV", "JSON", "Web page", "Montage"):
            saved = base64.b64decode(handlers.download(label, search)["base64"])
            if label == "JSON":
                assert {hit["frame"] for hit in json.loads(saved)["hits"]} == {path}
            elif label != "Montage":
                assert r"\xe9\x1b" in saved.decode()
