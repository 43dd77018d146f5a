"""The pictures of a training: what they show, by their numbers and pixels."""

import json
import sys

import numpy as np
import pytest
import torch
from detectron2.structures import Boxes

from fully_decoupled_ps.errors import UserError
from fully_decoupled_ps.modeling import BoxNoise
from fully_decoupled_ps.visualization.alpha_curve import draw_alphas, read_alphas
from fully_decoupled_ps.visualization.embedding_map import (
    choose_points,
    draw_embedding_map,
    project,
)
from fully_decoupled_ps.visualization.frame_pictures import (
    GROUND_TRUTH,
    draw_box_noise,
    draw_detections,
)
from fully_decoupled_ps.visualization.labelled_features import LabelledFeatures, labelled_features
from fully_decoupled_ps.visualization.similarity_histograms import (
    draw_similarity_histograms,
    pair_similarities,
    separation,
)
from fully_decoupled_ps.visualization.visualizer import MISSED, QUERY
from fully_decoupled_ps.visualization.worst_queries import draw_worst_queries, worst_queries
from tests.visualization.made_up_predictions import NUM_FRAMES, MadeUpSet


@pytest.fixture
def made_up(tmp_path):
    with MadeUpSet(tmp_path) as made_up:
        yield made_up


def features(person_ids, frames, cameras, rows):
    rows = np.asarray(rows, dtype=np.float32)
    return LabelledFeatures(rows, np.array(person_ids), np.array(frames), cameras)


def is_picture(image):
    return image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3 and image.std() > 1


def has(image, color):
    return (np.abs(image.astype(int) - color).max(axis=2) == 0).any()


def test_labelled_features_are_those_of_detections_on_labelled_boxes(made_up):
    dataset, predictions = made_up.predictions()
    labelled = labelled_features(dataset, predictions)
    assert labelled.person_ids.tolist() == [2, 3] * NUM_FRAMES
    assert labelled.frames.tolist() == [i for i in range(NUM_FRAMES) for _ in range(2)]
    assert labelled.cameras[:4] == [1, 1, 2, 2]
    assert (labelled.features.argmax(axis=1) == labelled.person_ids).all()
    assert len(labelled_features(dataset, predictions, 0.85)) == NUM_FRAMES
    with pytest.raises(UserError, match="score of 0.95 or more fits"):
        labelled_features(dataset, predictions, 0.95)
    with pytest.raises(UserError, match="no re-id features"):
        labelled_features(*made_up.predictions(features=False))


def test_a_detection_is_taken_once_and_the_best_one(made_up):
    dataset, predictions = made_up.predictions()
    boxes, n = predictions.detections.boxes, len(predictions.detections)
    boxes[2] = boxes[0] + [0, 0, 6, 0]  # a second, worse one on person 2 of the first frame
    assert len(labelled_features(dataset, predictions)) == 2 * NUM_FRAMES
    boxes[0] += [0, 0, 12, 0]  # now it is the better one; its feature is nobody's
    labelled = labelled_features(dataset, predictions)
    assert n == 3 * NUM_FRAMES and len(labelled) == 2 * NUM_FRAMES
    assert sorted(labelled.features[:2].argmax(axis=1)) == [3, 9]


def test_a_detection_that_fits_two_persons_is_the_nearer_one_s(made_up):
    dataset, predictions = made_up.predictions()
    dataset.ground_truth.boxes[1] = dataset.ground_truth.boxes[0] + [4, 0, 4, 0]
    predictions.detections.boxes[0] = dataset.ground_truth.boxes[0]
    predictions.detections.boxes[1] = [160, 10, 190, 70]  # leaves the first for both
    labelled = labelled_features(dataset, predictions)
    assert len(labelled) == 2 * NUM_FRAMES - 1
    assert labelled.person_ids[labelled.frames == 0].tolist() == [2]


def test_pairs_by_kind():
    """Persons 1, 1, 1 and 2; the first two rows are of one frame, and no pair."""
    rows = [[1, 0], [0.6, 0.8], [0.8, 0.6], [0, 1]]
    pairs = pair_similarities(features([1, 1, 1, 2], [0, 0, 1, 2], [1, 1, 1, 2], rows))
    assert {kind: np.sort(values).tolist() for kind, values in pairs.items()} == {
        "different persons": pytest.approx([0.0, 0.6, 0.8]),
        "same person, same camera": pytest.approx([0.8, 0.96]),
    }
    # of 2 x 3 pairs of pairs the same person is more similar in 5, and once it is as similar
    assert separation(pairs) == pytest.approx(5.5 / 6)
    pairs = pair_similarities(features([1, 1], [0, 1], [None, None], rows[:2]))
    assert list(pairs) == ["same person"] and np.isnan(separation(pairs))


