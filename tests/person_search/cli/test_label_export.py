"""``person-search label --export``: its options, what it tells, and its exit status."""

import argparse
import json

import pytest

from person_search.cli.label_export import add_export_arguments, check_export_arguments, export
from person_search.errors import UserError
from tests.person_search.label.small_site import make_site
from tests.person_search.label.test_export import PAIRS, decide, same


def parse(*args):
    parser = argparse.ArgumentParser()
    parser.add_argument("--project")
    add_export_arguments(parser)
    return parser.parse_args([str(arg) for arg in args])


@pytest.fixture
def project(tmp_path):
    folder = make_site(tmp_path)
    decide(folder, *same(*PAIRS))
    return folder


def test_the_options_reach_the_export_and_the_next_commands_are_told(project, tmp_path, caplog):
    caplog.set_level("INFO")
    out = tmp_path / "out"
    args = ("--export", "--output", out, "--frames", 8, "--test-share", 0.25, "--seed", 3)
    assert export(parse("--project", project, *args)) == 0
    options = json.loads((out / "export.json").read_text())["options"]
    assert options == {"frames": 8, "test_share": 0.25, "seed": 3}
    told = [record.getMessage() for record in caplog.records]
    train, test, images = out / "train.json", out / "test.json", out / "images"
    assert any(f"check-dataset {train} --image-root {images} --split train" in t for t in told)
    assert any(f"check-dataset {test} --image-root {images} --split test" in t for t in told)
    assert any(f"train {train} --test {test} --image-root {images} " in t for t in told)
    (row,) = [t.split() for t in told if t.startswith("train.json  ")]
    assert row[1] == "6"  # frames: three quarters of 8


def test_a_recording_that_is_gone_makes_the_exit_status_1(project, tmp_path, caplog):
    (tmp_path / "yard" / "video.mp4").unlink()
    assert export(parse("--project", project, "--export")) == 1
    assert str(tmp_path / "yard" / "video.mp4") in caplog.text
    assert (project / "export" / "train.json").exists()


@pytest.mark.parametrize(
    "args", [("--frames", 1), ("--frames", "x"), ("--test-share", 1), ("--test-share", "nan")]
)
def test_a_value_out_of_range_is_refused_at_once(args, capsys):
    with pytest.raises(SystemExit):
        parse("--export", *args)
    assert args[0] in capsys.readouterr().err


def test_an_option_of_the_export_alone_is_refused():
    with pytest.raises(UserError, match="--test-share is for --export"):
        check_export_arguments(parse("--test-share", 0))
    check_export_arguments(parse("--test-share", 0, "--export"))
    check_export_arguments(parse())
