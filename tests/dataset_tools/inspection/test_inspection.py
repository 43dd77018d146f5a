"""What check-dataset finds: each fault on its own, on frames made by hand."""

import copy
import json
import os
import shutil

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from PIL import Image

from fully_decoupled_ps.data import register_person_search_json
from fully_decoupled_ps.data.cut_jpeg import LACKS_END
from fully_decoupled_ps.data.datasets.checks import person
from fully_decoupled_ps.dataset_tools.inspection import (
    Findings,
    format_inspection,
    inspect_dataset,
    pictures,
)
from fully_decoupled_ps.dataset_tools.inspection.boxes import inspect_boxes
from fully_decoupled_ps.dataset_tools.inspection.copies import inspect_copies
from fully_decoupled_ps.dataset_tools.inspection.persons import (
    inspect_cameras,
    inspect_persons,
    persons_per_frame,
)
from fully_decoupled_ps.dataset_tools.inspection.queries import inspect_queries
from fully_decoupled_ps.errors import UserError
from tests.data.datasets.test_person_search_json import CONTENT, FAULTS
from tests.data.layouts import write_image

BOX = [10.0, 20.0, 40.0, 80.0]


def frame(image_id, *persons, **fields):
    """A frame of 200 x 100 pixels; persons are (box, id)."""
    return {
        "file_name": f"{image_id}.jpg",
        "image_id": image_id,
        "width": 200,
        "height": 100,
        "annotations": [person(list(box), person_id) for box, person_id in persons],
        **fields,
    }


def kinds(findings):
    return {finding.kind: finding.count for finding in findings}


@pytest.mark.parametrize(
    "box, kind, level",
    [
        ([10, 20, 10, 80], "boxes.empty", "error"),
        ([10, 20, float("nan"), 80], "boxes.empty", "error"),
        ([-1, 20, 40, 80], "boxes.outside", "error"),
        ([180, 20, 200.5, 80], "boxes.outside", "error"),
        ([10, 20, 17.5, 80], "boxes.tiny", "warning"),
        ([10, 20, 18, 35], "boxes.tiny", "warning"),
    ],
)
def test_a_bad_box(box, kind, level):
    findings = Findings()
    inspect_boxes([frame("a", (BOX, 1), (box, 2), ([150, 10, 170, 60], 3))], findings)
    assert kinds(findings) == {kind: 1}
    assert findings[0].level == level and "image a" in findings[0].places[0]


def test_boxes_at_the_limits_are_fine():
    findings = Findings()
    summary = inspect_boxes([frame("a", ([0, 0, 8, 100], 1), ([100, 0, 200, 100], 2))], findings)
    assert not findings
    assert summary["width"] == {"min": 8.0, "median": 54.0, "max": 100.0}


def test_doubled_boxes():
    """IoU 60 x 29.5 over 60 x 30.5 is 0.967; a shift by 2 gives 28 / 32."""
    near, far = [10.5, 20, 40.5, 80], [12.0, 20, 42.0, 80]
    findings = Findings()
    inspect_boxes([frame("a", (BOX, 1), (near, 2)), frame("b", (BOX, 1), (far, 2))], findings)
    assert kinds(findings) == {"boxes.duplicate": 1}
    assert "person 2" in findings[0].places[0]


def test_mostly_lying_boxes_suggest_another_format():
    findings = Findings()
    inspect_boxes([frame("a", ([0, 0, 60, 30], 1), ([0, 40, 60, 70], 2), (BOX, 3))], findings)
    assert kinds(findings) == {"boxes.wide": 2}


def test_persons_are_counted():
    dicts = [
        frame("a", (BOX, 5), (BOX, -1)),
        frame("b", (BOX, 5), (BOX, 5), (BOX, 7)),
        frame("c", query_only=True),
    ]
    findings = Findings()
    summary = inspect_persons(dicts, findings)
    assert {k: summary[k] for k in ("frames", "boxes", "labelled", "unlabelled", "identities")} == {
        "frames": 3, "boxes": 5, "labelled": 4, "unlabelled": 1, "identities": 2
    }  # fmt: skip
    assert summary["frames_without_persons"] == summary["frames_for_queries_only"] == 1
    assert not summary["contiguous_ids"]
    assert kinds(findings) == {"ids.one_box": 1, "ids.repeated": 1}
    assert findings[0].places == ("person 7",) and findings[1].places == ("image b, person 5",)


