import json

import numpy as np
import pytest

from fully_decoupled_ps.errors import UserError
from fully_decoupled_ps.evaluation import (
    PersonSearchEvaluator,
    dataset_of_predictions,
    load_predictions,
)

from ..tools.load_tool import load_tool
from .test_evaluator import dataset, run

__all__ = ["dataset"]  # a fixture
IMAGES = ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]


@pytest.fixture
def saved(dataset, tmp_path):
    evaluator = PersonSearchEvaluator(dataset, save=True, output_dir=str(tmp_path))
    results = run(evaluator)
    return str(tmp_path / "predictions.npz"), results


def rewrite(path, **changes):
    """Change arrays of the file; None takes one out."""
    arrays = {**np.load(path), **changes}
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})


def test_the_file_gives_the_same_figures(dataset, saved):
    path, results = saved
    predictions = load_predictions(path, IMAGES, dataset)
    assert PersonSearchEvaluator(dataset).evaluate_predictions(predictions) == results
    assert dataset_of_predictions(path) == dataset


def test_the_order_of_images_is_free(dataset, saved):
    path, results = saved
    arrays = dict(np.load(path))
    order = [2, 0, 3, 1]
    for offsets, names in (
        ("offsets", ("boxes", "scores", "features")),
        ("query_offsets", ("query_boxes", "query_features")),
    ):
        starts = arrays[offsets]
        for name in names:
            parts = [arrays[name][starts[i] : starts[i + 1]] for i in order]
            arrays[name] = np.concatenate(parts)
        arrays[offsets] = np.cumsum([0] + [starts[i + 1] - starts[i] for i in order])
    arrays["image_ids"] = arrays["image_ids"][order]
    np.savez(path, **arrays)
    predictions = load_predictions(path, IMAGES, dataset)
    assert PersonSearchEvaluator(dataset).evaluate_predictions(predictions) == results


def test_predictions_without_features(dataset, saved):
    path, results = saved
    rewrite(path, features=None, query_features=None)
    predictions = load_predictions(path, IMAGES, dataset)
    detection = PersonSearchEvaluator(dataset).evaluate_predictions(predictions)
    assert dict(detection) == {"detection": results["detection"]}


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"version": np.array(2)}, "version 2"),
        ({"scores": None}, "no array 'scores'"),
        ({"query_features": None}, "'a.jpg'.*query_features"),
        ({"offsets": np.array([0, 2, 1, 6, 7])}, "'offsets'.*rise"),
        ({"offsets": np.array([0, 2, 4, 6, 9])}, "'offsets'.*7 rows"),
        ({"offsets": np.array([0, 7])}, "'offsets'"),
        ({"image_ids": np.array(["a.jpg", "b.jpg", "c.jpg", "e.jpg"])}, "'e.jpg'"),
        ({"scores": np.full(7, 2.0)}, "score 2"),
        ({"image_ids": np.array([{}], dtype=object)}, "not a readable"),
    ],
)
def test_wrong_files(dataset, saved, changes, message):
    path, _ = saved
    rewrite(path, **changes)
    with pytest.raises(UserError, match=message) as error:
        load_predictions(path, IMAGES, dataset)
    assert "\n" not in str(error.value)


def test_no_such_file_or_no_npz(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        load_predictions(str(tmp_path / "x.npz"), IMAGES, "any")
    (tmp_path / "x.npz").write_text("text")
    with pytest.raises(UserError, match="not a readable"):
        load_predictions(str(tmp_path / "x.npz"), IMAGES, "any")


def test_command(dataset, saved, tmp_path, capsys):
    path, results = saved
    tool = load_tool("evaluate_predictions")
    out = tmp_path / "again"
    command = [path, "--output-dir", str(out), "--score-thresh", "0.5", "0.85", "--cbgm", "10", "3"]
    assert tool.main(command) == 0
    again = json.loads((out / "metrics.json").read_text())
    assert {name: again[name] for name in results} == results
    assert {"search_cbgm", "search_score0.85_cws"} <= set(again)
    assert tool.main([path, "--dataset", "nonesuch"]) == 2
    assert "nonesuch" in capsys.readouterr().err
    rewrite(path, dataset=None)
    assert tool.main([path]) == 2
    assert "--dataset" in capsys.readouterr().err
