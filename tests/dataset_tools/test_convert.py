"""person-search convert: what it writes, prints and refuses; and that the result trains."""

import json

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

from fully_decoupled_ps.data import load_person_search_json, register_person_search_json
from tests.data.layouts import write_cuhk_sysu, write_prw
from tests.dataset_tools.conversion.mot_layout import write_sequence, write_video
from tests.dataset_tools.run_command import run_command
from tests.small_run import SmallRun
from tests.testing import CONFIGS

# Two persons in the first four frames, two others in the last four; one more in frame 1 alone.
ROWS = [
    (frame, 2 * (frame > 4) + k, 20 + 60 * k + frame, 20, 30, 60, 1, 1, 1.0)
    for frame in range(1, 9)
    for k in (1, 2)
] + [(1, 9, 5, 20, 10, 60, 1, 1, 0.1)]
MOT17 = ("--format", "mot17")


@pytest.fixture
def sequences(tmp_path):
    return [write_sequence(tmp_path / "data" / f"cam{i}", ROWS, 8) for i in (1, 2)]


def read(path):
    return json.loads(path.read_text())


def test_mot_end_to_end(sequences, tmp_path, capsys):
    out = tmp_path / "out"
    assert (
        run_command("convert", "mot", *sequences, *MOT17, "--ids", "shared", "--output", out) == 0
    )
    printed = capsys.readouterr().out
    assert "2  persons less visible than 0.25 (kept, unlabelled)" in printed
    assert f"check-dataset {out}/train.json --image-root {tmp_path / 'data'}" in printed
    train, test = read(out / "train.json"), read(out / "test.json")
    assert "queries" not in train and len(test["queries"]) == 4  # persons 3 and 4, two cameras
    assert train["images"][0]["file_name"] == "cam1/img1/000001.jpg"
    assert train["info"]["left_out_or_changed"] == {
        "persons less visible than 0.25 (kept, unlabelled)": 2
    }
    assert {a["person_id"] for a in train["annotations"]} == {1, 2, -1}
    assert {a["person_id"] for a in test["annotations"]} == {3, 4}
    assert sorted(p.name for p in out.iterdir()) == ["test.json", "train.json"]  # no picture
    for split in ("train", "test"):
        check = ["check-dataset", out / f"{split}.json", "--image-root", tmp_path / "data"]
        assert run_command(*check, "--split", split, "--strict") == 0


def test_the_result_trains(sequences, tmp_path, restore_loggers):
    out = tmp_path / "out"
    run_command("convert", "mot", *sequences, *MOT17, "--ids", "shared", "--output", out)
    with SmallRun(tmp_path) as run:
        for split, name in zip(("train", "test"), SmallRun.names):
            DatasetCatalog.remove(name)
            MetadataCatalog.remove(name)
            root = str(tmp_path / "data")
            register_person_search_json(name, str(out / f"{split}.json"), root, split)
        config = CONFIGS / "synthetic" / "faster_rcnn_R18.yaml"
        norms = ["MODEL.RESNETS.NORM", "BN", "MODEL.REID.SIDE_NET.NORM", "BN"]  # it is narrow
        run.train(config, norms)
        run.train(config, [*norms, "SOLVER.STAGE", "reid"])
        results = run.results("reid")
        assert results["counts"]["queries"] == {"full": 4, "multi_view": 4}
        assert run.scalars("reid")["loss_oim"] > 0


