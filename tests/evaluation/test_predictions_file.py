import json

import numpy as np
import pytest

import evaluate_predictions
from fully_decoupled_ps.errors import UserError
from fully_decoupled_ps.evaluation import (
    PersonSearchEvaluator,
    dataset_of_predictions,
    load_predictions,
    score_thresh_of_predictions,
)

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


def test_the_threshold_of_the_search_is_the_file_s(dataset, tmp_path):
    """RetinaNet's and FCOS' configs have others than Faster R-CNN's 0.5."""
    run(PersonSearchEvaluator(dataset, score_thresh=0.3, save=True, output_dir=str(tmp_path)))
    path = str(tmp_path / "predictions.npz")
    assert score_thresh_of_predictions(path) == 0.3
    tool = evaluate_predictions
    for said, expected in ([], 0.3), (["--score-thresh", "0.4"], 0.4):
        assert tool.main([path, "--output-dir", str(tmp_path / "out"), *said]) == 0
        written = json.loads((tmp_path / "out" / "queries_full.json").read_text())
        assert written["score_thresh"] == expected
    rewrite(path, score_thresh=None)
    assert score_thresh_of_predictions(path) == 0.5
    rewrite(path, score_thresh=np.array("0.3"))
    with pytest.raises(UserError, match="'score_thresh': 0.3 "):
        score_thresh_of_predictions(path)


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
        ({"scores": np.full(7, 2.0)}, "image 'a.jpg', detection 0: score 2"),
        # unsigned differences are never negative
        ({"offsets": np.array([0, 2, 1, 6, 7], dtype=np.uint32)}, "'offsets'.*rise"),
        ({"offsets": np.array([0, 2, 4.5, 6, 7])}, "'offsets'.*whole numbers"),
        ({"image_ids": np.array([["a.jpg"], ["b.jpg"]])}, r"'image_ids'.*\(2, 1\).*text"),
        ({"image_ids": np.array([b"\xff", b"b", b"c", b"d"])}, "'image_ids'.*not UTF-8"),
        ({"image_ids": np.array(["a.jpg", "b.jpg", "a.jpg", "d.jpg"])}, "'a.jpg'.*more than once"),
        ({"image_ids": np.array(["a.jpg", "b", "c.jpg", "d.jpg"])}, "'b'.*which has 'b.jpg'"),
        ({"boxes": np.array([[{}] * 4] * 7)}, "'boxes'.*Python objects.*concatenate"),
        ({"boxes": np.array([["1"] * 4] * 7)}, "'boxes'.*numeric"),
        ({"scores": np.array(0.5)}, "'scores'.*numeric"),
        ({"features": np.eye(7, 2)}, "5 of 'features' and 0 of 'query_features' are all zeros"),
        (
            {"features": np.zeros((7, 2)), "query_features": np.zeros((3, 2))},
            "7 of 'features' and 3 of 'query_features' are all zeros",
        ),
        ({"version": np.array("1")}, "version '1' of the layout is unknown; write 1, a number"),
        ({"unreadable": np.array(["False"] * 4)}, "'unreadable'.*write 4 bools"),
        ({"unreadable": np.full(4, np.nan)}, "'unreadable'.*write 4 bools"),
        ({"unreadable": np.zeros(3, dtype=bool)}, "'unreadable'.*write 4 bools"),
        ({"unreadable": np.array([0, 0, 1, 0])}, "1 image.*'c.jpg'.*have boxes"),
        ({"image_ids": np.array([{}], dtype=object)}, "'image_ids'.*Python objects.*dtype=str"),
    ],
)
def test_wrong_files(dataset, saved, changes, message):
    path, _ = saved
    rewrite(path, **changes)
    with pytest.raises(UserError, match=message) as error:
        load_predictions(path, IMAGES, dataset)
    assert "\n" not in str(error.value)


def test_boxes_as_width_and_height_are_refused_by_frame_and_row(dataset, saved):
    """B is (300, 0, 400, 200): as x, y, width, height it ends before it begins."""
    path, _ = saved
    boxes = np.load(path)["boxes"]
    rewrite(path, boxes=np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1))
    wanted = r"image 'a.jpg', detection 1: the box \(300, 0, 100, 200\).*3 of 7.*x \+ width"
    with pytest.raises(UserError, match=wanted):
        load_predictions(path, IMAGES, dataset)


