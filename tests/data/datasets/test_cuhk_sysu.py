"""CUHK-SYSU's loader on a small dataset in its real layout; all values are worked out by hand."""

import re

import numpy as np
import pytest
from detectron2.data import DatasetCatalog
from scipy.io import savemat

from fully_decoupled_ps.data import (
    count_person_ids,
    get_protocols,
    load_cuhk_sysu,
    load_cuhk_sysu_protocols,
    register_cuhk_sysu,
)
from fully_decoupled_ps.data.datasets.cuhk_sysu import GALLERY_SIZES
from fully_decoupled_ps.errors import UserError
from tests.data.layouts import (
    CUHK_G50,
    CUHK_G100,
    CUHK_POOL,
    cell,
    structs,
    uint16,
    write_cuhk_sysu,
    write_cuhk_test,
    write_cuhk_train,
)


@pytest.fixture
def root(tmp_path):
    return write_cuhk_sysu(tmp_path / "CUHK-SYSU")


def persons(d):
    return [(a["person_id"], a["bbox"]) for a in d["annotations"]]


def error_of(root, split="train", size=50):
    with pytest.raises(UserError) as e:
        load_cuhk_sysu(str(root), split, size)
    assert "\n" not in str(e.value)
    return str(e.value)


def test_train_is_what_the_pool_lacks(root):
    dicts = load_cuhk_sysu(str(root), "train")
    assert [d["image_id"] for d in dicts] == ["s1.jpg", "s2.jpg", "s3.jpg"]
    assert [(d["width"], d["height"]) for d in dicts] == [(200, 100), (65000, 700), (200, 100)]
    assert dicts[0]["file_name"] == str(root / "Image" / "SSM" / "s1.jpg")
    assert not any("camera_id" in d or "queries" in d for d in dicts)


def test_train_persons(root):
    first, second, third = load_cuhk_sysu(str(root), "train")
    # x + w = 220 is cut at 200; the box of no size is gone
    assert persons(first) == [(0, [10, 10, 30, 50]), (1, [190, 10, 200, 50])]
    # 40000 + 30000 is more than uint16 holds
    assert persons(second) == [(-1, [40000, 0, 65000, 2]), (-1, [10, 0, 15, 2])]
    # one box only, and one that only Train.mat has
    assert persons(third) == [(0, [1, 2, 4, 6]), (2, [50, 50, 70, 70])]
    assert count_person_ids([first, second, third]) == 3


def test_ids_of_persons_without_training_frames_leave_no_gap(root):
    scenes = {
        "p1": [("s11.jpg", (20, 20, 30, 60))],
        "p2": [("s3.jpg", (1, 2, 3, 4))],
    }
    write_cuhk_train(root, scenes)
    assert persons(load_cuhk_sysu(str(root), "train")[2]) == [(0, [1, 2, 4, 6])]


def test_test_persons_come_from_the_gallery_file(root):
    dicts = {d["image_id"]: d for d in load_cuhk_sysu(str(root), "test", 50)}
    assert list(dicts) == [*CUHK_POOL, "s1.jpg"]
    assert persons(dicts["s11.jpg"]) == [(700, [20, 20, 50, 80]), (-1, [100, 20, 130, 80])]
    # Two equal boxes: the first has the id, though the gallery names the frame twice.
    assert [person_id for person_id, _ in persons(dicts["s12.jpg"])] == [700, -1, -1]
    # the protocol says that p300 is not in its own frame
    assert persons(dicts["s13.jpg"]) == [(-1, [60, 20, 90, 80])]
    assert persons(dicts["s14.jpg"]) == [
        (300, [80, 20, 110, 80]),
        (-1, [150, 20, 180, 80]),
        (800, [2, 2, 12, 22]),  # only in the gallery file
    ]
    assert persons(dicts["s1.jpg"])[0] == (800, [10, 10, 30, 50])


def test_another_box_in_the_querys_own_frame_is_its_only_ground_truth(root, caplog):
    """As query 493 of TestG100: what the list says of the frame counts, not the query's box."""
    gallery = [("s11.jpg", (100, 20, 30, 60)), ("s13.jpg", (60, 20, 30, 60))]
    write_cuhk_test(root, 50, {"p1": ("s11.jpg", (20, 20, 30, 60), gallery)})
    dicts = {d["image_id"]: d for d in load_cuhk_sysu(str(root), "test", 50)}
    assert persons(dicts["s11.jpg"]) == [(-1, [20, 20, 50, 80]), (1, [100, 20, 130, 80])]
    assert dicts["s11.jpg"]["queries"] == [[20, 20, 50, 80]]
    (query,) = load_cuhk_sysu_protocols(str(root), 50)["gallery_50"]
    assert (query["bbox"], query["gallery"]) == ([20, 20, 50, 80], ["s11.jpg", "s13.jpg"])
    assert "1 queries whose gallery has another box in the query's own frame" in caplog.text


