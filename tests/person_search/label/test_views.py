"""The crops of a tracklet: which ones, and what they show."""

import io

import numpy as np
import pytest
from PIL import Image

from person_search.errors import UserError
from person_search.index import Frame
from person_search.label.detections import Detections, find_at_border
from person_search.label.views import choose_views, cut_crop, read_wanted, view_worths
from person_search.media.frames import sample_video

from .coloured_people import draw, save_video, walk


def test_the_best_of_each_part_of_the_time():
    seconds = np.arange(12.0)
    worths = np.array([1, 2, 2, 1, 9, 8, 1, 1, 5, 6, 3, 2])
    assert choose_views(seconds, worths) == [1, 2, 4, 6, 9, 10]
    assert choose_views(np.array([3.0]), np.array([1.0])) == [0]
    # nobody was seen for most of the time
    assert choose_views(np.array([0, 0.2, 0.4, 9.0]), np.array([1, 3, 2, 1])) == [1, 3]


def test_what_a_view_is_worth():
    boxes = np.array([(50, 10, 60, 50), (100, 10, 110, 50), (104, 20, 114, 60), (0, 10, 10, 50.0)])
    frames, scores = np.zeros(4, int), np.array([0.8, 0.8, 0.8, 0.8])
    at_border = find_at_border(boxes, np.tile((160, 96), (4, 1)))
    found = Detections(frames, boxes, scores, np.zeros((4, 1)), at_border)
    free, behind, before, cut = view_worths(found)
    # 0.8 * sqrt(400) * (0.02 + 1); the second is hidden by 6 * 30 / 400
    np.testing.assert_allclose([free, before], 16 * 1.02, atol=1e-4)
    np.testing.assert_allclose(behind, 16 * (1.02 - 0.45), atol=1e-4)
    np.testing.assert_allclose(cut, 0.3 * free, atol=1e-4)


def test_a_crop_shows_the_person_and_a_bit_around():
    crop = np.asarray(Image.open(io.BytesIO(cut_crop(draw(red=40), np.array([40, 30, 56, 70])))))
    assert crop.shape == (48, 24, 3)  # 40 + 2 * 3.2, 16 + 2 * 3.2, rounded outwards
    assert np.abs(crop[24, 12].astype(int) - (220, 30, 30)).max() < 30
    assert np.abs(crop[1, 1].astype(int) - 128).max() < 30
    tall = cut_crop(np.zeros((800, 600, 3), np.uint8), np.array([0, 0, 100, 800]))
    assert Image.open(io.BytesIO(tall)).size == (29, 192)
    # a box that lies outside gives a crop all the same
    assert cut_crop(draw(), np.array([300, 200, 310, 220]))


def frame_of(path, sample):
    return Frame(0, str(path), sample.pts, "c", 0.0, 160, 96, sample.offset, sample.checksum())


def test_frames_of_a_video_are_read_in_one_pass(tmp_path):
    path = save_video(tmp_path / "v.mkv", walk(10, red=10))
    samples = [frame_of(path, sample) for sample in sample_video(str(path), 5)]
    found = dict(read_wanted({i: samples[i] for i in (2, 7)}))
    np.testing.assert_array_equal(found[2], draw(red=18))
    np.testing.assert_array_equal(found[7], draw(red=38))
    save_video(path, walk(10, blue=10))
    with pytest.raises(UserError, match="v.mkv has changed since it was indexed"):
        list(read_wanted({2: samples[2]}))