@pytest.mark.parametrize(
    "dicts, kind",
    [([], "images.none"), ([frame("a")], "boxes.none"), ([frame("a", (BOX, -1))], "ids.none")],
)
def test_nothing_to_train_on(dicts, kind):
    findings = Findings()
    inspect_persons(dicts, findings)
    assert [(f.level, f.kind) for f in findings] == [("error", kind)]


def test_a_test_set_needs_nobody_with_an_id():
    """It measures detection; that a search can't be is told of its queries."""
    findings = Findings()
    inspect_persons([frame("a", (BOX, -1))], findings, "test")
    assert not list(findings)


def test_one_picture_under_two_ids():
    findings = Findings()
    twice = [frame(i, (BOX, 0), file_name="same.jpg") for i in ("a", "b")]
    inspect_copies(twice, findings)
    assert [(f.level, f.kind, f.count) for f in findings] == [("error", "images.twice", 1)]


def test_copies_of_a_picture(tmp_path):
    """b is a copy of a, and c a link to it; of d and its copy e nobody is annotated."""
    write_image(tmp_path / "a.jpg", 200, 100)
    write_image(tmp_path / "d.jpg", 200, 100)
    shutil.copy(tmp_path / "a.jpg", tmp_path / "b.jpg")
    shutil.copy(tmp_path / "d.jpg", tmp_path / "e.jpg")
    (tmp_path / "c.jpg").symlink_to("a.jpg")
    persons = {"a": [(BOX, 1)], "b": [(BOX, 2)], "c": [], "d": [], "e": []}
    dicts = [frame(i, *p, file_name=str(tmp_path / f"{i}.jpg")) for i, p in persons.items()]
    findings = Findings()
    inspect_copies(dicts, findings)
    assert [(f.level, f.kind, f.count) for f in findings] == [
        ("error", "images.copies", 1), ("warning", "images.copies.empty", 1)
    ]  # fmt: skip
    assert [name in findings[0].places[0] for name in ("a.jpg", "b.jpg", "c.jpg")] == [True] * 3
    assert not {"d.jpg", "e.jpg"} & set(findings[0].places)


@pytest.mark.parametrize(
    "cameras, persons, kind",
    [
        ([3, 3], [[(BOX, 1)], [(BOX, 1)]], ("warning", "images.still")),
        ([3, 4], [[(BOX, 1)], [(BOX, 1)]], ("error", "images.copies")),
        ([3, 3], [[(BOX, 1)], [(BOX, 2)]], ("error", "images.copies")),
        ([None, None], [[(BOX, 1)], [(BOX, 1)]], ("error", "images.copies")),
    ],
)
def test_equal_frames_of_a_still_camera(tmp_path, cameras, persons, kind):
    """Only of one camera, and with the same persons in the same boxes."""
    write_image(tmp_path / "a.jpg", 200, 100)
    shutil.copy(tmp_path / "a.jpg", tmp_path / "b.jpg")
    dicts = [
        {**frame(name, *boxes, file_name=str(tmp_path / f"{name}.jpg")), "camera_id": camera}
        for name, boxes, camera in zip("ab", persons, cameras)
    ]
    findings = Findings()
    inspect_copies(dicts, findings)
    assert [(f.level, f.kind) for f in findings] == [kind]


def test_pictures_that_two_sets_share(tmp_path):
    """Of three pictures one is in the other set, and one is a copy of another's there."""
    for name in "abcd":
        write_image(tmp_path / f"{name}.jpg", 200, 100)
    shutil.copy(tmp_path / "b.jpg", tmp_path / "other.jpg")
    own, others = (
        [frame(i, (BOX, 1), file_name=str(tmp_path / f"{i}.jpg")) for i in names]
        for names in (["a", "b", "c"], ["a", "other", "d"])
    )
    findings = Findings()
    inspect_copies(own, findings, others, "the training set")
    assert kinds(findings) == {"images.in_both": 2}
    assert "in the training set" in findings[0].message


