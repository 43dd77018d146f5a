"""PRW's loader on a small dataset in its real layout; all values are worked out by hand."""

import os

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import BoxMode
from scipy.io import savemat

from fully_decoupled_ps.data import (
    count_person_ids,
    get_protocols,
    load_prw,
    load_prw_protocols,
    register_prw,
)
from fully_decoupled_ps.errors import UserError
from tests.data.layouts import PRW_TRAIN, cell, write_image, write_prw, write_prw_boxes


@pytest.fixture
def root(tmp_path):
    return write_prw(tmp_path / "PRW")


def boxes(d):
    return [a["bbox"] for a in d["annotations"]]


def ids(d):
    return [a["person_id"] for a in d["annotations"]]


def error_of(root, split="train"):
    with pytest.raises(UserError) as e:
        load_prw(str(root), split)
    assert "\n" not in str(e.value)
    return str(e.value)


def test_train_frames(root):
    dicts = load_prw(str(root), "train")
    assert [d["image_id"] for d in dicts] == [f"{name}.jpg" for name in PRW_TRAIN]
    assert [(d["width"], d["height"]) for d in dicts] == [(192, 108), (192, 108), (72, 58)]
    assert [d["camera_id"] for d in dicts] == [1, 2, 6]
    assert all(os.path.isfile(d["file_name"]) for d in dicts)
    assert not any("queries" in d or "query_only" in d for d in dicts)
    assert {a["category_id"] for d in dicts for a in d["annotations"]} == {0}
    assert {a["bbox_mode"] for d in dicts for a in d["annotations"]} == {BoxMode.XYXY_ABS}


def test_train_ids_are_contiguous_and_unlabelled_is_minus_1(root):
    # 5, 7 and 932 become 0, 1 and 2; -2 becomes -1; an id may stand twice in a frame
    dicts = load_prw(str(root), "train")
    assert [ids(d) for d in dicts] == [[2, -1], [0, 0], [2, 1]]
    assert count_person_ids(dicts) == 3


def test_boxes_are_corners_clipped_to_the_frame(root):
    first, second, third = load_prw(str(root), "train")
    assert boxes(first) == [[10, 20, 40, 80], [100.5, 10.25, 120.5, 50.25]]
    assert boxes(second) == [[0, 30, 26, 90], [60, 30, 90, 90]]  # began at x = -4
    assert boxes(third) == [[50, 30, 72, 58], [1, 1, 11, 21]]  # ended at (80, 90)


def test_test_frames_keep_their_ids_and_hold_queries(root):
    dicts = load_prw(str(root), "test")
    assert [ids(d) for d in dicts] == [[5, 483], [5], [5, -1], [483]]
    assert [d.get("queries") for d in dicts] == [
        [[10, 20, 40, 80], [80, 20, 110, 80]],
        None,
        [[14, 20, 44, 80]],
        [[5, 5, 25, 58]],
    ]
    assert [d.get("query_only", False) for d in dicts] == [False, False, False, True]


def test_protocols(root):
    protocols = load_prw_protocols(str(root))
    assert list(protocols) == ["full", "multi_view"]
    frames = ["c1s2_000301.jpg", "c1s2_000326.jpg", "c3s2_000301.jpg"]
    expected = [
        (frames[0], [10, 20, 40, 80], 5),
        (frames[0], [80, 20, 110, 80], 483),
        (frames[2], [14, 20, 44, 80], 5),
        ("c4s2_000301.jpg", [5, 5, 25, 58], 483),
    ]
    for queries in protocols.values():
        assert [(q["image_id"], q["bbox"], q["person_id"]) for q in queries] == expected
    assert [q["gallery"] for q in protocols["full"]] == [None] * 4
    galleries = [q["gallery"] for q in protocols["multi_view"]]
    # the query-only frame of camera 4 is in no gallery
    assert galleries == [frames[2:], frames[2:], frames[:2], frames]
    assert galleries[0] is galleries[1]


