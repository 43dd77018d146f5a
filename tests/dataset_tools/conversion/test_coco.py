"""COCO files: who is who, what is a person, and what is refused by entry."""

import json

import pytest
from PIL import Image

from fully_decoupled_ps.dataset_tools.conversion.classes import ClassChoice
from fully_decoupled_ps.dataset_tools.conversion.coco import CocoRules, convert_coco
from fully_decoupled_ps.dataset_tools.conversion.coco_file import find_coco
from fully_decoupled_ps.errors import UserError
from tests.data.layouts import write_image


def write(folder, annotations, categories=("person",), names=("1.jpg", "2.jpg", "10.jpg"), **image):
    """A COCO file beside its pictures; annotations: (image id, x, fields)."""
    for name in names:
        write_image(folder / name, 200, 100)
    content = {
        "images": [{"id": i, "file_name": name, **image} for i, name in enumerate(names, 1)],
        "categories": [{"id": i, "name": name} for i, name in enumerate(categories, 1)],
        "annotations": [
            {"image_id": i, "category_id": 1, "bbox": [x, 20, 30, 60], **fields}
            for i, x, fields in annotations
        ],
    }
    (folder / "coco.json").write_text(json.dumps(content))
    return folder


def convert(*folders, **rules):
    return convert_coco(find_coco(folders), CocoRules(**rules))


def ids(converted):
    return {
        name: [["ignore" if a.get("iscrowd") else a["person_id"] for a in d["annotations"]]
               for d in dicts]
        for name, dicts in converted.dicts.items()
    }  # fmt: skip


def attribute(value, name="person_id"):
    return {"attributes": {name: value}}


def test_frames_are_in_the_order_of_their_numbers_and_strided(tmp_path):
    folder = write(tmp_path / "a", [(i, 10, {"person_id": 4}) for i in (1, 2, 3)])
    converted = convert(folder, stride=2)
    assert [d["file_name"] for d in converted.dicts["a"]] == [
        str(folder / "1.jpg"), str(folder / "10.jpg")
    ]  # fmt: skip
    assert converted.dicts["a"][0]["annotations"][0]["bbox"] == [10, 20, 40, 80]


def test_names_are_numbered_the_same_in_all_files(tmp_path):
    write(tmp_path / "s" / "a", [(1, 10, attribute("Zoe")), (1, 60, attribute("9"))])
    write(tmp_path / "s" / "b", [(1, 10, attribute("Ann")), (1, 60, attribute("Zoe "))])
    converted = convert(tmp_path / "s")
    assert ids(converted) == {"a": [[2, 0]], "b": [[1, 2]]}  # 9, Ann, Zoe
    assert "names were numbered in alphabetical order: 0 9, 1 Ann, 2 Zoe" in converted.assumed[1]


@pytest.mark.parametrize("value", ["", " ", None, -1, "-1", "unknown", "__undefined__"])
def test_nobody_is_named(tmp_path, value):
    write(tmp_path / "a", [(1, 10, attribute(value)), (1, 60, attribute(5))])
    assert ids(convert(tmp_path / "a")) == {"a": [[-1, 5]]}


def test_an_attribute_says_it_where_the_field_is_null(tmp_path):
    write(tmp_path / "a", [(1, 10, {"person_id": None, **attribute("4")})])
    assert ids(convert(tmp_path / "a")) == {"a": [[4]]}


def test_tracks_without_an_attribute_are_persons_of_their_file(tmp_path):
    for name in "ab":
        write(tmp_path / "s" / name, [(1, 10, attribute(0, "track_id")), (1, 60, {"track_id": 12})])
    converted = convert(tmp_path / "s")
    assert ids(converted) == {"a": [[100, 112]], "b": [[200, 212]]}
    assert "no box has an attribute 'person_id': a track_id is a person" in converted.assumed[0]
    with pytest.raises(UserError, match="no labelled person is left"):
        convert(write(tmp_path / "c", [(1, 10, {})]))


def test_classes_crowds_and_ignored_boxes(tmp_path):
    entries = [
        (1, 10, {"person_id": 1}),
        (1, 50, {"person_id": 2, "iscrowd": 1}),
        (1, 90, {"person_id": 3, "ignore": 1}),
        (1, 130, {"person_id": 4, "category_id": 2}),
        (1, 160, {"person_id": 5, "category_id": 3}),
        (1, 20, {"person_id": 6, "bbox": [20, 20, 30, 10], "attributes": {"rotation": 30.0}}),
        (1, 20, {"person_id": 7, "bbox": [250, 20, 30, 60]}),
    ]
    folder = write(tmp_path / "a", entries, ["Person", "car", "staff"])
    with pytest.raises(UserError, match="nothing is known of class 'staff'"):
        convert(folder)
    with pytest.raises(
        UserError, match="no file has a class 'stuff'; there are Person, car, staff"
    ):
        convert(folder, classes=ClassChoice(persons=["stuff"]))
    converted = convert(folder, classes=ClassChoice(persons=["staff"]))
    assert ids(converted) == {"a": [[1, "ignore", "ignore", 5, "ignore"]]}
    assert +converted.counts == {
        "boxes marked as crowd or to be ignored (kept as ignore regions)": 2,
        "boxes of class 'car' (no person)": 1,
        "boxes lower than 16 pixels (kept as ignore regions)": 1,
        "rotated boxes (taken as if upright)": 1,
        "boxes outside their picture, or of no size": 1,
        "frames before the first or after the last annotated one": 2,
    }


