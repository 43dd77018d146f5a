"""Visitors' own pictures."""

import io
import os
import tempfile
import time
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from fastapi import FastAPI
from PIL import Image
from starlette.testclient import TestClient

from person_search.errors import UserError
from person_search.web import uploads as uploads_module
from person_search.web.uploads import Uploads, add_upload_route


def png(width, height, color=(10, 200, 30)):
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), color).save(buffer, "PNG")
    return buffer.getvalue()


def claiming(width, height):
    """A PNG of few bytes that says that it is so large."""
    content = bytearray(png(4, 4))
    content[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    return bytes(content)


def test_a_picture_is_found_by_its_token_alone():
    uploads = Uploads()
    token = uploads.add("a.png", png(6, 4))
    upload = uploads.get(token)
    assert upload.name == "a.png"
    np.testing.assert_array_equal(upload.image, np.full((4, 6, 3), (10, 200, 30), np.uint8))
    assert len({uploads.add("a.png", png(6, 4)) for _ in range(5)}) == 5
    for other in ("a.png", "", token[:-1], "/etc/passwd"):
        with pytest.raises(UserError, match="not here any more"):
            uploads.get(other)


def test_nothing_stays_on_the_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    uploads = Uploads()
    uploads.add("a.png", png(6, 4))
    with pytest.raises(UserError):
        uploads.add("b.png", b"no picture")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "called"),
    [
        *(("holiday.png", "holiday.png"), ("../../etc/x.png", "x.png"), ("C:\\my\\x.png", "x.png")),
        *(("", "picture"), ("..", ".."), ("é\u0000.png", "é\u0000.png"), ("a" * 300, "a" * 120)),
    ],
)
def test_a_picture_is_called_as_the_visitor_calls_it(name, called):
    uploads = Uploads()
    assert uploads.get(uploads.add(name, png(6, 4))).name == called
    with pytest.raises(UserError) as raised:
        uploads.add(name, b"no picture")
    assert called in str(raised.value)
    assert tempfile.gettempdir() not in str(raised.value)


@pytest.mark.parametrize("size", [(9000, 9000), (10_000, 9500), (60_000, 60_000), (2**31 - 1, 1)])
def test_a_picture_that_would_take_all_memory_is_not_decoded(size):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the server's log is not the place to tell it
        with pytest.raises(UserError, match="bomb.png has more than 80 million pixels"):
            Uploads().add("bomb.png", claiming(*size))


def test_a_heic_picture_that_would_take_all_memory_is_not_decoded(monkeypatch):
    pillow_heif = pytest.importorskip("pillow_heif")
    monkeypatch.setattr(uploads_module, "MAX_PIXELS", 64 * 64 - 1)
    # as before the first HEIC was read
    monkeypatch.setattr(Image, "ID", [form for form in Image.ID if form != "HEIF"])
    content = io.BytesIO()
    pillow_heif.from_pillow(Image.new("RGB", (64, 64))).save(content)
    with pytest.raises(UserError, match="a.heic has more than"):
        Uploads().add("a.heic", content.getvalue())


def test_a_visitor_starts_no_other_program():
    script = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 40 40\n%%EndComments\nshowpage\n"
    with pytest.raises(UserError, match=r"a.png can't be read \(it is PostScript"):
        Uploads().add("a.png", script)


def test_what_was_assumed_of_a_picture_is_noted():
    content = io.BytesIO()
    Image.fromarray(np.full((40, 60), 7, np.uint16)).save(content, "PNG")
    uploads = Uploads()
    assert "little contrast" in uploads.get(uploads.add("night.png", content.getvalue())).note
    assert uploads.get(uploads.add("a.png", png(6, 4))).note == ""


class CountingUploads:
    """Takes pictures slowly, and counts those that are read at one time."""

    def __init__(self):
        self.now = self.most = self.taken = 0

    def add(self, name, content):
        self.now += 1
        self.most = max(self.most, self.now)
        time.sleep(0.02)
        self.now -= 1
        self.taken += 1
        return "token"


def test_pictures_are_read_one_after_the_other():
    uploads, app = CountingUploads(), FastAPI()
    add_upload_route(app, uploads)
    with TestClient(app) as client, ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: client.post("/upload", content=b"x"), range(6)))
    assert [answer.status_code for answer in answers] == [200] * 6
    assert (uploads.taken, uploads.most) == (6, 1)


def test_an_empty_file_is_told():
    with pytest.raises(UserError, match="a.png is empty"):
        Uploads().add("a.png", b"")


def test_the_oldest_pictures_give_way(monkeypatch):
    monkeypatch.setattr(uploads_module, "MAX_KEPT", 3 * 6 * 4 * 3)
    uploads = Uploads()
    tokens = [uploads.add("a.png", png(6, 4)) for _ in range(3)]
    uploads.get(tokens[0])  # used again
    tokens.append(uploads.add("a.png", png(6, 4)))
    with pytest.raises(UserError):
        uploads.get(tokens[1])
    assert [uploads.get(tokens[i]).name for i in (0, 2, 3)] == ["a.png"] * 3
    # the last one always stays, however large
    large = uploads.add("large.png", png(60, 40))
    assert uploads.get(large).image.shape == (40, 60, 3)
