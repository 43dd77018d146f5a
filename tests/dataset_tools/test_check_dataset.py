"""person-search check-dataset: what it prints, draws and returns."""

import json

import cv2
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

from fully_decoupled_ps.data import register_prw
from tests.data.layouts import write_image, write_prw
from tests.dataset_tools.run_command import run_command

IMAGES = [{"id": i, "file_name": f"{i}.jpg", "camera_id": 1 + i % 2} for i in range(4)]
ANNOTATIONS = [{"image_id": i, "bbox": [10 + i, 20, 30, 60], "person_id": i // 2} for i in range(4)]


@pytest.fixture
def dataset(tmp_path):
    for image in IMAGES:
        write_image(tmp_path / image["file_name"], 200, 100)
    path = tmp_path / "set.json"
    path.write_text(json.dumps({"images": IMAGES, "annotations": ANNOTATIONS}))
    return path


def change(path, **lists):
    path.write_text(json.dumps({**json.loads(path.read_text()), **lists}))


def test_a_fit_dataset(dataset, capsys):
    assert run_command("check-dataset", dataset, "--strict") == 0
    out = capsys.readouterr().out
    assert "checked as a training set" in out and "no errors, no warnings" in out
    assert "persons per frame: 1 to 1, median 1, mean 1.0" in out


def test_a_warning_counts_only_when_strict(dataset):
    change(dataset, annotations=[*ANNOTATIONS, {"image_id": 0, "bbox": [100, 2, 5, 12]}])
    assert run_command("check-dataset", dataset) == 0
    assert run_command("check-dataset", dataset, "--strict") == 1


def test_an_error_counts(dataset, capsys):
    (dataset.parent / "2.jpg").write_bytes(b"no picture")
    assert run_command("check-dataset", dataset) == 1
    assert "ERROR  pictures that can't be read: 1" in capsys.readouterr().out


def test_names_that_are_no_utf8(dataset, capsys, tmp_path):
    """JSON has them as \\udcXX, which Python's own writer makes of os.fsdecode's text."""
    images = [dict(image, file_name=f"\udce9\x1b{image['file_name']}") for image in IMAGES]
    for before, after in zip(IMAGES, images):
        (tmp_path / before["file_name"]).rename(tmp_path / after["file_name"])
    change(dataset, images=images)
    sheet = tmp_path / "sheet.png"
    assert run_command("check-dataset", dataset, "--sheet", sheet) == 0
    assert cv2.imread(str(sheet)).std() > 0
    (tmp_path / images[2]["file_name"]).write_bytes(b"no picture")
    capsys.readouterr()
    assert run_command("check-dataset", dataset) == 1
    assert r"\xe9\x1b2.jpg" in capsys.readouterr().out
    assert run_command("check-dataset", dataset, "--json") == 1
    findings = {f["kind"]: f for f in json.loads(capsys.readouterr().out)["findings"]}
    assert images[2]["file_name"] in findings["pictures.unreadable"]["places"][0]


def test_json_report(dataset, capsys):
    change(dataset, annotations=[*ANNOTATIONS, {"image_id": 0, "bbox": [100, 2, 0, 12]}])
    assert run_command("check-dataset", dataset, "--json", "--split", "test") == 1
    report = json.loads(capsys.readouterr().out)
    assert report["errors"] == 1 and report["warnings"] == 0 and report["split"] == "test"
    assert report["summary"]["frames"] == 4 and report["summary"]["queries"][0]["queries"] == 4
    (finding,) = report["findings"]
    assert finding["kind"] == "boxes.empty" and "annotations[4], bbox" in finding["places"][0]


def test_sheet(dataset, tmp_path):
    out = tmp_path / "sheet.png"
    (dataset.parent / "2.jpg").write_bytes(b"no picture")  # is left out of the sheet
    assert run_command("check-dataset", dataset, "--sheet", out, "--sheet-frames", 3) == 1
    sheet = cv2.imread(str(out))
    assert sheet.shape[1] == 3 * 490 + 10 and sheet.shape[0] > 240
    assert sorted(p.name for p in tmp_path.iterdir() if p.suffix == ".png") == ["sheet.png"]


def test_a_registered_name(tmp_path, capsys):
    root = write_prw(tmp_path / "PRW")
    names = [f"{tmp_path}_{split}" for split in ("train", "test")]
    try:
        for name, split in zip(names, ("train", "test")):
            register_prw(name, str(root), split)
        assert run_command("check-dataset", names[0]) == 0
        assert "WARNING  persons that stand twice in a frame: 1" in capsys.readouterr().out
        assert run_command("check-dataset", names[1]) == 0
        assert "1 for queries only" in capsys.readouterr().out
        (root / "annotations" / "c2s1_000176.jpg.mat").write_bytes(b"no file")
        assert run_command("check-dataset", names[0]) == 1
        assert "not a readable .mat file" in capsys.readouterr().out
        (root / "frames").rename(tmp_path / "frames")
        root.rename(tmp_path / "elsewhere")
        assert run_command("check-dataset", names[0]) == 2
        assert "DETECTRON2_DATASETS" in capsys.readouterr().err
    finally:
        for name in names:
            DatasetCatalog.remove(name)
            MetadataCatalog.remove(name)


@pytest.mark.parametrize(
    "args, reason",
    [
        (["none.json"], "not found"),
        (["coco_2017_val"], "neither a JSON file nor a registered dataset of person search"),
        (["nothing"], "neither a JSON file nor a registered dataset of person search; registered"),
        (["SET", "--image-root", "none"], "image folder"),
        (["SET", "--sheet", "sheet.gif"], "ends in .png or .jpg"),
        (["SET", "--sheet", "none/sheet.png"], "there is no folder 'none'"),
    ],
)
def test_wrong_use_is_one_line(dataset, monkeypatch, capsys, args, reason):
    monkeypatch.chdir(dataset.parent)
    args = [str(dataset) if arg == "SET" else arg for arg in args]
    assert run_command("check-dataset", *args) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and reason in captured.err and captured.err.count("\n") == 1


@pytest.mark.parametrize("option", ["--sample", "--workers", "--sheet-frames"])
def test_numbers_are_whole_and_over_0(dataset, option, capsys):
    with pytest.raises(SystemExit) as e:
        run_command("check-dataset", dataset, option, 0)
    assert e.value.code == 2 and "'0' is not a whole number" in capsys.readouterr().err


def test_a_file_that_is_no_json(tmp_path, capsys):
    path = tmp_path / "set.json"
    path.write_text("{")
    assert run_command("check-dataset", path) == 2
    assert "not readable as JSON" in capsys.readouterr().err
