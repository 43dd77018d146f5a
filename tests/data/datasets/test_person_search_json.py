"""Own data as JSON; all values are worked out by hand."""

import copy
import json
import re
from pathlib import Path

import pytest
from detectron2.data import DatasetCatalog

from fully_decoupled_ps.data import (
    get_protocols,
    load_person_search_json,
    load_person_search_json_protocols,
    register_person_search_json,
)
from fully_decoupled_ps.errors import UserError
from tests.data.layouts import write_image

README = Path(__file__).parents[3] / "datasets" / "README.md"

CONTENT = {
    "images": [
        {"id": 1, "file_name": "door/a.jpg", "camera_id": 1},
        {"id": 2, "file_name": "door/b.jpg", "width": 200, "height": 100, "camera_id": 1},
        {"id": "hall", "file_name": "hall.jpg", "camera_id": 4},
        {"id": 3, "file_name": "./hall2.jpg", "camera_id": 4},
    ],
    "annotations": [
        {"image_id": 1, "bbox": [10, 20, 30, 60], "person_id": 70},
        {"image_id": 1, "bbox": [100, 20.5, 30, 60]},
        {"image_id": 1, "bbox": [150, 20, 30, 60], "person_id": -1},
        {"image_id": 2, "bbox": [12, 20, 30, 60], "person_id": 70},
        {"image_id": 2, "bbox": [80, 20, 30, 60], "person_id": 8},
        {"image_id": "hall", "bbox": [14, 20, 30, 60], "person_id": 70},
        {"image_id": "hall", "bbox": [-0.5, 20, 10, 80.25], "person_id": 9},
        {"image_id": 3, "bbox": [80, 20, 30, 60], "person_id": 8, "category_id": 1},
    ],
}


@pytest.fixture
def root(tmp_path):
    for image in CONTENT["images"]:
        write_image(tmp_path / image["file_name"], 200, 100)
    return tmp_path


@pytest.fixture
def content():
    return copy.deepcopy(CONTENT)


def write(root, content):
    path = root / "set.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


def load(root, content, split="test"):
    return load_person_search_json(write(root, content), str(root), split)


def protocols(root, content):
    return load_person_search_json_protocols(write(root, content), str(root))


def error_of(root, content):
    with pytest.raises(UserError) as e:
        load(root, content)
    assert "\n" not in str(e.value)
    return str(e.value)


def test_frames_and_persons(root, content):
    dicts = load(root, content)
    assert [d["image_id"] for d in dicts] == ["1", "2", "hall", "3"]
    assert [d["file_name"] for d in dicts] == [
        str(root / name) for name in ("door/a.jpg", "door/b.jpg", "hall.jpg", "hall2.jpg")
    ]
    assert {(d["width"], d["height"]) for d in dicts} == {(200, 100)}
    assert [d["camera_id"] for d in dicts] == [1, 1, 4, 4]
    assert [[a["person_id"] for a in d["annotations"]] for d in dicts] == [
        [70, -1, -1], [70, 8], [70, 9], [8]
    ]  # fmt: skip
    assert dicts[0]["annotations"][1]["bbox"] == [100, 20.5, 130, 80.5]
    assert dicts[2]["annotations"][1]["bbox"] == [0, 20, 9.5, 100]  # rounding at the border


def test_train_ids_are_contiguous(root, content):
    dicts = load(root, content, "train")
    assert [[a["person_id"] for a in d["annotations"]] for d in dicts] == [
        [2, -1, -1], [2, 0], [2, 1], [0]
    ]  # fmt: skip
    assert not any("queries" in d for d in dicts)


def test_chosen_queries(root, content):
    """Persons 8 and 70 are in two images or more, 9 is not; one query a camera."""
    chosen = protocols(root, content)
    assert list(chosen) == ["full", "multi_view"]
    expected = [
        ("2", [80, 20, 110, 80], 8),
        ("3", [80, 20, 110, 80], 8),
        ("1", [10, 20, 40, 80], 70),
        ("hall", [14, 20, 44, 80], 70),
    ]
    for queries in chosen.values():
        assert [(q["image_id"], q["bbox"], q["person_id"]) for q in queries] == expected
    assert [q["gallery"] for q in chosen["full"]] == [None] * 4
    assert [q["gallery"] for q in chosen["multi_view"]] == [
        ["hall", "3"], ["1", "2"], ["hall", "3"], ["1", "2"]
    ]  # fmt: skip
    assert [d["queries"] for d in load(root, content)] == [[box] for box in (
        [10, 20, 40, 80], [80, 20, 110, 80], [14, 20, 44, 80], [80, 20, 110, 80]
    )]  # fmt: skip


