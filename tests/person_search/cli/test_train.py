"""``person-search train``: from two JSON files, or a project, to a network that ``index`` takes."""

import json
import os
import shlex
import shutil
from contextlib import closing
from types import SimpleNamespace

import pytest

from fully_decoupled_ps.site_training import outcome
from fully_decoupled_ps.site_training.comparison import compare_figures
from person_search.index import open_index
from person_search.index.locking import WriterLock
from person_search.label.labelling import Labelling
from person_search.label.records import SAME
from person_search.label.store import open_project
from tests.person_search.label.small_site import make_site
from tests.site_training.site import QUICK, write_ready, write_site

from .command import index_args, run

CPU = ("--device", "cpu")
# It can be told apart no more: all crops are the same to the network.
BLIND = ("MODEL.CROP_REID.PIXEL_STD", "(1e9, 1e9, 1e9)")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    root = tmp_path_factory.mktemp("site")
    train, test = write_site(root / "site")
    return SimpleNamespace(root=root, train=train, test=test, start=write_ready(root / "start"))


def command(site, output, *args):
    sets = ("train", site.train, "--test", site.test, "--output", output)
    return (*sets, "--start", site.start, *CPU, *args)


def error_line(capsys):
    (line,) = (x for x in capsys.readouterr().err.splitlines() if x.startswith("error: "))
    return line


def test_the_result_is_indexed_and_the_report_is_there(site, tmp_path, capsys, caplog):
    output = tmp_path / "out"
    assert run(*command(site, output), *QUICK) == 0
    out, err = capsys.readouterr().out, caplog.text
    assert f"person-search index RECORDINGS --model {output}/reid" in out
    assert "search mAP, full gallery" in out and "6 queries of 3 persons" in out
    # chosen by the amount of data, and said; so is what there is little of, and the time
    assert "as it is (frozen)  8 frames with 24 boxes; with fewer than 200" in err
    assert "WARNING: only 4 identities to train on" in err
    assert "This takes about" in err and "stage reid: iteration 3 of 3" in err
    assert (output / "report.html").is_file()
    index = tmp_path / "index"
    assert run(*index_args(output / "reid", index, site.root / "site" / "test")) == 0
    with open_index(str(index)) as opened:
        assert opened.counts() == (8, 8, 24)


def test_a_worse_network_is_said_to_be_worse(site, tmp_path, capsys):
    output = tmp_path / "out"
    assert run(*command(site, output), *QUICK, *BLIND) == 1
    out = capsys.readouterr().out
    assert "THE TRAINED NETWORK IS WORSE THAN THE ONE IT STARTED FROM: search mAP" in out
    assert f"the trained one is {output}/reid, the one it started from {site.start}" in out
    results = json.loads((output / "results.json").read_text())
    assert results["worse"] and results["start"] == str(site.start)
    worse = {row["figure"] for row in results["figures"] if row["worse"]}
    assert "search mAP, full gallery" in worse and "detection recall" not in worse
    # the same command again says it again
    assert run(*command(site, output), *QUICK, *BLIND) == 1


@pytest.mark.parametrize(
    "recall, said, status",
    [
        (-1.0, "IS WORSE THAN THE ONE IT STARTED FROM: detection recall", 1),
        (0.0, "no figure has changed by more than chance explains", 0),
    ],
)
def test_the_verdict_is_the_exit_status(site, tmp_path, capsys, monkeypatch, recall, said, status):
    output = tmp_path / "out"
    shutil.copytree(_finished(site), output)
    row = compare_figures("detection recall", "24 persons", 90.0, 90.0 + recall)
    monkeypatch.setattr(outcome, "compare", lambda *folders: [row])
    assert run(*command(site, output), *QUICK) == status
    assert said in capsys.readouterr().out


def _finished(site):
    """An output folder with nothing left to do, made once."""
    folder = site.root / "finished"
    if not folder.exists():
        assert run(*command(site, folder), *QUICK) == 0
    return folder


