"""The documentation's pictures of the labelling page."""

import cv2

import make_screenshots as screenshots
from person_search.label.store import open_project
from tests.person_search.web.browser import chromium


def test_the_page_is_taken_and_nothing_is_decided(folder, tmp_path):
    with chromium():  # where there is none, this test is skipped
        pass
    screenshots.take_labelling(str(folder), tmp_path / "pictures")
    pictures = {p.stem: cv2.imread(str(p)).shape[1] for p in (tmp_path / "pictures").glob("*")}
    assert pictures == {"label-question": 1120, "label-phone": 400}
    project = open_project(folder)
    assert project.decisions() == []
    project.close()