def test_a_test_set_against_its_training_set(root):
    content = copy.deepcopy(CONTENT)
    (root / "train.json").write_text(json.dumps(content))
    content["images"][:3] = []
    content["annotations"][:7] = []
    inspection = inspect_dataset(write(root, content), against=str(root / "train.json"))
    assert kinds(inspection.findings)["images.in_both"] == 1


def test_what_is_no_person_and_what_is_to_be_ignored_is_counted(root):
    content = copy.deepcopy(CONTENT)
    content["categories"] = [{"id": 1, "name": "Person"}, {"id": 2, "name": "car"}]
    for a in content["annotations"]:
        a["category_id"] = 1
    content["annotations"][1]["category_id"] = 2
    content["annotations"][2]["iscrowd"] = 1
    inspection = inspect_dataset(write(root, content))
    summary = inspection.summary
    assert (summary["boxes"], summary["ignore_regions"], summary["left_out"]) == (6, 1, {"car": 1})
    text = format_inspection(inspection)
    assert "left out: car 1" in text and "ignore regions" in text


def test_ids_in_another_field_are_told(root):
    content = copy.deepcopy(CONTENT)
    for a in content["annotations"]:
        a["attributes"] = {"track_id": a.pop("person_id", -1), "occluded": False}
    inspection = inspect_dataset(write(root, content))
    assert {"ids.none", "ids.elsewhere"} <= kinds(inspection.findings).keys()
    assert "occluded, track_id" in format_inspection(inspection)
    inspection = inspect_dataset(write(root, content), id_attribute="track_id")
    assert inspection.summary["identities"] == 3 and "ids.none" not in kinds(inspection.findings)


def test_histogram_of_persons():
    def crowd(n):
        return frame("a", *[(BOX, -1)] * n)

    few = persons_per_frame([crowd(n) for n in (0, 2, 2)])
    assert few == {
        **{"min": 0, "median": 2.0, "max": 2, "mean": pytest.approx(4 / 3)},
        "histogram": [[0, 0, 1], [1, 1, 0], [2, 2, 2]],
    }
    many = persons_per_frame([crowd(n) for n in (0, 3, 30)])["histogram"]
    assert many[0] == [0, 2, 1] and many[1] == [3, 5, 1] and many[-1] == [30, 32, 1]
    assert sum(n for _, _, n in many) == 3


def test_cameras():
    dicts = [
        frame("a", (BOX, 1), camera_id=4),
        frame("b", (BOX, 1), (BOX, 2), camera_id=2),
        frame("c", camera_id=2),
    ]
    findings = Findings()
    summary = inspect_cameras(dicts, findings)
    assert summary["cameras"] == [
        {"camera": 2, "frames": 2, "boxes": 2, "identities": 2},
        {"camera": 4, "frames": 1, "boxes": 1, "identities": 1},
    ]
    assert summary["identities_in_two_cameras"] == 1 and not findings
    dicts[0]["annotations"] = []
    inspect_cameras(dicts, findings)
    assert kinds(findings) == {"cameras.apart": 0}
    del dicts[2]["camera_id"]
    findings = Findings()
    inspect_cameras(dicts[1:], findings)
    assert kinds(findings)["cameras.partial"] == 1


def query(image_id, person_id, gallery=None, box=BOX):
    return {"image_id": image_id, "bbox": box, "person_id": person_id, "gallery": gallery}


def test_queries():
    dicts = [
        frame("a", (BOX, 1)),
        frame("b", (BOX, 1), (BOX, 2)),
        frame("c", (BOX, 1), query_only=True),
    ]
    queries = [query("a", 1), query("b", 2), query("a", 1, ["a", "c"])]
    findings = Findings()
    (row,) = inspect_queries(dicts, {"full": queries}, findings)
    # 1: only b (c holds queries only); 2: nobody; 1 in a and c: both, its own frame among them
    assert row["queries"] == 3 and row["persons"] == 2
    assert [row[f"ground_truths_{k}"] for k in ("min", "median", "max")] == [0, 1.0, 2]
    assert row["without_ground_truth"] == 1 and row["own_frame_in_gallery"] == 1
    assert kinds(findings) == {"queries.without_ground_truth": 1, "queries.own_frame": 1}


