"""The command that makes the report of a run's folder."""

import shutil

import pytest

import make_report


@pytest.fixture
def run_dir(run, tmp_path):
    """The made-up run's files in the layout that training leaves."""
    folder = tmp_path / "output"
    evaluation = folder / "reid" / "inference" / "made_up_test"
    evaluation.mkdir(parents=True)
    (folder / "detection").mkdir()
    shutil.copy(run.inputs["results"], evaluation / "metrics.json")
    shutil.copy(run.inputs["queries_file"], evaluation)
    shutil.copy(run.inputs["training_logs"]["detection"], folder / "detection" / "metrics.json")
    shutil.copy(run.inputs["training_logs"]["reid"], folder / "reid" / "metrics.json")
    return folder


def test_report_lies_in_the_run_s_folder_and_shows_all_it_finds(run, run_dir, capsys):
    (run_dir / "floor").mkdir()
    shutil.copy(run.inputs["floor"], run_dir / "floor" / "metrics.json")
    untrained = run_dir / "reid" / "inference" / "made_up_test" / "untrained"
    untrained.mkdir()
    shutil.copy(run.inputs["untrained"], untrained / "metrics.json")
    assert make_report.main(["--run-dir", str(run_dir)]) == 0
    assert capsys.readouterr().out.strip() == str(run_dir / "report.html")
    page = (run_dir / "report.html").read_text()
    assert "made_up_test" in page and ">8.5<" in page and ">21.5<" in page
    assert "proposals: position" in page and "OIM (identity memory)" in page
    assert "loss_" not in page and "learning rate" not in page and "not run" not in page


def test_several_datasets_need_a_name(run_dir, capsys):
    inference = run_dir / "reid" / "inference"
    shutil.copytree(inference / "made_up_test", inference / "other_test")
    assert make_report.main(["--run-dir", str(run_dir)]) == 2
    message = capsys.readouterr().err
    assert "made_up_test, other_test" in message and "--dataset" in message
    out = run_dir / "x" / "page.html"
    arguments = ["--run-dir", str(run_dir), "--dataset", "other_test", "--output", str(out)]
    assert make_report.main(arguments) == 0 and out.exists()
    assert make_report.main(arguments[:3] + ["typo"]) == 2
    assert "typo" in capsys.readouterr().err


def test_protocol_is_full_if_there_and_not_said(run_dir):
    evaluation = run_dir / "reid" / "inference" / "made_up_test"
    queries = (evaluation / "queries_full.json").read_text().replace('"full"', '"multi_view"')
    (evaluation / "queries_multi_view.json").write_text(queries)
    assert make_report.main(["--run-dir", str(run_dir)]) == 0
    assert "full gallery, " in (run_dir / "report.html").read_text()
    assert make_report.main(["--run-dir", str(run_dir), "--protocol", "multi_view"]) == 0
    page = (run_dir / "report.html").read_text()
    assert "multi view gallery, " in page and ">Full gallery<" in page


def test_run_without_an_evaluation_gets_one_line(tmp_path, capsys):
    assert make_report.main(["--run-dir", str(tmp_path)]) == 2
    error = capsys.readouterr().err.strip()
    assert str(tmp_path) in error and "--eval-only" in error and "\n" not in error
