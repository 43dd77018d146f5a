"""What is drawn where: crops, boxes and marks, by their pixels."""

import numpy as np
import pytest

from fully_decoupled_ps.errors import UserError
from fully_decoupled_ps.visualization import visualizer as vis

GREY = 100
BOX = [40.0, 20.0, 60.0, 60.0]
ELSEWHERE = [44.0, 26.0, 56.0, 54.0]  # within the crop around BOX


@pytest.fixture
def frame():
    return np.full((120, 160, 3), GREY, np.uint8)


def hit(**fields):
    base = {"rank": 1, "bbox": BOX, "similarity": 0.5, "correct": True, "gt_bbox": BOX}
    return {**base, "image_id": "c1s1_000001.jpg", "file_name": "f.jpg", **fields}


def has(view, style):
    return bool((view == style.color).all(axis=2).any())


def colors_along(view, box, window):
    """The colours met on the way down the left side of `box`, and along its top: two (N, 3)."""
    scale = [view.shape[1] / (window[2] - window[0]), view.shape[0] / (window[3] - window[1])]
    corners = (np.reshape(box, (2, 2)) - window[:2]) * scale
    (x0, y0), (x1, y1) = corners.round().astype(int)
    return view[y0 : y1 + 1, x0], view[y0, x0 : x1 + 1]


def test_crop_is_centred_on_the_box_and_has_the_size_s_proportions(frame):
    x0, y0, x1, y1 = vis.crop_window([70.0, 40.0, 90.0, 80.0], frame, (128, 256))
    assert (x0 + x1) / 2 == pytest.approx(80, abs=1) and (y0 + y1) / 2 == pytest.approx(60, abs=1)
    assert y1 - y0 == round(40 * vis.CONTEXT)
    assert (x1 - x0) / (y1 - y0) == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("box", [[0, 0, 20, 40], [140, 80, 160, 120], [0, 100, 60, 120]])
def test_crop_moves_to_stay_inside_the_frame_and_shows_the_whole_box(frame, box):
    x0, y0, x1, y1 = vis.crop_window(box, frame)
    assert x0 <= box[0] and x1 >= box[2] and x1 - x0 < 160
    assert x0 >= 0 and x1 <= 160
    if y1 - y0 <= 120:
        assert 0 <= y0 <= box[1] and box[3] <= y1 <= 120


def test_crop_larger_than_the_frame_is_padded(frame):
    box = [60.0, 0.0, 100.0, 120.0]
    window = vis.crop_window(box, frame)
    assert window[1] < 0 and window[3] > 120
    view = vis.draw_view(frame, window, (64, 128), [])
    assert view.shape == (128, 64, 3)
    assert (view[0] == vis.PADDING_COLOR).all() and (view[64] == GREY).all()


def test_box_of_no_size_still_gives_a_picture(frame):
    assert vis.draw_query(frame, hit(bbox=[50.0, 50.0, 50.0, 50.0])).shape == (256, 128, 3)


def test_view_scales_the_picture_and_puts_the_box_where_it_is(frame):
    frame[20:60, 40:60] = 200
    view = vis.draw_view(frame, (30, 10, 70, 90), (80, 160), [])
    assert view[22:98, 22:58].min() > 190 and view[:16].max() < 110
    view = vis.draw_view(frame, (30, 10, 70, 90), (80, 160), [(BOX, vis.RIGHT)])
    assert (view[20:101, 20] == vis.RIGHT.color).all() and (
        view[20, 20:61] == vis.RIGHT.color
    ).all()
    assert (view[20:101, 60] == vis.RIGHT.color).all() and (
        view[100, 20:61] == vis.RIGHT.color
    ).all()
    assert (view[40, 30] == 200).all()  # not filled
    assert frame[20, 40, 0] == 200 and frame[19, 39, 0] == GREY  # the frame itself is not drawn on


def test_right_hit_is_green_with_a_tick_and_no_amber(frame):
    view = vis.draw_hit(frame, hit())
    assert has(view, vis.RIGHT) and not has(view, vis.WRONG) and not has(view, vis.MISSED)
    assert (view[3, 3] == vis.RIGHT.color).all()  # the badge


def test_wrong_hit_is_red_with_a_cross(frame):
    view = vis.draw_hit(frame, hit(correct=False, gt_bbox=None))
    assert has(view, vis.WRONG) and not has(view, vis.RIGHT) and not has(view, vis.MISSED)
    assert (view[3, 3] == vis.WRONG.color).all()


def test_wrong_hit_shows_where_the_person_stands_in_dashes(frame):
    record = hit(correct=False, gt_bbox=ELSEWHERE)
    view, window = vis.draw_hit(frame, record), vis.crop_window(BOX, frame)
    for side in colors_along(view, ELSEWHERE, window):
        assert 0.3 < (side == vis.MISSED.color).all(axis=1).mean() < 0.7  # dashes
        assert 0.3 < (side == (20, 20, 20)).all(axis=1).mean() < 0.7  # over a dark line
    for side in colors_along(view, BOX, window):
        assert (side == vis.WRONG.color).all()


def test_hit_without_ground_truth_is_neither_right_nor_wrong(frame):
    record = hit()
    del record["correct"], record["gt_bbox"]
    view = vis.draw_hit(frame, record)
    assert has(view, vis.UNJUDGED) and not has(view, vis.RIGHT) and not has(view, vis.WRONG)
    assert (view[3, 3] == GREY).all()  # no badge