def test_a_query_drawn_beside_its_person():
    dicts = [frame("a", (BOX, 1)), frame("b", (BOX, 1))]
    findings = Findings()
    inspect_queries(dicts, {"full": [query("a", 1, box=[100.0, 20.0, 130.0, 80.0])]}, findings)
    assert kinds(findings) == {"queries.box": 1}


def test_no_query_can_be_answered():
    findings = Findings()
    inspect_queries([frame("a", (BOX, 1))], {"full": [query("a", 1)]}, findings)
    assert [(f.level, f.kind) for f in findings] == [("error", "queries.none_findable")]


def test_a_further_protocol_without_anybody_to_find_is_no_fault_of_the_data():
    """Each camera's persons have ids of their own, as of tracks that nobody has matched."""
    dicts = [frame("a", (BOX, 1), camera_id=1), frame("b", (BOX, 1), camera_id=1)]
    findings = Findings()
    protocols = {"full": [query("a", 1)], "multi_view": [query("a", 1, [])]}
    inspect_queries(dicts, protocols, findings)
    assert [(f.level, f.kind) for f in findings] == [("warning", "queries.none_findable")]
    assert "n/a" in findings[0].message


@pytest.fixture
def files(tmp_path):
    """One frame for each kind of picture: whole, turned, cut short, of another size, not there."""
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 255, (100, 200, 3), dtype=np.uint8))
    dicts = []
    for name in ("whole", "turned", "cut", "other", "none"):
        path = tmp_path / f"{name}.jpg"
        dicts.append(frame(name, file_name=str(path)))
        noise.save(path)
    write_image(tmp_path / "turned.jpg", 100, 200, orientation=6)
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:4000])
    write_image(tmp_path / "other.jpg", 200, 90)
    (tmp_path / "none.jpg").unlink()
    return dicts


BAD_PICTURES = {"pictures.missing": 1, "pictures.unreadable": 1, "pictures.size": 1}


def test_pictures_are_opened(files):
    findings = Findings()
    assert pictures.inspect_pictures(files, findings) == {"pictures": 5, "opened": 5}
    assert kinds(findings) == BAD_PICTURES
    assert {f.level for f in findings} == {"error"}
    assert "is 200 x 90, stated are 200 x 100" in findings[2].places[0]


def test_pictures_are_opened_by_processes_alike(files, monkeypatch):
    monkeypatch.setattr(pictures, "FEW_PICTURES", 0)
    findings = Findings()
    pictures.inspect_pictures(files, findings, workers=2)
    assert kinds(findings) == BAD_PICTURES
    assert "cut.jpg" in findings[1].places[0]


def test_what_is_to_be_told_of_pictures_that_are_read_is_a_warning(files):
    cut = files[0]["file_name"]
    with open(cut, "rb+") as file:
        file.truncate(os.path.getsize(cut) - 2)
    findings = Findings()
    pictures.inspect_pictures(files[:2], findings)
    (finding,) = findings
    assert (finding.level, finding.kind, finding.count) == ("warning", "pictures.noted", 1)
    assert finding.message == f"pictures each of which {LACKS_END}" and cut in finding.places[0]


def test_missing_pictures_are_seen_outside_a_sample(files):
    findings = Findings()
    pictures.inspect_pictures(files, findings, sample=1, seed=0)  # it draws another
    assert kinds(findings)["pictures.missing"] == 1


def test_a_sample_is_drawn_by_its_seed(files, monkeypatch):
    opened = []
    monkeypatch.setattr(pictures, "open_picture", lambda p: opened.append(p[0]) or ("", ""))
    for seed in (0, 0, 1, 2, 3):
        counts = pictures.inspect_pictures(files, Findings(), sample=2, seed=seed)
        assert counts == {"pictures": 5, "opened": 2}
    draws = [tuple(opened[i : i + 2]) for i in range(0, 10, 2)]
    assert draws[0] == draws[1] and len(set(draws)) > 1


@pytest.fixture
def root(tmp_path):
    for image in CONTENT["images"]:
        write_image(tmp_path / image["file_name"], 200, 100)
    return tmp_path


def write(root, content):
    path = root / "set.json"
    path.write_text(json.dumps(content))
    return str(path)


