"""The documented way from CVAT: every label is held against the picture that it lands on."""

import json

import pytest
from PIL import Image

from fully_decoupled_ps.data import load_person_search_json
from tests.dataset_tools.conversion.cvat_layout import Track, colours_of_box, write_coco, write_mot
from tests.dataset_tools.run_command import run_command

RED, GREEN, BLUE, CYAN, CAR = (255, 0, 0), (0, 200, 0), (0, 0, 255), (0, 200, 200), (255, 255, 0)
LABELS = ["car", "person", "crowd"]
VEHICLE = Track(CAR, 240, "car", y=20, size=(60, 20))
CROWD = Track((250, 0, 250), 200, "crowd", y=135, size=(100, 40), speed=0)


def labels_on_pictures(file, root):
    """[(file name, id or "ignore", colours in the box)] of a converted set."""
    content = json.loads(file.read_text())
    names = {image["id"]: image["file_name"] for image in content["images"]}
    return [
        (
            names[a["image_id"]],
            "ignore" if a.get("iscrowd") else a["person_id"],
            colours_of_box(root / names[a["image_id"]], a["bbox"]),
        )
        for a in content["annotations"]
    ]


@pytest.mark.parametrize("step", [1, 5])
def test_mot_export(tmp_path, capsys, step):
    """A box of 30 x 90 that is a pixel or a frame off holds grey, too."""
    tracks = [Track(RED, 20, occluded=(1, 2, 5)), Track(GREEN, 80), VEHICLE, CROWD]
    write_mot(tmp_path / "site" / "cam1", tracks, LABELS, step=step)
    tracks = [Track(BLUE, 20), Track(CYAN, 80, ignored=True)]
    write_mot(tmp_path / "site" / "cam2", tracks, LABELS, step=step, empty=2)
    out = tmp_path / "out"
    command = ["convert", "mot", tmp_path / "site", "--output", out, "--split", "none"]
    assert run_command(*command) == 0
    found = labels_on_pictures(out / "test.json", tmp_path / "site")
    assert {(who, *colours) for _, who, colours in found} == {
        (11, RED), (12, GREEN), ("ignore", CROWD.colour), (21, BLUE), ("ignore", CYAN)
    }  # fmt: skip
    assert len(found) == 8 * 5
    assert len({name for name, *_ in found}) == 16
    printed = capsys.readouterr().out
    assert "cam1, cam2: read as cvat (gt/labels.txt is there): x and y count from 0" in printed
    assert "cam1, cam2: pictures go by the order of their names" in printed
    assert "8  boxes of class 1 (car) (no person)" in printed
    assert "WARNING: no test person is seen by two cameras" in printed


def test_mot_ids_are_not_the_same_people_in_two_exports(tmp_path, capsys):
    for name, colours in (("cam1", (RED, GREEN)), ("cam2", (BLUE, CYAN))):
        tracks = [Track(colour, 20 + 60 * i) for i, colour in enumerate(colours)]
        write_mot(tmp_path / "site" / name, tracks, LABELS)
    command = ["convert", "mot", tmp_path / "site", "--split", "none", "--output"]
    assert run_command(*command, tmp_path / "shared", "--ids", "shared") == 0
    assert "WARNING: --ids shared: the ids of each of cam1, cam2" in capsys.readouterr().out
    assert run_command(*command, tmp_path / "distinct") == 0
    assert "--ids shared" not in capsys.readouterr().out


def test_an_unknown_class_needs_a_choice(tmp_path, capsys):
    tracks = [Track(RED, 20), Track(BLUE, 80, "guard")]
    write_mot(tmp_path / "cam1", tracks, ["person", "guard"])
    command = ["convert", "mot", tmp_path / "cam1", "--split", "none", "--output"]
    assert run_command(*command, tmp_path / "a") == 2
    assert "nothing is known of class 'guard'; say of each" in capsys.readouterr().err
    for option, colours in (
        ("--person-class", {RED, BLUE}),
        ("--ignore-class", {RED}),
        ("--other-class", {RED}),
    ):
        assert run_command(*command, tmp_path / option, option, "guard") == 0
        found = labels_on_pictures(tmp_path / option / "test.json", tmp_path)
        assert {c for _, who, colours in found if who != "ignore" for c in colours} == colours
        assert any(who == "ignore" for _, who, _ in found) == (option == "--ignore-class")