def test_chosen_queries_without_cameras(root, content):
    del content["images"][3]["camera_id"]
    chosen = protocols(root, content)
    assert list(chosen) == ["full"]
    assert [(q["image_id"], q["person_id"]) for q in chosen["full"]] == [("2", 8), ("1", 70)]


def test_listed_queries(root, content):
    content["queries"] = [
        {"image_id": 2, "bbox": [12, 20, 30, 60], "person_id": 70, "gallery": [1, "hall", 2, 1]},
        {"image_id": 2, "bbox": [12, 20, 30, 60], "person_id": 70, "gallery": None},
    ]
    full, multi_view = protocols(root, content).values()
    assert [q["gallery"] for q in full] == [["1", "hall", "2", "1"], None]
    assert [q["gallery"] for q in multi_view] == [["hall"], ["hall", "3"]]
    assert [d.get("queries") for d in load(root, content)] == [
        None, [[12, 20, 42, 80]], None, None
    ]  # fmt: skip


def test_query_only_images_are_in_no_gallery(root, content):
    content["images"][1]["query_only"] = True
    assert [d.get("query_only") for d in load(root, content)] == [None, True, None, None]
    galleries = [q["gallery"] for q in protocols(root, content)["multi_view"]]
    assert galleries == [["hall", "3"], ["1"], ["hall", "3"], ["1"]]


def test_repeated_ids_are_kept_where_the_file_allows_them(root, content, caplog):
    content["annotations"][3]["person_id"] = 8
    content["allow_repeated_ids"] = True
    with caplog.at_level("WARNING"):
        dicts = load(root, content)
    assert [a["person_id"] for a in dicts[1]["annotations"]] == [8, 8]
    assert "1 frames hold a person id twice" in caplog.text
    content["allow_repeated_ids"] = False
    assert "person_id 8 stands twice in image 2" in error_of(root, content)
    content["allow_repeated_ids"] = "yes"
    assert "allow_repeated_ids: 'yes' is neither true nor false" in error_of(root, content)


def with_classes(content, *names):
    """The names become categories 1, 2, ...; all annotations are of the first."""
    content["categories"] = [{"id": i, "name": name} for i, name in enumerate(names, 1)]
    for a in content["annotations"]:
        a["category_id"] = 1
    return content


def test_classes_are_read_by_name(root, content, caplog):
    """A car, an unlabelled person on a vehicle, a region of the class that says so."""
    with_classes(content, "Pedestrian", "car", "person_on-vehicle", "Crowd")
    for i, category in ((3, 2), (4, 3), (6, 4)):
        content["annotations"][i]["category_id"] = category
    with caplog.at_level("WARNING"):
        dicts = load(root, content)
    assert [[a["person_id"] for a in d["annotations"]] for d in dicts] == [
        [70, -1, -1], [-1], [70], [8]
    ]  # fmt: skip
    assert [d.get("ignore_regions") for d in dicts] == [None, None, [[0, 20, 9.5, 100]], None]
    assert "1 annotations of class 'car' left out" in caplog.text
    assert "1 annotations of crowds" in caplog.text


def test_crowds_and_what_is_to_be_ignored_are_regions(root, content):
    with_classes(content, "person", "car")
    content["annotations"][0]["iscrowd"] = 1
    content["annotations"][1].update(ignore=1, bbox=[-50, -5, 300, 200])  # over all borders
    content["annotations"][2].update(iscrowd=1, category_id=2)  # of cars
    content["annotations"][3].update(iscrowd=0, ignore=0)
    content["annotations"][6]["attributes"] = {"is_crowd": True}
    dicts = load(root, content)
    assert dicts[0]["annotations"] == [] and len(dicts[1]["annotations"]) == 2
    assert dicts[0]["ignore_regions"] == [[10, 20, 40, 80], [0, 0, 200, 100]]
    assert [d.get("ignore_regions") for d in dicts[1:]] == [None, [[0, 20, 9.5, 100]], None]


