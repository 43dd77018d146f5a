"""A result as files."""

import csv
import io
import json

import cv2
import numpy as np
import pytest

from person_search.index import NO_FILTERS
from person_search.web.downloads import DOWNLOADS


@pytest.fixture
def searched(service):
    queries = [service.query_of_person(1)]
    return "DIR", queries, service.search(queries, NO_FILTERS, 7, cws=False)


def test_tables_have_every_hit(searched):
    _, queries, hits = searched
    rows = list(csv.DictReader(io.StringIO(DOWNLOADS["CSV"](*searched).content.decode())))
    content = json.loads(DOWNLOADS["JSON"](*searched).content)
    ids = [hit.person.person_id for hit in hits]
    assert [int(row["person"]) for row in rows] == ids
    assert [row["person"] for row in content["hits"]] == ids
    assert content["index"] == "DIR"
    assert content["left_out"] == [1]  # as `person-search query --json` says it
    assert content["queries"][0]["image"] == queries[0].name
    np.testing.assert_allclose(json.loads(f"[{rows[0]['box']}]"), hits[0].person.box, atol=0.06)


def test_pictures_show_every_hit(searched):
    montage = DOWNLOADS["Montage"](*searched)
    image = cv2.imdecode(np.frombuffer(montage.content, np.uint8), cv2.IMREAD_COLOR)
    assert image.shape[1] > 7 * 128
    page = DOWNLOADS["Web page"](*searched)
    assert page.name.endswith(".html")
    assert page.content.decode().count("<img") >= 8