def test_embedding_map_takes_the_persons_with_most_boxes():
    ids = [7] * 50 + [3] * 30 + [5] * 2
    many = features(ids, range(82), [None] * 82, np.eye(82))
    chosen = choose_points(many, max_persons=2)
    assert np.unique(chosen.person_ids, return_counts=True)[1].tolist() == [30, 40]
    assert (choose_points(many, 2, seed=0).frames == chosen.frames).all()
    assert (choose_points(many, 2, seed=1).frames != chosen.frames).any()


def test_projection_keeps_persons_apart_and_is_seeded(made_up):
    labelled = labelled_features(*made_up.predictions())
    places = project(labelled.features, "tsne", seed=0)
    assert places.shape == (2 * NUM_FRAMES, 2) and np.isfinite(places).all()
    centers = [places[labelled.person_ids == i].mean(axis=0) for i in (2, 3)]
    nearest = [np.argmin([np.linalg.norm(p - c) for c in centers]) for p in places]
    assert nearest == [i - 2 for i in labelled.person_ids]
    assert (project(labelled.features, "tsne", seed=0) == places).all()


def test_projections_that_cannot_be(made_up, monkeypatch):
    labelled = labelled_features(*made_up.predictions())
    with pytest.raises(UserError, match="method 'pca' is unknown; take one of tsne, umap"):
        project(labelled.features, "pca")
    with pytest.raises(UserError, match="3 embeddings"):
        project(labelled.features[:3])
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(UserError, match="pip install umap-learn"):
        project(labelled.features, "umap")


def test_plots_are_pictures(made_up):
    labelled = labelled_features(*made_up.predictions())
    assert is_picture(draw_embedding_map(labelled, "title"))
    assert is_picture(draw_similarity_histograms(labelled, "title"))
    one = labelled.take(np.array([0, 2]))
    assert is_picture(draw_similarity_histograms(one, "only pairs of the same person"))


def test_detections_and_annotated_persons(made_up):
    dataset, predictions = made_up.predictions()
    image = draw_detections(dataset.dicts, predictions, "title", frames=2)
    assert has(image, QUERY.color) and has(image, MISSED.color)
    image = draw_detections(dataset.dicts, predictions, "title", frames=2, score_thresh=0.95)
    assert not has(image, QUERY.color) and has(image, MISSED.color)
    with pytest.raises(UserError, match="there is no frame to draw"):
        draw_detections([], predictions, "title")


def test_noise_is_drawn_from_the_given_one_and_leaves_the_generator_alone(made_up):
    dataset, _ = made_up.predictions()
    asked = []

    def noise(boxes, size):
        asked.append((boxes.tensor.tolist(), size))
        return Boxes(boxes.tensor.repeat(3, 1))

    state = torch.get_rng_state()
    image = draw_box_noise(dataset.dicts, noise, "title", frames=1)
    assert len(asked) == 1 and asked[0][1] == (100, 200) and len(asked[0][0]) == 2
    assert is_picture(image)
    sna = BoxNoise(center_shift=0.2, scale=0.2, num_copies=3)
    images = [draw_box_noise(dataset.dicts, sna, "t", frames=1, seed=s) for s in (0, 0)]
    assert (images[0] == images[1]).all() and has(images[0], GROUND_TRUTH.color)
    assert (torch.get_rng_state() == state).all()


def test_worst_queries_come_first(big_run):
    worst = worst_queries(big_run.queries, 3)
    assert [q["query_id"] for q in worst] == [29, 28, 27]
    without = [{**q, "num_gt": 0} for q in big_run.queries]
    assert worst_queries(without) == []
    with pytest.raises(UserError, match="no query"):
        draw_worst_queries(without, "title")
    image = draw_worst_queries(big_run.queries, "title", count=2, hits=4)
    assert image.shape[1] == max(5 * 128 + 4 * 6, 640) + 20 and image.shape[0] > 2 * 286


def test_alphas(tmp_path):
    log = tmp_path / "metrics.json"
    lines = [{"iteration": i, "alpha/res3": 0.5 - i / 100, "total_loss": 3.0} for i in range(5)]
    log.write_text("\n".join(map(json.dumps, lines)))
    alphas = read_alphas(log)
    assert list(alphas) == ["alpha/res3"] and alphas["alpha/res3"][-1] == (4.0, 0.46)
    assert is_picture(draw_alphas(alphas, "title"))
    log.write_text(json.dumps({"iteration": 1, "total_loss": 3.0}))
    with pytest.raises(UserError, match="has no alpha: give that of a stage that trains re-id"):
        read_alphas(log)