def test_a_sequence_twice_is_refused(tmp_path, capsys):
    for name in ("cam1", "cam2"):
        write_mot(tmp_path / "site" / name, [Track(RED, 20)], LABELS)
    assert run_command("convert", "mot", tmp_path / "site", "--output", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert "cam1/img1/frame_000000.PNG' and '" in error and "are the same picture" in error
    assert not (tmp_path / "out" / "test.json").exists()


def test_pictures_smaller_than_those_annotated_are_told(tmp_path, capsys):
    folder = write_mot(tmp_path / "cam1", [Track(RED, 20), Track(GREEN, 250)], LABELS)
    for picture in (folder / "img1").iterdir():
        Image.open(picture).resize((160, 90)).save(picture)
    command = ["convert", "mot", folder, "--split", "none", "--output"]
    assert run_command(*command, tmp_path / "out") == 0
    assert "WARNING: 8 boxes, and 8 inside, are outside their picture" in capsys.readouterr().out
    (folder / "seqinfo.ini").write_text("[Sequence]\nimWidth=320\nimHeight=180\n")
    assert run_command(*command, tmp_path / "other") == 2
    assert "has 160 x 90 pixels, and seqinfo.ini says 320 x 180" in capsys.readouterr().err


@pytest.mark.parametrize("ids", [(7, 12, 3), ("7", "12", "3"), (7.0, 12.0, 3.0)])
def test_coco_export_with_the_identity_in_an_attribute(tmp_path, capsys, ids):
    """Red is 7 in both cameras, though its track has another number in each."""
    red, green, blue = ids
    nobody = "-1" if isinstance(red, str) else -1
    tracks = [
        Track(RED, 20, person_id=red, occluded=(2,)), Track(GREEN, 80, person_id=green),
        VEHICLE, CROWD,
    ]  # fmt: skip
    write_coco(tmp_path / "site" / "cam1", tracks, LABELS)
    tracks = [
        Track(BLUE, 20, person_id=blue), Track(CYAN, 80, person_id=nobody),
        Track(RED, 140, person_id=red),
    ]  # fmt: skip
    write_coco(tmp_path / "site" / "cam2", tracks, LABELS)
    out = tmp_path / "out"
    command = ["convert", "coco", tmp_path / "site", "--output", out, "--split", "none"]
    assert run_command(*command) == 0
    found = labels_on_pictures(out / "test.json", tmp_path / "site")
    assert {(who, *colours) for _, who, colours in found} == {
        (7, RED), (12, GREEN), ("ignore", CROWD.colour), (3, BLUE), (-1, CYAN)
    }  # fmt: skip
    assert len(found) == 8 * 6
    printed = capsys.readouterr().out
    assert "the attribute 'person_id' says who it is, the same in all files" in printed
    assert "WARNING" not in printed
    dicts = load_person_search_json(str(out / "test.json"), str(tmp_path / "site"))
    assert {d["camera_id"] for d in dicts} == {1, 2}
    check = ["check-dataset", out / "test.json", "--image-root", tmp_path / "site"]
    assert run_command(*check, "--split", "test") == 0


def test_the_documented_recipe(tmp_path):
    """Without more, convert makes two sets that check-dataset finds fit."""
    people = [(RED, 1), (GREEN, 2), (BLUE, 3), (CYAN, 4)]
    for name, start in (("cam1", 0), ("cam2", 5)):
        tracks = [Track(c, 10 + start + 60 * i, person_id=n) for i, (c, n) in enumerate(people)]
        folder = write_coco(tmp_path / "site" / name, tracks, LABELS, frames=12)
        file = folder / "annotations" / "instances_default.json"
        content = json.loads(file.read_text())
        # the first two persons walk in the first half, the others in the second
        content["annotations"] = [
            a for a in content["annotations"]
            if (a["attributes"]["person_id"] > 2) == (a["image_id"] > 6)
        ]  # fmt: skip
        file.write_text(json.dumps(content))
    out, root = tmp_path / "site-json", tmp_path / "site"
    assert run_command("convert", "coco", root, "--output", out) == 0
    for split, ids in (("train", {1, 2}), ("test", {3, 4})):
        content = json.loads((out / f"{split}.json").read_text())
        assert {a["person_id"] for a in content["annotations"]} == ids
        check = ["check-dataset", out / f"{split}.json", "--image-root", root, "--split", split]
        assert run_command(*check) == 0
    assert len(json.loads((out / "test.json").read_text())["queries"]) == 4