@pytest.mark.parametrize(
    "args, parts",
    [
        (["SOLVER.MAX_ITER"], ["KEY VALUE", "SOLVER.MAX_ITER"]),
        (["SOLVER.MAX_ITRE", "3"], ["MAX_ITRE", "did you mean MAX_ITER"]),
        (["OUTPUT_DIR", "x"], ["OUTPUT_DIR", "--output"]),
        (["--start", "osnet-ian"], ["--start osnet-ian", "osnet-ain"]),
        (["--device", "gpu"], ["--device gpu", "cuda or cpu"]),
        (["--image-root", "/no/such"], ["/no/such", "not found"]),
    ],
)
def test_mistakes_are_one_line_before_any_work(site, tmp_path, capsys, args, parts):
    assert run(*command(site, tmp_path / "out"), *args) == 2
    line = error_line(capsys)
    assert all(part in line for part in parts)
    assert set(os.listdir(tmp_path / "out")) <= {"lock"}


def test_data_that_are_none(site, tmp_path, capsys):
    output = ("--output", tmp_path / "out")
    assert run("train", site.train, *output) == 2
    assert "--test is missing" in error_line(capsys)
    assert run("train", tmp_path, *output) == 2
    assert "folder without project.sqlite" in error_line(capsys)


def test_an_unknown_option_is_not_taken_for_a_key(site, tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        run(*command(site, tmp_path / "out"), "--iterations", "3")
    assert end.value.code == 2 and "--iterations" in capsys.readouterr().err


def test_other_commands_take_no_pairs(capsys):
    with pytest.raises(SystemExit):
        run("models", "SOLVER.MAX_ITER", "3")
    assert "unrecognized arguments: SOLVER.MAX_ITER 3" in capsys.readouterr().err


def test_a_missing_file_is_told_before_anything_is_downloaded(site, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("fully_decoupled_ps.ready.fetch", lambda *_: pytest.fail("downloaded"))
    sets = ("train", site.train, "--test", tmp_path / "none.json", "--output", tmp_path / "out")
    assert run(*sets) == 2
    assert "none.json' not found" in error_line(capsys)


def test_two_at_once_in_one_folder_are_refused(site, tmp_path, capsys):
    lock = WriterLock(tmp_path)
    assert run(*command(site, tmp_path)) == 2
    assert "another process" in error_line(capsys)
    lock.release()


# --- projects of `person-search label` ----------------------------------------------------------


def say_same(folder, *pairs):
    """Decide that two tracklets are one person."""
    with closing(open_project(folder)) as project:
        labelling = Labelling(project)
        for a, b in pairs:
            labelling.decide(f"{a} and {b}", SAME, {"a": a, "b": b})


@pytest.fixture
def project(tmp_path):
    """Of four persons in two cameras, two of them in the first half of the time."""
    folder = make_site(tmp_path)
    say_same(folder, (1, 5), (2, 6), (3, 7))
    return folder


def test_a_project_is_exported_and_trained_on_until_it_has_grown(
    site, project, tmp_path, capsys, caplog
):
    output = tmp_path / "out"
    args = ("train", project, "--output", output, "--start", site.start, *CPU, *QUICK)
    assert run(*args) == 0
    assert "queries of" in capsys.readouterr().out
    exported = (output / "data" / "train.json").read_text()
    assert run(*args) == 0  # and again, of what was exported
    assert "Done already" in caplog.text
    say_same(project, (4, 8))
    assert run(*args) == 2
    line = error_line(capsys)
    assert f"{project} has changed" in line
    assert not (output / "data.new").exists()
    assert (output / "data" / "train.json").read_text() == exported
    # and as the line says
    words = shlex.split(line.partition("person-search ")[2])
    assert words[:2] == ["train", f"{output}/data/train.json"]
    assert run(*words, "--start", site.start, *CPU, *QUICK) == 0


def test_a_project_has_its_own_test_set(site, project, tmp_path, capsys):
    args = ("train", project, "--output", tmp_path / "out", "--test", site.test)
    assert run(*args) == 2
    assert "a project" in error_line(capsys)