def test_a_box_that_is_queried_for_two_persons_stands_in_the_frame_once(root):
    with open(root / "query_info.txt", "a") as f:
        f.write("7 10 20 30 60 c1s2_000301\n\n")
    assert len(load_prw(str(root), "test")[0]["queries"]) == 2
    assert len(load_prw_protocols(str(root))["full"]) == 5


def test_index_of_plain_cells_and_names_with_ending(root):
    expected = load_prw(str(root), "train")
    savemat(root / "frame_train.mat", {"img_index_train": cell([f"{n}.jpg" for n in PRW_TRAIN])})
    assert load_prw(str(root), "train") == expected


def test_index_of_one_frame(root):
    savemat(root / "frame_train.mat", {"img_index_train": cell(["c6s1_000201"])})
    (d,) = load_prw(str(root), "train")
    assert ids(d) == [1, 0]


def test_frame_without_persons(root):
    savemat(root / "annotations" / "c1s1_000151.jpg.mat", {"box_new": np.zeros((0, 5))})
    assert load_prw(str(root), "train")[0]["annotations"] == []


def test_newest_boxes_win(root):
    content = {"anno_previous": [[1, 1, 1, 9, 9]], "box_new": [[5, 2, 2, 9, 9]]}
    savemat(root / "annotations" / "c1s1_000151.jpg.mat", content)
    assert boxes(load_prw(str(root), "train")[0]) == [[2, 2, 11, 11]]


def test_oddities_are_counted_in_the_log(root, caplog):
    with caplog.at_level("INFO"):
        load_prw(str(root), "train")
        load_prw(str(root), "test")
    assert "3 frames, 6 boxes (1 unlabelled), 3 ids" in caplog.text
    assert "2 boxes clipped to their frame; first: " in caplog.text
    assert "1 frames hold a person id twice (all boxes kept)" in caplog.text
    assert "1 query frames that the test list lacks, appended as query-only" in caplog.text


def test_callers_get_copies_and_changes_on_disk_are_seen(root):
    load_prw(str(root), "train")[0]["annotations"][0]["bbox"][0] = -1
    assert boxes(load_prw(str(root), "train")[0])[0] == [10, 20, 40, 80]
    write_prw_boxes(root, "c1s1_000151", [[932, 1, 2, 3, 4], [1, 11, 12, 13, 14]])
    assert boxes(load_prw(str(root), "train")[0]) == [[1, 2, 4, 6], [11, 12, 24, 26]]


def test_files_are_read_once(root, monkeypatch):
    expected = load_prw(str(root), "test"), load_prw_protocols(str(root))
    monkeypatch.setattr("scipy.io.loadmat", None)
    assert (load_prw(str(root), "test"), load_prw_protocols(str(root))) == expected


def test_register_is_lazy(tmp_path, root):
    names = {"train": f"{tmp_path}_train", "test": f"{tmp_path}_test"}
    for split, name in names.items():
        register_prw(name, str(root / "not" / "there"), split)
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)
        register_prw(name, str(root), split)
        assert DatasetCatalog.get(name) == load_prw(str(root), split)
        assert MetadataCatalog.get(name).thing_classes == ["person"]
        assert MetadataCatalog.get(name).evaluator_type == "person_search"
    assert get_protocols(names["test"]) == load_prw_protocols(str(root))
    with pytest.raises(UserError, match="has no queries"):
        get_protocols(names["train"])


def test_unknown_split(root):
    assert "split 'val' is unknown" in error_of(root, "val")


def test_missing_root_names_the_variable_and_the_readme(tmp_path):
    message = error_of(tmp_path / "PRW")
    assert str(tmp_path / "PRW") in message
    assert "DETECTRON2_DATASETS" in message and "datasets/README.md" in message


@pytest.mark.parametrize(
    "name", ["frame_test.mat", "query_info.txt", "annotations/c1s2_000326.jpg.mat"]
)
def test_missing_file(root, name):
    (root / name).unlink()
    assert str(root / name) in error_of(root, "test")