def test_other_types_of_numbers_and_text(dataset, saved):
    path, results = saved
    arrays = dict(np.load(path))
    rewrite(
        path,
        image_ids=np.char.encode(arrays["image_ids"]),
        dataset=np.char.encode(arrays["dataset"]),
        boxes=arrays["boxes"].astype(np.uint16),
        query_boxes=arrays["query_boxes"].astype(np.float64),
        offsets=arrays["offsets"].astype(np.uint8),
        version=np.array([1.0]),
    )
    assert dataset_of_predictions(path) == dataset
    predictions = load_predictions(path, IMAGES, dataset)
    assert PersonSearchEvaluator(dataset).evaluate_predictions(predictions) == results
    features = {n: arrays[n].astype(np.float16) for n in ("features", "query_features")}
    rewrite(path, **features)
    predictions = load_predictions(path, IMAGES, dataset)
    assert predictions.detections.features.tolist() == features["features"].tolist()


def test_features_of_different_lengths_are_normalised_and_told(dataset, saved, caplog):
    path, results = saved
    arrays = dict(np.load(path))
    rewrite(path, features=arrays["features"] * np.arange(1, 8)[:, None])
    predictions = load_predictions(path, IMAGES, dataset)
    assert predictions.detections.features == pytest.approx(arrays["features"], abs=1e-6)
    assert PersonSearchEvaluator(dataset).evaluate_predictions(predictions) == results
    assert "not normalised (lengths 1 to 7)" in caplog.text and "search_cws" not in caplog.text


def test_features_times_scores_are_told_to_be_cws(dataset, saved, caplog):
    path, results = saved
    arrays = dict(np.load(path))
    rewrite(path, features=arrays["features"] * arrays["scores"][:, None])
    predictions = load_predictions(path, IMAGES, dataset)
    assert PersonSearchEvaluator(dataset).evaluate_predictions(predictions) == results
    assert "multiplied by the scores: search_cws does that" in caplog.text


def test_one_length_is_as_good_as_another(dataset, saved, caplog):
    """Two normalised features, one after the other, have the length sqrt(2)."""
    path, _ = saved
    arrays = dict(np.load(path))
    rewrite(path, **{n: np.tile(arrays[n], 2) for n in ("features", "query_features")})
    predictions = load_predictions(path, IMAGES, dataset)
    assert np.linalg.norm(predictions.query_features, axis=1) == pytest.approx(2**0.5)
    assert "normalised" not in caplog.text


def test_the_nearest_box_to_a_query_s_is_named(dataset, saved):
    path, _ = saved
    query_boxes = np.load(path)["query_boxes"]
    query_boxes[0] += [0, 0, 0.5, 0]
    rewrite(path, query_boxes=query_boxes)
    predictions = load_predictions(path, IMAGES, dataset)
    wanted = r"'a.jpg'.*\[0.0, 0.0, 100.0, 200.0\], as for 1 of 3.*\[0, 0, 100.5, 200\], 0.5 pixels"
    with pytest.raises(UserError, match=wanted) as error:
        PersonSearchEvaluator(dataset).evaluate_predictions(predictions)
    assert "0.01" in str(error.value) and "clipped" in str(error.value)


def test_no_such_file_or_no_npz(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        load_predictions(str(tmp_path / "x.npz"), IMAGES, "any")
    (tmp_path / "x.npz").write_text("text")
    with pytest.raises(UserError, match="not a readable"):
        load_predictions(str(tmp_path / "x.npz"), IMAGES, "any")
    np.save(tmp_path / "x.npy", np.zeros(3))
    with pytest.raises(UserError, match="a single array"):
        load_predictions(str(tmp_path / "x.npy"), IMAGES, "any")


def test_command(dataset, saved, tmp_path, capsys):
    path, results = saved
    tool = evaluate_predictions
    out = tmp_path / "again"
    command = [path, "--output-dir", str(out), "--score-thresh", "0.5", "0.85", "--cbgm", "10", "3"]
    assert tool.main(command) == 0
    again = json.loads((out / "metrics.json").read_text())
    assert {name: again[name] for name in results} == results
    assert {"search_cbgm", "search_score0.85_cws"} <= set(again)
    assert tool.main([path, "--dataset", "nonesuch"]) == 2
    assert "nonesuch" in capsys.readouterr().err
    for option in (["--score-thresh", "50"], ["--score-thresh", "nan"], ["--cbgm", "0", "3"]):
        with pytest.raises(SystemExit) as exit:
            tool.main([path, *option])
        assert exit.value.code == 2 and option[1] in capsys.readouterr().err
    rewrite(path, dataset=None)
    assert tool.main([path]) == 2
    assert "--dataset" in capsys.readouterr().err