def test_the_own_frame_of_one_list_is_labelled_by_no_other(root):
    """With all sizes: the list of 500 has another box of the query's frame, the others lack it."""
    image, box, gallery = CUHK_G100["p300"]
    short = {"p300": (image, box, [entry for entry in gallery if entry[0] != image])}
    for size in GALLERY_SIZES:
        write_cuhk_test(root, size, short)
    longer = [*short["p300"][2], (image, (1, 1, 9, 9))]
    write_cuhk_test(root, 500, {"p300": (image, box, longer)})
    dicts = {d["image_id"]: d for d in load_cuhk_sysu(str(root), "test", "all")}
    assert persons(dicts[image]) == [(-1, [60, 20, 90, 80]), (300, [1, 1, 10, 10])]


@pytest.mark.parametrize(
    "second, listings",
    [((40, 20, 30, 60), 2), ((120, 20, 30, 60), 2), (None, 1)],
    ids=["same box", "another box", "without the person"],
)
def test_of_a_frame_listed_twice_the_first_counts(root, caplog, second, listings):
    """Each mention with a box is one ground truth; only the first box can be found."""
    gallery = [("s12.jpg", (40, 20, 30, 60)), ("s13.jpg", None), ("s12.jpg", second)]
    write_cuhk_test(root, 50, {"p1": ("s11.jpg", (20, 20, 30, 60), gallery)})
    dicts = {d["image_id"]: d for d in load_cuhk_sysu(str(root), "test", 50)}
    assert [person_id for person_id, _ in persons(dicts["s12.jpg"])] == [1, -1, -1]
    (query,) = load_cuhk_sysu_protocols(str(root), 50)["gallery_50"]
    assert query["gallery"].count("s12.jpg") == listings
    differs = second != (40, 20, 30, 60)
    assert ("1 gallery frames listed again with another box or none" in caplog.text) == differs


def test_a_frame_listed_first_without_the_person_has_no_ground_truth(root):
    gallery = [("s12.jpg", None), ("s12.jpg", (40, 20, 30, 60)), ("s13.jpg", (60, 20, 30, 60))]
    write_cuhk_test(root, 50, {"p1": ("s11.jpg", (20, 20, 30, 60), gallery)})
    dicts = {d["image_id"]: d for d in load_cuhk_sysu(str(root), "test", 50)}
    assert {person_id for person_id, _ in persons(dicts["s12.jpg"])} == {-1}


def test_query_frames(root):
    dicts = {d["image_id"]: d for d in load_cuhk_sysu(str(root), "test", 50)}
    assert {name: d.get("queries") for name, d in dicts.items()} == {
        "s11.jpg": [[20, 20, 50, 80]],
        "s12.jpg": None,
        "s13.jpg": [[60, 20, 90, 80]],
        "s14.jpg": None,
        "s1.jpg": [[10, 10, 30, 50]],
    }
    assert [name for name, d in dicts.items() if d.get("query_only")] == ["s1.jpg"]


def test_galleries_are_kept_as_listed(root):
    protocols = load_cuhk_sysu_protocols(str(root), 50)
    assert protocols == {
        "gallery_50": [
            {
                "image_id": "s11.jpg",
                "bbox": [20, 20, 50, 80],
                "person_id": 700,
                "gallery": ["s12.jpg", "s13.jpg", "s12.jpg", "s11.jpg"],
            },
            {
                "image_id": "s13.jpg",
                "bbox": [60, 20, 90, 80],
                "person_id": 300,
                "gallery": ["s13.jpg", "s14.jpg"],
            },
            {
                "image_id": "s1.jpg",
                "bbox": [10, 10, 30, 50],
                "person_id": 800,
                "gallery": ["s14.jpg"],
            },
        ]
    }


def test_a_person_has_the_same_id_with_every_gallery_size(root):
    assert load_cuhk_sysu(str(root), "test", 50) == load_cuhk_sysu(str(root), "test", 100)
    protocol = load_cuhk_sysu_protocols(str(root), 100)["gallery_100"]
    assert [q["person_id"] for q in protocol] == [300, 800, 700]
    assert [len(q["gallery"]) for q in protocol] == [3, 2, 4]


def write_all_sizes(root, **changed):
    for size in GALLERY_SIZES[1:]:
        write_cuhk_test(root, size, changed.get(f"g{size}", CUHK_G100))


def ground_truth(dicts, query, gallery):
    """Gallery frames and boxes of the query's person."""
    return [
        (d["image_id"], a["bbox"])
        for d in dicts
        for a in d["annotations"]
        if d["image_id"] in gallery and a["person_id"] == query["person_id"]
    ]


