from types import SimpleNamespace

import numpy as np
import pytest

from fully_decoupled_ps.errors import UserError
from fully_decoupled_ps.evaluation import check_plausible
from fully_decoupled_ps.evaluation.frame_tables import Detections, GroundTruth, to_offsets
from fully_decoupled_ps.evaluation.predictions import Predictions

WIDTH, HEIGHT = 1920, 1080
NUM_FRAMES, PERSONS = 20, 3


def made_up(change=lambda boxes: boxes):
    """A dataset and predictions: boxes a few pixels off, changed; one query a frame."""
    rng = np.random.default_rng(0)
    total = NUM_FRAMES * PERSONS
    corner = rng.uniform((0, 0), (1700, 750), (total, 2))
    gt = np.concatenate([corner, corner + rng.uniform((60, 150), (120, 300), (total, 2))], axis=1)
    offsets = to_offsets([PERSONS] * NUM_FRAMES)
    image_ids = [f"{i}.jpg" for i in range(NUM_FRAMES)]
    dataset = SimpleNamespace(
        name="made_up",
        image_ids=image_ids,
        dicts=[{"width": WIDTH, "height": HEIGHT}] * NUM_FRAMES,
        ground_truth=GroundTruth(gt, np.zeros(total, dtype=np.int64), offsets),
        gallery_frames=np.ones(NUM_FRAMES, dtype=bool),
    )
    boxes = change(gt + rng.normal(size=gt.shape) * 3).astype(np.float32)
    features = rng.normal(size=(total, 16)).astype(np.float32)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    predictions = Predictions(
        image_ids,
        Detections(boxes, rng.uniform(0.5, 1, total).astype(np.float32), offsets, features),
        gt[::PERSONS].astype(np.float32),
        to_offsets([1] * NUM_FRAMES),
        np.zeros(NUM_FRAMES, dtype=bool),
        features[::PERSONS].copy(),
    )
    return dataset, predictions


def test_nothing_is_said_of_predictions_that_fit(caplog):
    caplog.set_level("INFO")
    check_plausible(*made_up())
    assert caplog.text == ""


def sizes(boxes):
    return boxes[:, 2:] - boxes[:, :2]


@pytest.mark.parametrize(
    "change, reading",
    [
        (lambda b: np.c_[b[:, :2], sizes(b)], "x, y, width, height"),
        (lambda b: np.c_[(b[:, :2] + b[:, 2:]) / 2, sizes(b)], "centre x, centre y, width, height"),
        (lambda b: b[:, [1, 0, 3, 2]], "y0, x0, y1, x1"),
        (lambda b: b / (WIDTH, HEIGHT, WIDTH, HEIGHT), "shares of the picture's width and height"),
        (lambda b: b * 1500 / WIDTH, "resized by about 0.7"),
        (lambda b: b * 1.5, "resized by about 1.5"),
    ],
)
def test_another_notation_or_scale_is_refused_by_name(change, reading):
    with pytest.raises(UserError, match="original picture") as error:
        check_plausible(*made_up(change))
    assert reading in str(error.value) and "of 60 persons" in str(error.value)


def test_a_scale_that_fits_a_little_better_is_told(caplog):
    """0.97: boxes at the left and the top still overlap their persons by one half."""
    check_plausible(*made_up(lambda b: b * 0.97))
    assert "resized by about 0.9" in caplog.text


def test_a_bad_detector_is_no_other_notation():
    rng = np.random.default_rng(1)

    def anywhere(boxes):
        corner = rng.uniform((0, 0), (1700, 750), (len(boxes), 2))
        return np.c_[corner, corner + rng.uniform((60, 150), (120, 300), (len(boxes), 2))]

    check_plausible(*made_up(anywhere))


def test_boxes_over_the_border_are_counted(caplog):
    dataset, predictions = made_up()
    predictions.detections.boxes[4] += 2000
    check_plausible(dataset, predictions)
    assert (
        "1 of 60 boxes reach over the border of their picture, the first in '1.jpg'" in caplog.text
    )


def test_frames_without_detections_are_counted(caplog):
    caplog.set_level("INFO")
    dataset, predictions = made_up()
    detections = predictions.detections
    kept = detections.keep(detections.frame_of != 7)
    check_plausible(dataset, Predictions(**{**vars(predictions), "detections": kept}))
    assert "1 of 20 gallery frames have no detection, 1 of them with persons" in caplog.text
    assert "'7.jpg'" in caplog.text


def test_query_features_in_another_order_are_told(caplog):
    dataset, predictions = made_up()
    predictions.query_features[:] = np.roll(predictions.query_features, 1, axis=0)
    check_plausible(dataset, predictions)
    assert "in the order of query_boxes?" in caplog.text


def test_no_detection_at_all():
    dataset, predictions = made_up()
    nothing = predictions.detections.keep(np.zeros(60, dtype=bool))
    check_plausible(dataset, Predictions(**{**vars(predictions), "detections": nothing}))