def test_classes_without_a_person_need_a_choice(root, content):
    with_classes(content, "player", "ball")
    content["annotations"][0]["category_id"] = 2
    message = error_of(root, content)
    assert "'player', 'ball'" in message and "person_classes" in message
    path = write(root, content)
    dicts = load_person_search_json(path, str(root), person_classes=["Player"])
    assert sum(len(d["annotations"]) for d in dicts) == 7
    assert load(root, {**content, "person_classes": ["Player"]}) == dicts
    with pytest.raises(UserError, match="no class 'goalie'; its classes are 'player', 'ball'"):
        load_person_search_json(path, str(root), person_classes=["goalie"])
    with_classes(content, "car")
    assert "no class is named person" in error_of(root, content)


def test_one_class_without_a_name_is_persons(root, content):
    content["categories"] = [{"id": 1}]
    assert sum(len(d["annotations"]) for d in load(root, content)) == 8
    content["categories"] = []
    assert sum(len(d["annotations"]) for d in load(root, content)) == 8


def cvat(content, **renamed):
    """Identities in `attributes`, as CVAT exports them; there as text."""
    for a in content["annotations"]:
        person_id = a.pop("person_id", "")
        a["attributes"] = {"occluded": False, **{name: str(person_id) for name in renamed.values()}}
    return content


def test_identities_in_attributes(root, content):
    expected = [[70, -1, -1], [70, 8], [70, 9], [8]]

    def ids(**options):
        dicts = load_person_search_json(write(root, content), str(root), **options)
        return [[a["person_id"] for a in d["annotations"]] for d in dicts]

    cvat(content, it="person_id")
    assert ids() == expected
    for a in content["annotations"]:
        a["attributes"]["track_id"] = a["attributes"].pop("person_id")
    assert ids(id_attribute="track_id") == expected
    content["id_attribute"] = "track_id"
    assert ids() == expected
    del content["id_attribute"]
    with pytest.raises(UserError, match="no.* attribute 'pid'.*are occluded, track_id"):
        ids(id_attribute="pid")
    for a in content["annotations"]:
        a["track_id"] = int(a.pop("attributes")["track_id"] or -1)
    assert ids(id_attribute="track_id") == expected


def test_a_person_id_comes_before_attributes(root, content):
    for i, person_id in ((0, 5), (1, "6")):  # 1 has no person_id of its own
        content["annotations"][i]["attributes"] = {"person_id": person_id}
    assert [a["person_id"] for a in load(root, content)[0]["annotations"]] == [70, 6, -1]


def test_unknown_persons_are_told_where_another_field_may_know_them(root, content, caplog):
    cvat(content, it="track_id")
    with caplog.at_level("WARNING"):
        load(root, content)
    assert "if one of the fields occluded, track_id is the identity" in caplog.text


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark(root, content, encoding):
    path = root / "set.json"
    path.write_text(json.dumps(content), encoding=encoding)
    assert len(load_person_search_json(str(path), str(root))) == 4


def test_whole_numbers_as_tables_write_them(root, content):
    """With one empty cell in a column, all its numbers get a fraction of 0."""
    for a in content["annotations"]:
        a.update({k: float(a[k]) for k in ("person_id", "image_id") if isinstance(a.get(k), int)})
    content["images"][1].update(id=2.0, width=200.0, camera_id=1.0)
    assert load(root, content) == load(root, copy.deepcopy(CONTENT))


def test_boxes_over_the_border_are_cut_where_the_file_says_so(root, content, caplog):
    content["annotations"][3]["bbox"] = [190, 20, 30, 60]
    assert "leaves its image" in error_of(root, content)
    content["clip_boxes"] = True
    with caplog.at_level("WARNING"):
        dicts = load(root, content)
    assert dicts[1]["annotations"][0]["bbox"] == [190, 20, 200, 80]
    assert "1 boxes over the border cut" in caplog.text


def test_all_faults_are_told_at_once_with_what_to_set(root, content):
    """As of PRW's own annotations: id -2, boxes over the border, an id twice in a frame."""
    for i in (1, 2):
        content["annotations"][i]["person_id"] = -2
    content["annotations"][3]["bbox"] = [190, 20, 30, 60]
    content["annotations"][6]["person_id"] = 70
    message = error_of(root, content)
    for part in (
        "annotations[1], person_id: -2",
        "In all 4 faults",
        "2 person ids below -1 (set -1 for unlabelled)",
        '1 boxes that reach out of their picture (cut them, or set "clip_boxes": true',
        '1 persons that stand twice in a frame (correct them, or set "allow_repeated_ids": true',
    ):
        assert part in message