def test_missing_folder(root):
    (root / "frames").rename(root / "pictures")
    assert f"folder '{root / 'frames'}' not found" in error_of(root)


def test_missing_field(root):
    savemat(root / "frame_train.mat", {"img_index_test": cell(["c1s1_000151"])})
    assert "frame_train.mat: no field 'img_index_train'" in error_of(root)
    write_prw(root)
    write_prw_boxes(root, "c1s1_000151", [[1, 1, 1, 5, 5]], key="boxes")
    message = error_of(root)
    assert "c1s1_000151.jpg.mat: no field 'box_new' or 'anno_file' or 'anno_previous'" in message


def test_damaged_mat(root):
    path = root / "annotations" / "c1s1_000151.jpg.mat"
    path.write_bytes(path.read_bytes()[:150])
    assert f"{path}: not a readable .mat file" in error_of(root)


def test_missing_and_unreadable_image(root):
    path = root / "frames" / "c2s1_000176.jpg"
    path.write_bytes(b"no picture")
    assert f"'img_index_train': image '{path}' is unreadable" in error_of(root)
    path.unlink()
    assert f"'img_index_train': image '{path}' not found" in error_of(root)


@pytest.mark.parametrize(
    "row, reason",
    [
        ([1, 10, 10, 0, 20], "has no size"),
        ([1, 10, 10, 20, -3], "has no size"),
        ([1, np.nan, 10, 20, 20], "has no size"),
        ([1, 192, 10, 20, 20], "lies outside its image of 192 x 108 pixels"),
        ([1, 10, -30, 20, 30], "lies outside its image of 192 x 108 pixels"),
        ([-3, 10, 10, 20, 20], "id -3 is neither a whole number >= 0 nor -2"),
        ([1.5, 10, 10, 20, 20], "id 1.5 is neither"),
    ],
)
def test_bad_row(root, row, reason):
    write_prw_boxes(root, "c1s1_000151", [[2, 1, 1, 5, 5], row])
    message = error_of(root)
    assert "c1s1_000151.jpg.mat, row 1" in message and reason in message


def test_wrong_number_of_columns(root):
    write_prw_boxes(root, "c1s1_000151", [[1, 10, 10, 20]])
    assert "it needs 5 columns, id, x, y, w, h" in error_of(root)


@pytest.mark.parametrize("name", ["../../c1s1_000151", "c1_000151", ""])
def test_bad_frame_name(root, name):
    savemat(root / "frame_train.mat", {"img_index_train": cell(["c1s1_000151", name])})
    assert "is no frame name; it must read c<camera>s<sequence>_<frame>" in error_of(root)


def test_frame_listed_twice(root):
    savemat(root / "frame_train.mat", {"img_index_train": cell(["c1s1_000151"] * 2)})
    assert "'c1s1_000151.jpg' is listed 2 times" in error_of(root)


@pytest.mark.parametrize(
    "line, reason",
    [
        ("5 10 20 30 60", "does not read 'person_id x y w h frame'"),
        ("5 10 20 x 60 c1s2_000301", "does not read 'person_id x y w h frame'"),
        ("-2 10 20 30 60 c1s2_000301", "a query needs a person id"),
        ("5 10 20 0 60 c1s2_000301", "has no size"),
        ("5 10 20 30 60 c5s2_000301", "c5s2_000301.jpg' not found"),
    ],
)
def test_bad_query(root, line, reason):
    with open(root / "query_info.txt", "a") as f:
        f.write(line + "\n")
    message = error_of(root, "test")
    assert f"{root / 'query_info.txt'}, line 5" in message and reason in message


def test_size_is_that_of_the_picture_as_it_is_read(root):
    # Detectron2 turns a picture by its EXIF orientation before boxes are laid on it.
    path = root / "frames" / "c1s1_000151.jpg"
    write_image(path, 108, 192, orientation=6)
    d = load_prw(str(root), "train")[0]
    assert (d["width"], d["height"]) == (192, 108)
