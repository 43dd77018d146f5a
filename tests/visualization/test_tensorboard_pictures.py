"""TEST.SEARCH.PICTURES: what TensorBoard finds after an evaluation, and after a training."""

import logging

import pytest
from detectron2.utils.events import EventStorage, TensorboardXWriter
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from fully_decoupled_ps.modeling import BoxNoise
from fully_decoupled_ps.visualization import tensorboard_pictures
from fully_decoupled_ps.visualization.tensorboard_pictures import EvaluatorWithPictures
from tests.small_run import SmallRun
from tests.testing import CONFIGS, make_config
from tests.visualization.made_up_predictions import MadeUpSet

OF_A_SEARCH = {"detections", "embedding", "similarities", "worst_queries"}


@pytest.fixture
def made_up(tmp_path):
    with MadeUpSet(tmp_path) as made_up:
        yield made_up


def images(folder):
    """{tag: step} of all event files."""
    accumulator = EventAccumulator(str(folder), size_guidance={"images": 0})
    accumulator.Reload()
    return {
        tag: [event.step for event in accumulator.Images(tag)]
        for tag in accumulator.Tags()["images"]
    }


def evaluator(made_up, output_dir, **options):
    return EvaluatorWithPictures(made_up.name, output_dir=str(output_dir), **options)


def test_an_evaluation_alone_writes_its_own_event_file(made_up, tmp_path, monkeypatch):
    monkeypatch.setattr(tensorboard_pictures, "_storage", lambda: None)
    _, predictions = made_up.predictions()
    # no training, so no picture of what it trains on
    noise = BoxNoise(center_shift=0.2, scale=0.2, num_copies=2)
    options = {"box_noise": noise, "train_set": made_up.name}
    results = evaluator(made_up, tmp_path / "out", **options).evaluate_predictions(predictions)
    assert results["search"]["mAP"] == pytest.approx(100)
    found = images(tmp_path / "out")
    assert found == {f"{made_up.name}/{key}": [0] for key in OF_A_SEARCH}


def test_in_training_they_have_its_iteration(made_up, tmp_path):
    _, predictions = made_up.predictions()
    noise = BoxNoise(center_shift=0.2, scale=0.2, num_copies=2)
    with EventStorage(start_iter=7):
        options = {"box_noise": noise, "train_set": made_up.name}
        evaluator(made_up, tmp_path / "out", **options).evaluate_predictions(predictions)
        writer = TensorboardXWriter(str(tmp_path / "log"))
        writer.write()
        writer.close()
    keys = OF_A_SEARCH | {"sna_boxes"}
    assert images(tmp_path / "log") == {f"{made_up.name}/{key}": [7] for key in keys}


def test_a_detector_alone_has_its_detections(made_up, event_storage, tmp_path):
    _, predictions = made_up.predictions(features=False)
    evaluator(made_up, tmp_path / "out").evaluate_predictions(predictions)
    assert [name for name, _, _ in event_storage._vis_data] == [f"{made_up.name}/detections"]


def test_a_picture_that_cannot_be_drawn_costs_no_figure(made_up, tmp_path, caplog):
    _, predictions = made_up.predictions()
    for file in tmp_path.glob("*.jpg"):
        file.unlink()
    with caplog.at_level(logging.WARNING):
        results = evaluator(made_up, tmp_path / "out").evaluate_predictions(predictions)
    assert results["search"]["mAP"] == pytest.approx(100)
    assert "no picture of detections: picture /" in caplog.text
    assert "there is no such file" in caplog.text


def test_by_config(made_up, tmp_path):
    options = ["DATASETS.TRAIN", "('some_train',)", "TEST.SEARCH.SCORE_THRESH", 0.85]
    made = EvaluatorWithPictures(
        make_config("joint", options), made_up.name, output_dir=str(tmp_path), box_noise=None
    )
    assert made.train_set == "some_train" and made.options.score_threshs == (0.85,)
    assert make_config("joint").TEST.SEARCH.PICTURES is False


def test_a_training_of_both_stages(tmp_path, restore_loggers):
    config = CONFIGS / "synthetic" / "faster_rcnn_R18.yaml"
    with SmallRun(tmp_path) as run:
        options = ["TEST.SEARCH.PICTURES", True, "TEST.SEARCH.SCORE_THRESH", 0.0]
        options += ["MODEL.REID.SIDE_NET.NORM", "BN"]  # of fewer channels than GN has groups
        run.train(config, options)
        assert set(images(run.output_dir / "detection")) == {"small_test/detections"}
        run.train(config, ["SOLVER.STAGE", "reid", *options])
        found = images(run.output_dir / "reid")
    keys = {name.partition("/")[2] for name in found}
    # two iterations teach the detector nothing: there may be no detection on a labelled person
    assert {"detections", "worst_queries", "sna_boxes"} <= keys
    assert list(found.values()) == [[2]] * len(found)  # as the scalars of this evaluation
