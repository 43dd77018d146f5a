"""The page over HTTP: what is answered, and what is refused."""

import re

import pytest

from .conftest import OWN

TOKEN = "ab" * 16


def send(client, kind="same", payload=None, token=TOKEN, **headers):
    payload = {"a": 1, "b": 4} if payload is None else payload
    body = {"token": token, "kind": kind, "payload": payload, "project": project_of(client)}
    return client.post("/decide", json=body, headers=headers)


def project_of(client):
    return re.search(r'data-project="(\w+)"', client.get("/history").text)[1]


def test_a_decision_is_on_the_disk_before_it_is_acknowledged(client, labelling):
    answer = send(client)
    assert answer.status_code == 200
    assert answer.json() == {"said": "tracklet 1 and tracklet 4: one person"}
    assert [d.token for d in labelling.project.decisions()] == [TOKEN]
    assert send(client).json() == answer.json()  # the answer was lost: it is asked again
    assert len(labelling.project.decisions()) == 1


@pytest.mark.parametrize(
    ("kind", "payload", "words"),
    [
        ("same", {"a": 1, "b": 2}, "both seen by camera gate"),
        ("same", {"a": 1, "b": 99}, "no unit 99"),
        ("same", {"a": 1}, "fields a, b"),
        ("undo", {"number": None}, "no decision to undo"),
        ("undo", {"number": 5}, "decision 5 was never made"),
        ("split", {"unit": 1, "view": 0}, "can't be split before view 0"),
        ("move_box", {"box_id": 1, "box": [5, 5, 400, 50]}, "400, 50] is not inside the frame"),
    ],
)
def test_what_is_not_possible_is_refused_in_one_line(client, labelling, kind, payload, words):
    answer = send(client, kind, payload)
    assert answer.status_code == 400 and words in answer.json()["error"]
    assert "\n" not in answer.json()["error"]
    assert labelling.decisions() == []


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/person?number=99", "there is no person 99"),
        ("/person?unit=99", "there is no unit 99"),
        ("/person", "unit in the address is None and must be a whole number"),
        ("/person?unit=x", "must be a whole number"),
        ("/frames/999", "no frame 999 that may be shown"),
        (f"/frames/{10**30}", "must be a whole number"),
        ("/persons?page=x", "must be a whole number"),
        ("/crops/1/9", "no crop 9 of tracklet 1"),
        ("/pictures/999", "no frame 999"),
    ],
)
def test_what_is_not_there_is_told(client, path, words):
    answer = client.get(path)
    assert answer.status_code == 404 and words in answer.text


def test_a_page_that_is_not_there_is_the_nearest_one(client):
    for path in ("/persons?page=7", "/history?page=-3"):
        assert client.get(path).status_code == 200


def test_crops_and_frames_are_pictures(client, labelling):
    for path in ("/crops/1/0", "/pictures/1"):
        answer = client.get(path)
        assert answer.headers["content-type"] == "image/jpeg" and answer.content[:2] == b"\xff\xd8"
    assert client.get("/crops/4/2").content == labelling.project.crop(4, 2)


def test_frames_of_somebody_who_was_forgotten_are_not_shown(client, labelling):
    labelling.project._run("UPDATE frames SET is_withheld = 1 WHERE frame_id = 2")
    for path in ("/frames/2", "/pictures/2"):
        assert client.get(path).status_code == 404
    page = client.get("/frames/3").text
    assert 'href="/frames/1"' in page and "/frames/2" not in page


def test_names_are_no_html(client):
    page = client.get("/person?unit=4").text
    assert "yard &lt;2&gt;" in page and "<2>" not in page


def test_contradictions_are_listed(client, labelling):
    """4 is split after "same": with the split undone, an answer about its part contradicts."""
    for number, (a, b) in enumerate(((1, 4), (4, 7))):
        send(client, "same", {"a": a, "b": b}, f"{number:032x}")
    send(client, "undo", {"number": 1}, "c" * 32)
    send(client, "different", {"a": 1, "b": 4}, "d" * 32)
    send(client, "undo", {"number": 3}, "e" * 32)  # 1 and 4 are the same again
    assert len(labelling.contradictions()) == 1
    assert "1 decision left out as it contradicts others" in client.get("/").text
    assert labelling.contradictions()[0].split(":")[0] in client.get("/history").text


def test_persons_come_in_pages(client, monkeypatch):
    monkeypatch.setattr("person_search.label.web.service.PERSONS_PER_PAGE", 4)
    pages = [client.get(f"/persons?page={number}").text for number in (1, 2, 3)]
    units = [re.findall(r'href="/person\?unit=(\d+)"', page) for page in pages]
    assert units == [["1", "2", "3", "4"], ["5", "6", "7", "8"], ["9"]]
    assert 'href="/persons?page=2"' in pages[0] and "Page 3 of 3" in pages[2]


@pytest.mark.parametrize(
    "path", ["/docs", "/openapi.json", "/static/a.js", "/templates/base.html", "/label.js/../a"]
)
def test_nothing_else_is_there(client, path):
    assert client.get(path).status_code in (403, 404, 405)


def test_requests_of_other_pages_are_refused(client, labelling):
    for headers in (
        {"Origin": "https://elsewhere.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
    ):
        assert send(client, **headers).status_code == 403
        assert client.get("/crops/1/0", headers=headers).status_code == 403
    assert client.get("/", headers={"Host": "rebound.example"}).status_code == 403
    assert labelling.decisions() == []
    assert send(client, Origin=OWN).status_code == 200


def test_only_the_page_s_methods_and_sizes_pass(client):
    assert client.get("/decide").status_code == 405
    assert client.post("/", content=b"").status_code == 405
    assert client.put("/decide", content=b"").status_code == 405
    assert client.post("/decide", content=b"x" * 100_001).status_code == 413


def test_nothing_is_inline_kept_or_framed(client):
    headers = client.get("/").headers
    assert "script-src 'self';" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    for path in ("/", "/crops/1/0", "/pictures/1"):
        assert client.get(path).headers["cache-control"] == "no-store"