@pytest.mark.parametrize(
    "entry, reason",
    [
        ((1, 10, attribute(1.5)), r"annotations\[0\], person_id: 1.5 names no person"),
        ((1, 10, attribute(2**63)), r"annotations\[0\], person_id: 9223372036854775808 names"),
        ((1, 10, {"person_id": True}), "True names no person"),
        ((9, 10, {"person_id": 1}), r"annotations\[0\], image_id: no image has this id"),
        ((1, 10, {"person_id": 1, "category_id": 7}), r"annotations\[0\], category_id: 7 is no"),
        ((1, 10, {"person_id": 1, "bbox": [1, 2, -3, 4]}), r"annotations\[0\], bbox: .* is not x"),
        ((1, 10, {"person_id": 1, "bbox": [1, 2, None, 4]}), "is not x, y, width, height"),
        ((1, 10, {"person_id": 1, "iscrowd": "0"}), "iscrowd: '0' is neither 0 nor 1"),
        ((1, 10, {"person_id": 1, **attribute("false", "is_crowd")}), "'false' is neither 0 nor 1"),
    ],
)
def test_refused_by_entry(tmp_path, entry, reason):
    with pytest.raises(UserError, match=reason):
        convert(write(tmp_path / "a", [entry]))


def test_attributes_in_another_form_are_none(tmp_path):
    folder = write(tmp_path / "a", [(1, 10, {"person_id": 1, "attributes": ["occluded"]})])
    assert ids(convert(folder)) == {"a": [[1]]}


def test_sizes_that_are_null_are_absent(tmp_path):
    """As Label Studio writes them of pictures that it never opened."""
    folder = write(tmp_path / "a", [(1, 10, {"person_id": 1})], width=None, height=None)
    assert convert(folder).dicts["a"][0]["width"] == 200


@pytest.mark.parametrize("place", [".", "images", "data", "images/default", "coco"])
def test_places_of_pictures(tmp_path, place):
    """Roboflow's, CVAT's, FiftyOne's, Datumaro's, and one named like the file, as COCO has it."""
    folder = write(tmp_path / "a", [(1, 10, {"person_id": 1})])
    (folder / "annotations").mkdir()
    (folder / "coco.json").rename(folder / "annotations" / "instances_coco.json")
    (folder / "annotations" / "._instances_coco.json").touch()  # of an archive made by macOS
    (folder / place).mkdir(parents=True, exist_ok=True)
    for path in folder.glob("*.jpg"):
        path.rename(folder / place / path.name)
    assert find_coco([folder])[0].pictures["1.jpg"] == folder / place / "1.jpg"


def write_subsets(folder, *subsets):
    """CVAT's project with tasks of several subsets: all call their frames 1.jpg ... Person 1 is in
    all of them, and a person of its own at 60, 70, ... in each."""
    for k, subset in enumerate(subsets):
        entries = [(1, 10, {"person_id": 1}), (1, 60 + 10 * k, {"person_id": 2 + k})]
        own = write(folder / "images" / subset, entries)
        (folder / "annotations").mkdir(exist_ok=True)
        (own / "coco.json").rename(folder / "annotations" / f"instances_{subset}.json")
    return folder


def test_all_files_of_a_folder_are_taken_each_with_its_pictures(tmp_path):
    folder = write_subsets(tmp_path / "c9site", "cam2", "cam4")
    for sources in ([folder], [folder / "annotations"], sorted(folder.glob("*/*.json"))):
        converted = convert(*sources)
        assert ids(converted) == {"c9site/cam2": [[1, 2]], "c9site/cam4": [[1, 3]]}
    for subset, camera, x in (("cam2", 2, 60), ("cam4", 4, 70)):
        (frame,) = converted.dicts[f"c9site/{subset}"]
        assert frame["file_name"] == str(folder / "images" / subset / "1.jpg")
        assert frame["camera_id"] == camera
        assert frame["annotations"][1]["bbox"][0] == x
    (alone,) = find_coco([folder / "annotations" / "instances_cam4.json"])
    assert alone.name == "c9site" and alone.pictures["1.jpg"].parent.name == "cam4"