def test_all_sizes_at_once_are_what_each_is_alone(root, caplog):
    write_all_sizes(root)
    dicts = load_cuhk_sysu(root, "test", "all")
    protocols = load_cuhk_sysu_protocols(root, "all")
    assert list(protocols) == [f"gallery_{size}" for size in (100, 50, 500, 1000, 2000, 4000)]
    assert "another not" not in caplog.text
    for size in GALLERY_SIZES:
        alone = load_cuhk_sysu(root, "test", size)
        (expected,) = load_cuhk_sysu_protocols(root, size).values()
        assert protocols[f"gallery_{size}"] == expected
        for query in expected:
            found = [ground_truth(x, query, query["gallery"]) for x in (dicts, alone)]
            assert found[0] == found[1]


def test_lists_that_contradict_each_other_are_counted(root, caplog):
    image, box, gallery = CUHK_G100["p300"]
    absent = [(name, None) for name, _ in gallery]
    write_all_sizes(root, g500={**CUHK_G100, "p300": (image, box, absent)})
    load_cuhk_sysu(root, "test", "all")
    assert re.search(r"another not.*: 1\b|1 .*another not", caplog.text), caplog.text


def test_a_missing_size_is_named(root):
    with pytest.raises(UserError, match="TestG500.mat"):
        load_cuhk_sysu(root, "test", "all")


@pytest.mark.parametrize("names", [("p1", "q1", "p2"), ("a", "b", "c")])
def test_ids_are_places_where_idnames_have_no_number_of_their_own(root, names):
    write_cuhk_test(root, 50, dict(zip(names, CUHK_G50.values(), strict=True)))
    protocol = load_cuhk_sysu_protocols(str(root), 50)["gallery_50"]
    assert [q["person_id"] for q in protocol] == [0, 1, 2]


def test_two_queries_for_one_box_are_two_persons(root):
    queries = {
        "p1": ("s11.jpg", (20, 20, 30, 60), [("s13.jpg", (60, 20, 30, 60))]),
        "p2": ("s11.jpg", (100, 20, 30, 60), [("s13.jpg", (60, 20, 30, 60))]),
    }
    write_cuhk_test(root, 50, queries)
    dicts = {d["image_id"]: d for d in load_cuhk_sysu(str(root), "test", 50)}
    assert persons(dicts["s13.jpg"]) == [(1, [60, 20, 90, 80]), (2, [60, 20, 90, 80])]


def test_one_query_with_one_gallery_frame(root):
    write_cuhk_test(root, 50, {"p1": ("s11.jpg", (20, 20, 30, 60), [("s13.jpg", None)])})
    (query,) = load_cuhk_sysu_protocols(str(root), 50)["gallery_50"]
    assert query["gallery"] == ["s13.jpg"]


def test_frames_outside_the_pool_join_as_query_only(root):
    write_cuhk_test(root, 50, {"p1": ("s11.jpg", (20, 20, 30, 60), [("s3.jpg", None)])})
    dicts = load_cuhk_sysu(str(root), "test", 50)
    assert [d["image_id"] for d in dicts if d.get("query_only")] == ["s3.jpg"]


def test_columns_instead_of_rows(root):
    expected = load_cuhk_sysu(str(root), "train")
    path = root / "annotation" / "test" / "train_test" / "Train.mat"
    entries = []
    for idname, image, box in [
        ("p1", "s1.jpg", (10, 10, 20, 40)),
        ("p5", "s1.jpg", (190, 10, 30, 40)),
        ("p9", "s3.jpg", (50, 50, 20, 20)),
    ]:
        scene = structs(["imname", "idlocate"], [(image, uint16(*box))])
        entries.append((idname, 1, cell([scene])))
    savemat(path, {"Train": structs(["idname", "nAppear", "scene"], entries).T})
    dicts = load_cuhk_sysu(str(root), "train")
    assert persons(dicts[0]) == persons(expected[0])
    assert persons(dicts[2]) == [(-1, [1, 2, 4, 6]), (2, [50, 50, 70, 70])]


def test_oddities_are_counted_in_the_log(root, caplog):
    with caplog.at_level("INFO"):
        load_cuhk_sysu(str(root), "train")
        load_cuhk_sysu(str(root), "test", 50)
    for line in (
        "3 frames, 6 boxes (2 unlabelled), 3 ids",
        "1 unlabelled boxes of no size dropped; first: ",
        "Images.mat, image 's1.jpg', box 2",
        "2 boxes clipped to their frame",
        "1 labelled training boxes in frames of the test pool left out",
        "1 labelled boxes that Images.mat lacks, or has under another id, added",
        "1 query or gallery frames that the pool lacks, appended as query-only",
        "2 queries have their own frame in their gallery (kept)",
        "1 queries list a gallery frame twice (kept)",
        "1 queries whose gallery says that the person is not in the query's own frame (kept)",
    ):
        assert line in caplog.text


