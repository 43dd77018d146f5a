"""tools/visualize.py: each picture from its files, and one line for a mistake."""

import json

import cv2
import pytest

import visualize
from fully_decoupled_ps.evaluation.predictions_file import save_predictions
from tests.visualization.made_up_predictions import MadeUpSet
from tests.visualization.made_up_run import make_run


@pytest.fixture
def files(tmp_path):
    """Predictions, queries and a log in one folder."""
    run = make_run(tmp_path / "run", num_queries=3)
    with MadeUpSet(tmp_path) as made_up:
        dataset, predictions = made_up.predictions()
        save_predictions(str(run.folder / "predictions.npz"), predictions, made_up.name)
        log = [{"iteration": i, "alpha/res3": 0.4} for i in range(3)]
        (run.folder / "alpha.json").write_text("\n".join(map(json.dumps, log)))
        run.made_up = made_up
        yield run


@pytest.mark.parametrize(
    "picture, file, options",
    [
        ("detections", "predictions.npz", ["--frames", "2", "--score-thresh", "0.6"]),
        ("embedding", "predictions.npz", ["--persons", "2"]),
        ("similarities", "predictions.npz", []),
        ("worst", "queries_full.json", ["--queries", "2", "--hits", "3"]),
        ("alpha", "alpha.json", ["--title", "mine"]),
    ],
)
def test_a_picture_lies_beside_its_input(files, capsys, picture, file, options):
    assert visualize.main([picture, str(files.folder / file), *options]) == 0
    path = files.folder / f"{picture}.png"
    assert capsys.readouterr().out.strip() == str(path)
    assert cv2.imread(str(path)).std() > 1


def test_sna_of_own_data(files, tmp_path, capsys):
    out = tmp_path / "sna.png"
    own = ["--json", str(files.made_up.json_file), str(tmp_path), "--output", str(out)]
    command = ["sna", *own, "--frames", "2", "MODEL.REID.BOX_NOISE.NUM_COPIES", "2"]
    assert visualize.main(command) == 0
    assert cv2.imread(str(out)).shape[1] == 2 * 650 + 10


def test_predictions_of_own_data_that_nobody_registered(files, tmp_path):
    own = [str(files.made_up.json_file), str(tmp_path)]
    path = str(files.folder / "predictions.npz")
    assert visualize.main(["similarities", path, "--json", *own]) == 0


def test_pictures_that_moved(files, tmp_path):
    moved = tmp_path / "moved"
    moved.mkdir()
    for picture in files.folder.glob("*.jpg"):
        picture.rename(moved / picture.name)
    queries = str(files.folder / "queries_full.json")
    assert visualize.main(["worst", queries]) == 2
    assert visualize.main(["worst", queries, "--image-root", str(moved)]) == 0


@pytest.mark.parametrize(
    "command, reason",
    [
        (["detections", "none.npz"], "no such file"),
        (["worst", "none.json"], "cannot be read"),
        (["alpha", "none.json"], "cannot be read"),
        (["alpha", "alpha.json", "--output", "a.gif"], "ends in .png or .jpg"),
        (["alpha", "alpha.json", "--output", "none/a.png"], "there is no folder 'none'"),
        (["alpha", "detection.json"], "has no alpha"),
        (["sna"], "no dataset is named"),
        (["sna", "--dataset", "prw_tran"], "'prw_tran' is not registered; training sets are"),
        (["sna", "--dataset", "prw_train", "--config-file", "none.yaml"], "no such file"),
        (["sna", "--dataset", "prw_train", "MODEL.REID.BOX_NOISE.SCALE", "2.0"], "in [0, 1)"),
        (["detections", "predictions.npz", "--dataset", "nothing"], "is not registered"),
        (["embedding", "predictions.npz", "--score-thresh", "0.99"], "fits a labelled person"),
    ],
)
def test_a_mistake_is_one_line(files, monkeypatch, capsys, command, reason):
    monkeypatch.chdir(files.folder)
    assert visualize.main(command) == 2
    error = capsys.readouterr().err
    assert reason in error and error.count("\n") == 1
    assert error.startswith("error: ")


def test_numbers_are_whole_and_over_0(files):
    with pytest.raises(SystemExit) as e:
        visualize.main(["worst", "queries.json", "--hits", "0"])
    assert e.value.code == 2