def test_no_queries_at_all(root, content):
    content["queries"] = []
    assert protocols(root, content) == {"full": [], "multi_view": []}


def test_a_changed_file_is_read_again(root, content):
    assert len(load(root, content)) == 4
    content["annotations"] = []
    content["images"].pop()
    assert len(load(root, content)) == 3


def test_clipping_is_counted_in_the_log(root, content, caplog):
    with caplog.at_level("INFO"):
        load(root, content)
    assert "4 frames, 8 boxes (2 unlabelled), 3 ids" in caplog.text
    assert "1 boxes at most 1 pixel over the border clipped" in caplog.text


def test_register_is_lazy(root, content):
    path = str(root / "set.json")
    register_person_search_json(f"{root}_test", path, str(root))
    register_person_search_json(f"{root}_train", path, str(root), split="train")
    with pytest.raises(UserError, match="not found"):
        DatasetCatalog.get(f"{root}_test")
    write(root, content)
    assert DatasetCatalog.get(f"{root}_test") == load(root, content)
    assert DatasetCatalog.get(f"{root}_train") == load(root, content, "train")
    assert list(get_protocols(f"{root}_test")) == ["full", "multi_view"]
    with pytest.raises(UserError, match="has no queries"):
        get_protocols(f"{root}_train")


def test_missing_files(root, content):
    with pytest.raises(UserError, match="dataset file '.*none.json' not found"):
        load_person_search_json(str(root / "none.json"), str(root))
    with pytest.raises(UserError, match="image folder '.*none' of .*set.json not found"):
        load_person_search_json(write(root, content), str(root / "none"))
    with pytest.raises(UserError, match="split 'val' is unknown"):
        load(root, content, "val")


@pytest.mark.parametrize(
    "text, reason",
    [
        ('{"images": [', "not readable as JSON"),
        ("[" * 100_000, "not readable as JSON"),
        ("[]", "no list 'images'"),
        ('{"images": []}', "no list 'annotations'"),
        ('{"images": [], "annotations": [], "queries": {}}', "'queries' is no list"),
    ],
)
def test_bad_file(root, text, reason):
    assert f"{root / 'set.json'}: {reason}" in error_of(root, text)