def test_right_and_wrong_differ_without_colour(frame):
    badges = [vis.draw_hit(frame, hit(correct=c, gt_bbox=None))[:26, :26] for c in (True, False)]
    strokes = [(badge == 255).all(axis=2)[1:-1, 1:-1] for badge in badges]
    assert strokes[0].any() and strokes[1].any() and (strokes[0] != strokes[1]).sum() > 30


def test_query_and_missed_have_their_own_looks(frame):
    assert has(vis.draw_query(frame, hit()), vis.QUERY)
    missed = vis.draw_missed(frame, hit(), (96, 192))
    assert missed.shape == (192, 96, 3) and has(missed, vis.MISSED)


def test_whole_frame_shows_both_boxes_in_its_own_proportions(frame):
    view = vis.draw_frame(frame, hit(correct=False, gt_bbox=[130.0, 80.0, 150.0, 115.0]), 160)
    assert view.shape == (120, 160, 3)
    assert has(view[:, :80], vis.WRONG) and has(view[:, 110:], vis.MISSED)


def test_box_outside_the_view_is_cut_not_an_error(frame):
    view = vis.draw_view(frame, (0, 0, 40, 80), (40, 80), [([900, 900, 950, 990], vis.MISSED)])
    assert (view == GREY).all()


def test_montage_is_the_query_and_its_hits_in_order(frame):
    asked = []

    def read(name):
        asked.append(name)
        return frame

    hits = [
        hit(file_name="a.jpg"),
        hit(file_name="b.jpg", correct=False, gt_bbox=None, rank=2),
        hit(file_name="c.jpg", correct=None, rank=3),
    ]
    row = vis.ranked_montage(hit(file_name="q.jpg"), hits, read=read, size=(64, 128))
    assert asked == ["q.jpg", "a.jpg", "b.jpg", "c.jpg"]
    assert row.dtype == np.uint8 and row.shape[0] == 128 + vis.CAPTION_HEIGHT
    tiles = [row[:128, 70 * i : 70 * i + 64] for i in range(4)]
    assert row.shape[1] == 4 * 64 + 3 * 6
    for tile, style in zip(tiles, (vis.QUERY, vis.RIGHT, vis.WRONG, vis.UNJUDGED), strict=True):
        assert has(tile, style)
    captions = row[128:, 70:134]
    assert captions.min() < 100  # something is written


def test_camera_and_time_are_said_under_each_hit(frame):
    def caption(**fields):
        row = vis.ranked_montage(hit(**fields), [], read=lambda name: frame)
        return row[vis.CROP_SIZE[1] :]

    plain, full = caption(), caption(camera_id="yard", time="2024-05-31 09:00:00")
    line = vis.LINE_HEIGHT
    # title, camera, time, name; without the first two the name is the second line
    assert [bool((full[2 + i * line :][:line] < 100).any()) for i in range(4)] == [True] * 4
    assert [bool((plain[2 + i * line :][:line] < 100).any()) for i in (0, 1, 3)] == [
        *(True, True, False),
    ]
    assert (caption(camera_id="yard", time="2024-05-31 09:00:01") != full).any()


def test_a_weak_hit_looks_weak(frame):
    def tile(**fields):
        return vis.ranked_montage(hit(), [hit(correct=None, **fields)], read=lambda name: frame)[
            : vis.CROP_SIZE[1], vis.CROP_SIZE[0] + 6 :
        ]

    strong, weak = tile(), tile(weak=True)
    assert has(strong, vis.UNJUDGED) and not has(weak, vis.UNJUDGED) and has(weak, vis.WEAK)
    # grey 100 with 45 percent of white: 100 * 0.55 + 255 * 0.45 = 169.75
    assert strong[3, 3].tolist() == [GREY] * 3 and weak[3, 3].tolist() == [169] * 3
    # its box is where the other's is
    at = [(t == s.color).all(axis=2) for t, s in ((strong, vis.UNJUDGED), (weak, vis.WEAK))]
    assert (at[0] == at[1]).all()
    # right and wrong are no matter of similarity
    assert has(vis.draw_hit(frame, hit(weak=True)), vis.RIGHT)


def test_a_legend_is_below_all(frame):
    plain = vis.ranked_montage(hit(), [hit()], read=lambda name: frame)
    told = vis.ranked_montage(hit(), [hit()], read=lambda name: frame, legend="pale: weak")
    assert (told[: len(plain)] == plain).all() and told[len(plain) :].min() < 100


def test_montage_of_no_hits_is_the_query_alone(frame):
    row = vis.ranked_montage(hit(), [], read=lambda name: frame)
    assert row.shape[1] == vis.CROP_SIZE[0]


def test_pictures_are_written_and_read_as_rgb(tmp_path, frame):
    frame[:, :, 0], frame[:, :, 2] = 250, 10
    path = tmp_path / "gr\u00fcn.png"
    path.write_bytes(vis.encode_image(frame, ".png"))
    assert (vis.read_image(path) == frame).all()
    path = tmp_path / "b.jpg"
    path.write_bytes(vis.encode_image(frame, ".jpg", 90))
    assert np.abs(vis.read_image(path).astype(int) - frame).max() < 10
    assert len(vis.encode_image(frame, ".jpg", 20)) < len(vis.encode_image(frame, ".jpg", 95))


@pytest.mark.parametrize("content", [None, b"", b"no picture"])
def test_missing_or_broken_picture_is_named(tmp_path, content):
    path = tmp_path / "c1s1_000001.jpg"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match="c1s1_000001.jpg") as error:
        vis.read_image(path)
    assert "\n" not in str(error.value)