def test_a_json_file_without_a_fault(root):
    inspection = inspect_dataset(write(root, CONTENT), split="test")
    assert [f for f in inspection.findings if f.level == "error"] == []
    assert inspection.summary["queries"][0]["queries"] == 4
    text = format_inspection(inspection)
    assert "8  6 labelled, 2 unlabelled" in text and text.endswith("no errors, 1 warning")


def test_a_json_file_is_for_training_unless_it_lists_queries(root):
    content = copy.deepcopy(CONTENT)
    assert inspect_dataset(write(root, content)).split == "train"
    content["queries"] = [{"image_id": 1, "bbox": [10, 20, 30, 60], "person_id": 70}]
    inspection = inspect_dataset(write(root, content))
    assert inspection.split == "test" and len(inspection.summary["queries"]) == 2
    content["queries"] = []
    levels = {f.kind: f.level for f in inspect_dataset(write(root, content)).findings}
    assert levels["queries.none"] == "warning"


@pytest.mark.parametrize("place, value, reason", FAULTS)
def test_whatever_the_loader_refuses_is_an_error(root, place, value, reason):
    content = copy.deepcopy(CONTENT)
    *way, last = [int(key) if key.isdigit() else key for key in place.split(".")]
    target = content
    for key in way:
        target = target[key]
    target[last] = value
    inspection = inspect_dataset(write(root, content))
    errors = [f for f in inspection.findings if f.level == "error"]
    assert any(reason.removeprefix("set.json, ") in p for f in errors for p in f.places)


def test_all_faults_are_told_at_once_and_by_kind(root):
    content = copy.deepcopy(CONTENT)
    content["annotations"][0]["bbox"] = [10, 20, 0, 60]
    content["annotations"][1]["bbox"] = [10, 20, -5, 60]
    content["annotations"][3]["bbox"] = [300, 20, 10, 60]
    content["annotations"][4]["person_id"] = -7
    content["images"][2]["width"] = 0  # two annotations and nothing else are of it
    content["images"][2]["height"] = 0
    inspection = inspect_dataset(write(root, content))
    errors = {f.kind: f.count for f in inspection.findings if f.level == "error"}
    assert errors == {
        "boxes.empty": 2, "boxes.outside": 1, "ids.below": 1, "images.entry": 1
    }  # fmt: skip
    assert inspection.summary["frames"] == 3 and inspection.summary["boxes"] == 2
    text = format_inspection(inspection)
    assert "annotations[0], bbox" in text and "annotations[1], bbox" in text
    assert "4 errors" in text


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_registered_file_is_read_past_its_first_fault(root, split):
    content = copy.deepcopy(CONTENT)
    content["annotations"][0]["bbox"] = [10, 20, 0, 60]
    content["annotations"][3]["bbox"] = [300, 20, 10, 60]
    name = f"inspected_{split}"
    register_person_search_json(name, write(root, content), str(root), split)
    try:
        inspection = inspect_dataset(name)
    finally:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)
    errors = {f.kind for f in inspection.findings if f.level == "error"}
    assert {"boxes.empty", "boxes.outside"} <= errors and "ids.gaps" not in errors
    assert inspection.split == split and inspection.summary["frames"] == len(CONTENT["images"])


def test_ids_twice_in_a_frame_are_an_error_unless_the_file_allows_them(root):
    content = copy.deepcopy(CONTENT)
    content["annotations"][1]["person_id"] = 70
    levels = {f.kind: f.level for f in inspect_dataset(write(root, content)).findings}
    assert levels["ids.repeated"] == "error"
    content["allow_repeated_ids"] = True
    levels = {f.kind: f.level for f in inspect_dataset(write(root, content)).findings}
    assert levels["ids.repeated"] == "warning"


def test_nothing_to_inspect(root):
    with pytest.raises(UserError, match="'prw_tran' is neither a JSON file nor a registered"):
        inspect_dataset("prw_tran")
    with pytest.raises(UserError, match="dataset file '.*none.json' not found"):
        inspect_dataset(str(root / "none.json"))
    with pytest.raises(UserError, match="--image-root, --split, .* are for a JSON file"):
        inspect_dataset("prw_train", image_root=str(root))