def test_register_is_lazy(root):
    for split, size in (("train", 100), ("test", 50)):
        name = f"{root}_{split}"
        register_cuhk_sysu(name, str(root), split, size)
        assert DatasetCatalog.get(name) == load_cuhk_sysu(str(root), split, size)
    assert list(get_protocols(name)) == ["gallery_50"]
    register_cuhk_sysu(f"{root}_none", str(root / "none"), "test")
    with pytest.raises(UserError, match="DETECTRON2_DATASETS"):
        DatasetCatalog.get(f"{root}_none")


@pytest.mark.parametrize(
    "name",
    ["annotation/Images.mat", "annotation/pool.mat", "annotation/test/train_test/TestG50.mat"],
)
def test_missing_and_damaged_file(root, name):
    (root / name).write_bytes(b"x" * 200)
    assert f"{root / name}: not a readable .mat file" in error_of(root, "test")
    (root / name).unlink()
    assert f"file '{root / name}' not found" in error_of(root, "test")


def test_missing_image(root):
    (root / "Image" / "SSM" / "s12.jpg").unlink()
    message = error_of(root, "test")
    assert "Images.mat, field 'Img'" in message and "s12.jpg' not found" in message


def test_missing_fields(root):
    savemat(root / "annotation" / "pool.mat", {"gallery": cell(CUHK_POOL)})
    assert "pool.mat: no field 'pool'" in error_of(root)
    savemat(
        root / "annotation" / "Images.mat",
        {"Img": structs(["name", "box"], [("s1.jpg", structs(["idlocate"], []))])},
    )
    assert "Images.mat, field 'Img': no field 'imname'" in error_of(root)
    savemat(root / "annotation" / "Images.mat", {"Img": np.eye(3)})
    assert "Images.mat, field 'Img': no struct with imname, box" in error_of(root)


def test_unknown_split_and_size(root):
    assert "split 'val' is unknown" in error_of(root, "val")
    message = error_of(root, "test", 60)
    assert "gallery size 60 is unknown; take one of (50, 100, 500, 1000, 2000, 4000)" in message


def write_boxes(root, name, rows):
    row = (name, len(rows), structs(["idlocate"], [(r,) for r in rows]))
    images = {"Img": structs(["imname", "nAppear", "box"], [row])}
    savemat(root / "annotation" / "Images.mat", images)
    savemat(root / "annotation" / "pool.mat", {"pool": cell(["s11.jpg"])})


@pytest.mark.parametrize(
    "name, box, reason",
    [
        ("s1.jpg", uint16(300, 1, 5, 5), "box 0: the box from corner to corner (300, 1, 305, 6)"),
        ("s1.jpg", uint16(1, 1, 5), "idlocate: 3 values; a box has four, x, y, w, h"),
        ("../s1.jpg", uint16(1, 1, 5, 5), "'../s1.jpg' is no plain file name"),
        ("..", uint16(1, 1, 5, 5), "'..' is no plain file name"),
    ],
)
def test_bad_image_entry(root, name, box, reason):
    write_boxes(root, name, [box])
    message = error_of(root)
    assert "Images.mat" in message and reason in message


def test_image_listed_twice(root):
    rows = [("s1.jpg", structs(["idlocate"], []))] * 2
    savemat(root / "annotation" / "Images.mat", {"Img": structs(["imname", "box"], rows)})
    assert "image 's1.jpg' stands there twice" in error_of(root)


def test_labelled_box_of_no_size(root):
    write_cuhk_train(root, {"p1": [("s1.jpg", (5, 5, 0, 10))]})
    message = error_of(root)
    assert "Train.mat, field 'Train', person 0, scene" in message and "has no size" in message


def test_frames_that_are_not_there(root):
    write_cuhk_train(root, {"p1": [("s99.jpg", (5, 5, 9, 10))]})
    assert "person 0, scene: 's99.jpg' is not in" in error_of(root)
    write_cuhk_test(root, 50, {"p1": ("s99.jpg", (5, 5, 9, 10), [("s11.jpg", None)])})
    assert "field 'TestG50', query 0: 's99.jpg' is not in" in error_of(root, "test")
    write_cuhk_test(root, 50, {"p1": ("s11.jpg", (20, 20, 30, 60), [("s99.jpg", None)])})
    assert "field 'TestG50', query 0: 's99.jpg' is not in" in error_of(root, "test")
