"""Who wrote a gt.txt is recognised by what only they write, or asked."""

from pathlib import Path

import pytest

from fully_decoupled_ps.dataset_tools.conversion.mot_formats import FORMATS, read_labels, recognise
from fully_decoupled_ps.dataset_tools.conversion.mot_table import read_table
from fully_decoupled_ps.errors import UserError

NUMBERED = [Path("img1/000001.jpg"), Path("img1/000002.jpg")]
OF_CVAT = [Path("img1/frame_000000.PNG"), Path("img1/frame_000005.PNG")]


@pytest.mark.parametrize(
    "row, names, labels, seqinfo, pictures, expected",
    [
        ("1,1,2,3,4,5,0,7,1", ["MOT17-02-SDP"], False, True, NUMBERED, "mot17"),
        ("1,1,2,3,4,5,0,7,1", ["left", "MOT16-02"], False, True, NUMBERED, "mot17"),
        ("1,1,2,3,4,5,0,7,1", ["MOT20-01"], False, True, NUMBERED, "mot20"),
        ("1,1,2,3,4,5,1,1,1", ["dancetrack0001"], False, True, NUMBERED, "dancetrack"),
        ("1,1,2,3,4,5,1,-1,-1,-1", ["ADL-Rundle-6"], False, True, NUMBERED, "mot15"),
        ("1,1,2,3,4,5,1,1,0.25", ["cam1"], True, False, NUMBERED, "cvat"),
        ("1,1,2,3,4,5,1,1,0.25", ["cam1"], False, False, OF_CVAT, "cvat"),
        ("1,1,2,3,4,5,1,1,0.0", ["cam1"], False, False, NUMBERED, "cvat"),
        ("1,1,2,3,4,5,1,1,1.0", ["cam1"], False, True, NUMBERED, None),
        ("1,1,2,3,4,5,1,1,1", ["cam1"], False, False, NUMBERED, None),
        ("1,1,2,3,4,5", ["cam1"], False, False, [], None),
        ("1,1,2,3,4,5,1,1,1", ["MOT17-02"], True, False, NUMBERED, None),
    ],
)
def test_recognised_or_asked(tmp_path, row, names, labels, seqinfo, pictures, expected):
    path = tmp_path / "gt.txt"
    path.write_text(f"{row}\n{row}\n")
    args = read_table(path), names, labels, seqinfo, pictures
    if expected is None:
        with pytest.raises(UserError, match="say --format"):
            recognise(*args)
    else:
        assert recognise(*args)[0] is FORMATS[expected]


def test_cvat_alone_counts_pixels_from_0():
    assert {name: f.first_pixel for name, f in FORMATS.items()} == {
        "cvat": 0, "mot15": 1, "mot17": 1, "mot20": 1, "dancetrack": 1
    }  # fmt: skip


def test_labels(tmp_path):
    path = tmp_path / "labels.txt"
    path.write_bytes(b"\xef\xbb\xbfcar\r\nperson")
    assert read_labels(path) == {1: "car", 2: "person"}
