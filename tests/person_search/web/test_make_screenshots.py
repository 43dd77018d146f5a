"""The command that takes the documentation's pictures."""

import cv2
import numpy as np
import pytest

from fully_decoupled_ps.errors import UserError
from person_search.index import open_index

from .browser import chromium, screenshots
from .made_up_world import INFO


def noise(width, height):
    values = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return cv2.imencode(".png", values)[1].tobytes()


@pytest.mark.parametrize("limit", [30_000, 3_000])
def test_a_picture_is_made_small_enough(limit):
    small = screenshots.shrink(noise(150, 100), limit)
    assert 0.4 * limit < len(small) <= limit
    image = cv2.imdecode(np.frombuffer(small, np.uint8), cv2.IMREAD_COLOR)
    assert image.shape[1] / image.shape[0] == pytest.approx(1.5, abs=0.05)


def test_all_pictures_are_taken(world, tmp_path):
    with chromium():  # where there is none, this test is skipped
        pass
    screenshots.make_pictures(world.location, tmp_path)
    sizes = {path.stem: cv2.imread(str(path)).shape[1] for path in tmp_path.glob("*.png")}
    assert set(sizes) == {
        *("search-frames", "search-frame", "search-result", "search-phone", "query-montage"),
    }
    assert sizes["search-phone"] == 400
    assert all(path.stat().st_size <= screenshots.MAX_BYTES for path in tmp_path.glob("*.png"))


def test_a_demo_that_was_not_run_is_told(tmp_path):
    with pytest.raises(UserError, match="no finished run of `make demo`"):
        screenshots.index_demo(tmp_path)


def test_an_index_without_a_person_has_nothing_to_show(tmp_path):
    with open_index(str(tmp_path / "index"), create=INFO) as index:
        with pytest.raises(UserError, match="has no person"):
            screenshots.choose_person(index)


def test_a_command_that_fails_is_told(tmp_path):
    with pytest.raises(UserError, match="check-dataset synthetic_train .* failed; see above"):
        screenshots.draw_training(tmp_path / "no run", tmp_path)
    assert not list(tmp_path.glob("*.png"))
