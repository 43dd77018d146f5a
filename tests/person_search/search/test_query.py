"""From a picture, a box or a point to the person who is searched."""

import os
from types import SimpleNamespace

import numpy as np
import pytest

from person_search.errors import UserError
from person_search.media.frames import sample_video
from person_search.search.query import (
    distance_to_boxes,
    parse_numbers,
    query_at_point,
    query_of_box,
    read_named_frame,
    split_name,
)
from tests.tiny_run import picture, save_picture, save_video


def test_a_box(network):
    query = query_of_box(network, "a.jpg", picture(0), (4, 6, 30, 60))
    expected = network.detect(picture(0), [(4, 6, 30, 60)]).query_features[0]
    np.testing.assert_allclose(query.feature, expected, atol=1e-6)


def test_no_box_is_the_whole_picture(network):
    query = query_of_box(network, "a.jpg", picture(0))
    assert query.box == (0, 0, 96, 64)


@pytest.mark.parametrize(
    "box", [(-1, 0, 5, 5), (0, 0, 97, 5), (0, 60, 5, 65), (9, 0, 5, 5), (5, 5, 5, 9)]
)
def test_boxes_that_can_not_be(network, box):
    text = ",".join(map(str, box))
    with pytest.raises(UserError, match=f"box {text} is not in a.jpg, which is 96 x 64 pixels;"):
        query_of_box(network, "a.jpg", picture(0), box)


@pytest.fixture
def detections(network, monkeypatch):
    """Makes the network detect these boxes, with these scores."""

    def detect(boxes, scores):
        found = network.detect(picture(0))
        features = np.eye(len(boxes), network.dim, dtype=np.float32)
        boxes, scores = np.float32(boxes), np.float32(scores)
        made_up = found._replace(boxes=boxes, scores=scores, features=features)
        monkeypatch.setattr(network, "detect", lambda image: made_up)

    return detect


def test_a_point_takes_the_smallest_box_there(network, detections):
    boxes = [[10, 10, 60, 60], [20, 20, 40, 50], [21, 21, 39, 49], [0, 0, 5, 5]]
    detections(boxes, [0.9, 0.8, 0.3, 0.7])
    query = query_at_point(network, "a.jpg", picture(0), (30, 30), 0.5)
    assert query.box == (20, 20, 40, 50)
    np.testing.assert_array_equal(query.feature, np.eye(network.dim)[1])
    assert query_at_point(network, "a.jpg", picture(0), (10, 10), 0.5).box == (10, 10, 60, 60)


def test_a_point_on_nobody(network, detections):
    detections([[10, 10, 20, 30], [50, 10, 60, 30]], [0.9, 0.8])
    with pytest.raises(UserError, match="nearest one is 5 pixels away, in the box 50,10,60,30"):
        query_at_point(network, "a.jpg", picture(0), (63, 34), 0.5)
    with pytest.raises(UserError, match="8 in a.jpg; the nearest one is 43 pixels away"):
        query_at_point(network, "a.jpg", picture(0), (63, 8), 0.85)
    with pytest.raises(UserError, match="nor anywhere else in it with a score of at least 0.95"):
        query_at_point(network, "a.jpg", picture(0), (63, 34), 0.95)
    for point in ((96, 3), (3, 64), (-1, 3)):
        with pytest.raises(UserError, match="is not in a.jpg, which is 96 x 64 pixels"):
            query_at_point(network, "a.jpg", picture(0), point, 0.5)


def test_distances():
    boxes = np.array([[10, 10, 20, 30]])
    points = {(15, 20): 0, (10, 30): 0, (5, 20): 5, (15, 33): 3, (24, 33): 5}
    for point, distance in points.items():
        assert distance_to_boxes(point, boxes) == [distance]


def test_numbers():
    assert parse_numbers("--box", "1,2.5,3,4", 4) == (1, 2.5, 3, 4)
    for text in ("1,2", "1,2,3,x", "", "1,2,3,nan"):
        with pytest.raises(UserError, match="write it as x0,y0,x1,y1, in pixels of the picture"):
            parse_numbers("--box", text, 4)
    with pytest.raises(UserError, match="--point 1: write it as x,y, in"):
        parse_numbers("--point", "1", 2)


def test_names_of_frames(tmp_path):
    """By path and pts; a "#" may be part of a file's own name."""
    index = SimpleNamespace(find_frames=lambda path, pts: [])
    video = save_video(tmp_path / "v#2.avi")
    assert abs(read_named_frame(f"{video}#5", index).mean() - 100) < 15
    for name in ("odd#name.png", "v#2.avi#5", "odd#-3"):
        save_picture(tmp_path / "a.png", seed=1).rename(tmp_path / name)
        np.testing.assert_array_equal(read_named_frame(str(tmp_path / name), index), picture(1))


@pytest.mark.parametrize(
    ("name", "path", "pts"),
    [
        ("v.mp4#0", "v.mp4", 0),
        ("v.mp4#-1024", "v.mp4", -1024),
        ("a#1/v#2.ts#8589934592", "a#1/v#2.ts", 8589934592),
        *(
            (name, name, None)
            for name in ("a.jpg", "a#b.jpg", "v.mp4#", "v.mp4#1.5", "#3", "a#--1", f"a#{2**63}")
        ),
    ],
)
def test_a_pts_is_behind_the_last_number_sign(name, path, pts):
    assert split_name(name) == (path, pts)


def test_a_frame_of_the_index_is_the_one_that_was_indexed(tmp_path):
    video = str(save_video(tmp_path / "v.avi"))
    frame = list(sample_video(video, 1))[1]
    asked = []

    def find_frames(path, pts):
        asked.append((path, pts))
        return [SimpleNamespace(checksum=checksum)]

    index, checksum = SimpleNamespace(find_frames=find_frames), frame.checksum()
    name = os.path.relpath(f"{video}#{frame.pts}")
    np.testing.assert_array_equal(read_named_frame(name, index), frame.image())
    assert asked == [(video, frame.pts)]
    checksum += 1
    with pytest.raises(UserError, match="was the file changed"):
        read_named_frame(name, index)