def test_a_picture_of_two_files_is_refused(tmp_path):
    """Datumaro writes instances_X.json and person_keypoints_X.json of the same pictures."""
    folder = write(tmp_path / "a", [(1, 10, {"person_id": 1})])
    (folder / "keypoints.json").write_text((folder / "coco.json").read_text())
    with pytest.raises(UserError, match="coco.json' and '.*keypoints.json' both have picture '.*1"):
        find_coco([folder])
    with pytest.raises(UserError, match="coco.json' is named twice"):
        find_coco([folder / "coco.json", folder / "coco.json"])


@pytest.mark.parametrize("source", [".", "annotations/instances_Train.json"])
def test_subsets_written_over_each_other_are_refused(tmp_path, source):
    """Older releases of CVAT put frame_000000 of each subset's tasks into one folder."""
    folder = write_subsets(tmp_path / "a", "Train", "Validation")
    for path in (folder / "images").glob("*/*"):
        path.replace(folder / "images" / path.name)
    with pytest.raises(UserError, match="Train.json' and 'instances_Validation.json' both have a"):
        find_coco([folder / source])
    (folder / "annotations" / "instances_Validation.json").unlink()
    assert find_coco([folder / source])[0].pictures["1.jpg"] == folder / "images" / "1.jpg"


def test_paths_as_windows_has_them(tmp_path):
    """Label Studio's file_name there; a newer one of it leads out of the folder."""
    folder = write(tmp_path / "a", [(1, 10, {"person_id": 1})])
    text = (folder / "coco.json").read_text()
    (folder / "images").mkdir()
    for path in folder.glob("*.jpg"):
        path.rename(folder / "images" / path.name)
    for prefix, refused in (("images\\\\", False), ("..\\\\media\\\\", True)):
        (folder / "coco.json").write_text(
            text.replace('e": "', f'e": "{prefix}').replace(
                f'"name": "{prefix}person', '"name": "person'
            )
        )
        if refused:
            with pytest.raises(UserError, match="1.jpg' is no path inside the folder"):
                find_coco([folder])
        else:
            assert len(ids(convert(folder))["a"]) == 1


def test_pictures_of_another_file_are_not_taken(tmp_path):
    folder = write_subsets(tmp_path / "a", "Train", "Validation")
    file = folder / "annotations" / "instances_Validation.json"
    validation = folder / "images" / "Validation"
    other = file.rename(folder / "annotations" / "mine.json")
    (folder / "annotations" / "instances_Train.json").unlink()
    with pytest.raises(UserError, match="can be those in '.*Train' or in '.*Validation'; move"):
        find_coco([other])
    other.rename(file)
    for path in validation.iterdir():
        path.unlink()
    (folder / "annotations" / "instances_Train.json").write_text(file.read_text())
    with pytest.raises(UserError, match="picture '1.jpg' is neither beside it nor in"):
        find_coco([file])


@pytest.mark.parametrize(
    "image, reason",
    [
        ({"id": 1}, r"images\[1\], id: 1 is no number, or an earlier image's"),
        ({"id": None}, r"images\[1\], id: None is no number"),
        ({"file_name": "./1.jpg"}, r"images\[1\], file_name: './1.jpg' stands there twice"),
    ],
)
def test_an_image_twice_is_refused(tmp_path, image, reason):
    """Of two images with one id, as joined files have them, each would get the people of both."""
    folder = write(tmp_path / "a", [(1, 10, {"person_id": 1})])
    content = json.loads((folder / "coco.json").read_text())
    content["images"][1].update(image)
    (folder / "coco.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=reason):
        convert(folder)


def test_a_picture_of_another_size_is_refused(tmp_path):
    folder = write(tmp_path / "a", [(1, 10, {"person_id": 1})], width=200, height=100)
    Image.new("RGB", (100, 50)).save(folder / "1.jpg")
    with pytest.raises(UserError, match="200 x 100, and the picture has 100 x 50"):
        convert(folder)


def test_files_that_do_not_fit(tmp_path):
    folder = write(tmp_path / "a", [(1, 10, {"person_id": 1})])
    (tmp_path / "link").symlink_to(folder)
    for sources, cameras, reason in (
        ([tmp_path / "none"], [], "not found; give a COCO file or an unpacked export"),
        ([folder, tmp_path / "link"], [], "are the same sequence"),
        ([folder], [1, 2], "--camera: 2 given for 1 files"),
    ):
        with pytest.raises(UserError, match=reason):
            find_coco(sources, cameras)
    twice = write(tmp_path / "twice", [], names=("1.jpg", "1.jpg"))
    with pytest.raises(UserError, match=r"images\[1\], file_name: '1.jpg' stands there twice"):
        find_coco([twice])
    (folder / "2.jpg").unlink()
    with pytest.raises(UserError, match="1 pictures are not in '.*', the first '2.jpg'"):
        find_coco([folder])
    (folder / "coco.json").write_text('{"images": []}')
    with pytest.raises(UserError, match="no list 'annotations' of objects"):
        find_coco([folder])