# where in the content, what to put there, what the error says
FAULTS = [
    ("images.0.file_name", "door/none.jpg", "not found; add the file"),
    ("images.0.file_name", "../a.jpg", "'../a.jpg' leads out of the image folder"),
    ("images.0.file_name", "door/../../a.jpg", "leads out of the image folder"),
    ("images.0.file_name", "/etc/hostname", "leads out of the image folder"),
    ("images.0.file_name", ".", "leads out of the image folder"),
    ("images.0.file_name", 5, "images[0], file_name: 5 is not of type str"),
    ("images.0", {"id": 7}, "images[0]: no 'file_name'"),
    ("images.0", 3, "images[0]: no 'id'"),
    ("images.1.id", "1", "images[1], id: 1 stands there twice"),
    ("images.1.width", 0, "images[1]: width 0, height 100; both must be over 0"),
    ("images.1.width", 20.5, "images[1], width: 20.5 is not of type int"),
    ("images.1.query_only", 1, "images[1], query_only: 1 is neither true nor false"),
    ("images.1.camera_id", "door", "images[1], camera_id: 'door' is not of type int"),
    ("annotations.3.image_id", 9, "annotations[3], image_id: 9 is not in 'images'"),
    ("annotations.3", {"bbox": [1, 1, 5, 5]}, "annotations[3]: no 'image_id'"),
    ("annotations.3", {"image_id": 1}, "annotations[3]: no 'bbox'"),
    ("annotations.3.bbox", [1, 2, 3], "annotations[3], bbox: [1, 2, 3]; it must be four"),
    ("annotations.3.bbox", [1, 2, 3, "4"], "it must be four numbers, x, y, width, height"),
    ("annotations.3.bbox", [1, 2, 0, 4], "annotations[3], bbox: the box from corner to corner"),
    ("annotations.3.bbox", [1, 2, 0, 4], "has no size"),
    ("annotations.3.bbox", [1, 2, float("nan"), 4], "has no size"),
    ("annotations.3.bbox", [200, 2, 5, 4], "lies outside its image of 200 x 100 pixels"),
    ("annotations.3.bbox", [196, 2, 6, 4], "annotations[3], bbox: [196, 2, 6, 4] leaves its"),
    ("annotations.3.bbox", [196, 2, 6, 4], "image of 200 x 100 pixels by 2; cut it"),
    ("annotations.3.person_id", -2, "annotations[3], person_id: -2; give 0 or more, or -1"),
    ("annotations.3.person_id", "ann", "annotations[3], person_id: 'ann' is not of type int"),
    ("annotations.3.person_id", 7.5, "annotations[3], person_id: 7.5 is not of type int"),
    ("annotations.3.person_id", 2.0**60, "is not of type int"),  # its last digits are lost
    ("annotations.3.person_id", 2**63, "person_id: 9223372036854775808 is over"),
    ("annotations.3.iscrowd", "yes", "annotations[3], iscrowd: 'yes' is neither 0 nor 1"),
    ("annotations.3.bbox", [10**400, 2, 3, 4], "bbox: a number in it is too large"),
    ("annotations.3.person_id", True, "annotations[3], person_id: True is not of type int"),
    ("annotations.3.person_id", 8, "person_id 8 stands twice in image 2"),
    ("queries", [{"image_id": 9}], "queries[0], image_id: 9 is not in 'images'"),
    ("queries", [{"image_id": 1, "bbox": [1, 1, 5, 5]}], "queries[0]: no 'person_id'"),
    (
        "queries",
        [{"image_id": 1, "bbox": [1, 1, 5, 5], "person_id": -1}],
        "queries[0], person_id: -1; a query needs an id of 0 or more",
    ),
    (
        "queries",
        [{"image_id": 1, "bbox": [1, 1, 5, 500], "person_id": 70}],
        "queries[0], bbox: [1, 1, 5, 500] leaves its image",
    ),
    (
        "queries",
        [{"image_id": 1, "bbox": [1, 1, 5, 5], "person_id": 70, "gallery": [1, 9]}],
        "queries[0], gallery: image 9 is not in 'images'",
    ),
]
# of the file as a whole, so that nothing of it can be read
CLASS_FAULTS = [
    ("annotations.3.category_id", 2, "but annotations have category_id 1, 2"),
    ("categories", {"1": "person"}, "categories: no list"),
    ("categories", [{"name": "person"}], "categories[0]: no 'id'"),
    ("categories", [{"id": 1}, {"id": 1}], "categories[1], id: 1 stands there twice"),
]


@pytest.mark.parametrize("place, value, reason", FAULTS + CLASS_FAULTS)
def test_fault(root, content, place, value, reason):
    *way, last = [int(key) if key.isdigit() else key for key in place.split(".")]
    target = content
    for key in way:
        target = target[key]
    target[last] = value
    message = error_of(root, content)
    assert message.startswith(str(root / "set.json")) and reason in message


def test_unreadable_image(root, content):
    (root / "door" / "a.jpg").write_bytes(b"no picture")
    assert "images[0], file_name: image '" in error_of(root, content)
    assert "is unreadable" in error_of(root, content)


def test_an_image_of_stated_size_is_not_looked_for(root, content):
    """A run refuses or skips it, as it is told; see check_config.py."""
    content["images"][1]["file_name"] = "door/none.jpg"
    assert load(root, content)[1]["file_name"] == str(root / "door" / "none.jpg")


def test_the_worked_example_of_the_readme(tmp_path):
    blocks = re.findall(r"```json\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    (example,) = [json.loads(block) for block in blocks]
    for image in example["images"]:
        write_image(tmp_path / image["file_name"], 1280, 720)
    dicts = load(tmp_path, example)
    assert [len(d["annotations"]) for d in dicts] == [2, 1, 1]
    queries = protocols(tmp_path, example)["full"]
    assert [(q["image_id"], q["person_id"]) for q in queries] == [("1", 17)]
    del example["queries"]
    queries = protocols(tmp_path, example)["full"]
    assert [(q["image_id"], q["person_id"]) for q in queries] == [("1", 17), ("3", 17)]