def test_existing_output_is_kept_without_force(sequences, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    (out / "test.json").write_text("mine")
    command = ["convert", "mot", *sequences, *MOT17, "--output", out]
    assert run_command(*command) == 2
    assert "is there already" in capsys.readouterr().err
    assert (out / "test.json").read_text() == "mine" and not (out / "train.json").exists()
    assert run_command(*command, "--force") == 0
    assert "images" in read(out / "test.json")


def test_sequences_as_splits_and_copies(sequences, tmp_path, capsys):
    out = tmp_path / "out"
    options = ["--split", "sequences", "--test-sequences", "cam2", "--copy-images"]
    command = ["convert", "mot", *sequences, *MOT17, "--ids", "shared", "--output", out, *options]
    assert run_command(*command) == 0
    assert "4 persons are in both" in capsys.readouterr().out
    assert [i["id"][:4] for i in read(out / "test.json")["images"]] == ["cam2"] * 8
    dicts = load_person_search_json(str(out / "test.json"), str(out / "images"), "test")
    assert dicts[0]["file_name"] == str(out / "images" / "cam2" / "000001.jpg")


def test_one_file_of_a_video_and_pictures(sequences, tmp_path, capsys):
    video = write_sequence(tmp_path / "data" / "cam3", ROWS, 0)
    write_video(video / "v.avi", 8)
    out = tmp_path / "data" / "out"
    command = ["convert", "mot", sequences[0], video, *MOT17, "--output", out, "--split", "none"]
    assert run_command(*command) == 0
    test = read(out / "test.json")
    names = [image["file_name"] for image in test["images"]]
    assert names[0] == "cam1/img1/000001.jpg" and names[8] == "out/images/cam3/000001.jpg"
    assert not (out / "train.json").exists()
    load_person_search_json(str(out / "test.json"), str(tmp_path / "data"), "test")
    # the same with copies: the frames of the video are there already
    assert run_command(*command, "--force", "--copy-images") == 0
    names = [image["file_name"] for image in read(out / "test.json")["images"]]
    assert names[0] == "cam1/000001.jpg" and names[8] == "cam3/000001.jpg"
    assert all((out / "images" / name).is_file() for name in names)


def test_prw_and_cuhk_sysu(tmp_path, capsys):
    prw, sysu = write_prw(tmp_path / "PRW"), write_cuhk_sysu(tmp_path / "CUHK-SYSU")
    assert run_command("convert", "prw", prw, "--output", tmp_path / "a") == 0
    assert read(tmp_path / "a" / "test.json")["images"][0]["file_name"].startswith("frames/c1s2")
    command = ["convert", "cuhk-sysu", sysu, "--output", tmp_path / "b", "--split", "test"]
    assert run_command(*command, "--gallery-size", 50) == 0
    assert len(read(tmp_path / "b" / "test.json")["queries"][0]["gallery"]) == 4
    assert not (tmp_path / "b" / "train.json").exists()
    for name, root in (("a", prw), ("b", sysu)):
        check = ["check-dataset", tmp_path / name / "test.json", "--image-root", root]
        assert run_command(*check) == 0


def test_copies_in_a_benchmark_s_layout_are_told(tmp_path, capsys):
    root = write_prw(tmp_path / "PRW")
    command = ["convert", "prw", root, "--force", "--output", tmp_path / "out"]
    assert run_command(*command) == 0
    assert "WARNING" not in capsys.readouterr().out
    one, other = sorted((root / "frames").iterdir())[:2]
    other.write_bytes(one.read_bytes())
    assert run_command(*command) == 0
    assert "WARNING: 1 pictures are there more than once, as '" in capsys.readouterr().out


def test_a_file_that_nothing_is_known_of_is_refused(sequences, tmp_path, capsys):
    assert run_command("convert", "mot", *sequences, "--output", tmp_path / "out") == 2
    assert "say --format cvat (from 0), mot15, mot17" in capsys.readouterr().err


def test_the_default_says_that_nobody_is_seen_by_two_cameras(sequences, tmp_path, capsys):
    """An id is another person in each sequence; there are queries of one camera all the same."""
    out = tmp_path / "out"
    assert run_command("convert", "mot", *sequences, *MOT17, "--output", out) == 0
    said = capsys.readouterr().out
    assert "no test person is seen by two cameras" in said
    assert "cameras: cam1 is 1, cam2 is 2 (--camera gives others)" in said
    assert len(read(out / "test.json")["queries"]) == 4


@pytest.mark.parametrize(
    "args, reason",
    [
        (["mot", "none"], "sequence '"),
        (["prw", "none"], "folder '"),
        (["cuhk-sysu", "none"], "folder '"),
        (["mot", "SEQ", "--camera", "1", "2"], "--camera: 2 given for 1 sequences"),
        (["mot", "SEQ", "--test-sequences", "cam1"], "is for --split sequences"),
        (["mot", "SEQ", "--split", "sequences"], "use --split ids, or --split none"),
        (["mot", "SEQ", "--person-class", "2", "--other-class", "2"], "class '2' is given twice"),
        (["mot", "SEQ", "--person-class", "staff"], "no sequence has a class 'staff'"),
        (["mot", "SEQ", "--other-class", "1"], "no labelled person is left"),
        (["mot", "SEQ", "--frame-step", "2"], "say the number of the first, --first-frame"),
        (["mot", "SEQ", "--format", "mot15"], "9 columns; mot15 has 10"),
        (["coco", "none"], "not found; give a COCO file"),
    ],
)
def test_wrong_use_is_one_line(sequences, tmp_path, capsys, args, reason):
    if "SEQ" in args and "--format" not in args:
        args = [*args, *MOT17]
    args = [str(sequences[0]) if arg == "SEQ" else arg for arg in args]
    assert run_command("convert", *args, "--output", tmp_path / "out") == 2
    captured = capsys.readouterr()
    *_, last = captured.err.splitlines()
    assert reason in last and last.startswith("person-search convert: ") and captured.out == ""


@pytest.mark.parametrize(
    "option",
    [("--stride", 0), ("--min-visibility", 2), ("--test-share", "x"), ("--min-height", "nan")],
)
def test_numbers_out_of_range(sequences, tmp_path, option):
    with pytest.raises(SystemExit) as e:
        run_command("convert", "mot", sequences[0], "--output", tmp_path / "out", *option)
    assert e.value.code == 2


def test_a_full_disk_leaves_what_was_there(sequences, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    command = ["convert", "mot", *sequences, *MOT17, "--output", out, "--force"]
    assert run_command(*command) == 0
    before = {p.name: p.read_text() for p in out.iterdir()}

    def full(fd):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    assert run_command(*command, "--stride", 2) == 2
    assert "can't be written: No space left on device;" in capsys.readouterr().err
    assert {p.name: p.read_text() for p in out.iterdir()} == before
