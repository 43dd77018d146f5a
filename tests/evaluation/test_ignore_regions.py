"""Detections in crowds: COCO's rule, by hand and held against pycocotools."""

import json

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from fully_decoupled_ps.evaluation import PersonSearchEvaluator, evaluate_detection
from fully_decoupled_ps.evaluation.detection_metrics import match_detections
from fully_decoupled_ps.evaluation.frame_tables import Detections, GroundTruth
from fully_decoupled_ps.evaluation.ignore_regions import judged_in_search, lie_in_regions

from .test_evaluator import A, B, dicts, feature, outputs, protocols, run

CROWD = (500.0, 0.0, 800.0, 200.0)
# 100 x 200 pixels, of which 60, 50 and 40 columns lie in the crowd
MOSTLY, HALF, LESS = ((x, 0.0, x + 100, 200.0) for x in (460.0, 450.0, 440.0))


def one_frame(boxes, scores=None):
    boxes = np.array(boxes, dtype=np.float64).reshape(-1, 4)
    offsets = np.array([0, len(boxes)])
    if scores is None:
        return GroundTruth(boxes, np.full(len(boxes), -1), offsets)
    return Detections(boxes, np.array(scores), offsets)


def test_a_share_of_half_is_enough():
    found = one_frame([MOSTLY, HALF, LESS, CROWD, A, (600, 50, 600, 90)], [0.5] * 6)
    mask = lie_in_regions(found, one_frame([CROWD, (0, 0, 49, 200)]), 0.5)
    assert mask.tolist() == [True, True, False, True, False, False]


def test_average_precision_by_hand():
    """
    Right at 0.9 and 0.6, wrong at 0.8 in the crowd and at 0.7 outside. With the crowd: 1/1 and
    2/3 of two persons; without: 1/1 and 2/4.
    """
    found = one_frame([A, HALF, LESS, B], [0.9, 0.8, 0.7, 0.6])
    persons, crowd = one_frame([A, B]), one_frame([CROWD])
    assert evaluate_detection(found, persons)["AP"] == pytest.approx(75.0)
    metrics = evaluate_detection(found, persons, ignore_regions=crowd)
    assert metrics["AP"] == pytest.approx(100 * (1 + 2 / 3) / 2)
    assert metrics["recall"] == 100
    # at an IoU of 0.7, a share of 0.5 is too little
    metrics = evaluate_detection(found, persons, iou_thresh=0.7, ignore_regions=crowd)
    assert metrics["AP"] == pytest.approx(75.0)


def test_a_person_in_a_crowd_counts():
    """The right detection stays right; the second one on the person is COCO's to ignore."""
    person = (600.0, 0.0, 700.0, 200.0)
    found = one_frame([person, (610, 0, 710, 200)], [0.6, 0.9])
    metrics = evaluate_detection(
        found, one_frame([person]), ignore_regions=one_frame([CROWD, person])
    )
    assert metrics == {"AP": 100, "recall": 100}


def test_no_region_is_no_difference():
    found, persons = one_frame([A, HALF], [0.9, 0.8]), one_frame([A, B])
    plain = evaluate_detection(found, persons)
    assert evaluate_detection(found, persons, ignore_regions=one_frame([])) == plain


def random_boxes(rng, n):
    corner, size = rng.uniform(0, 80, (n, 2)), rng.uniform(5, 60, (n, 2))
    return np.concatenate([corner, corner + size], axis=1).round(1)


def wrong_by_pycocotools(persons, crowds, found, scores, iou):
    """The detections that are counted as wrong."""
    truth, results = COCO(), COCO()

    def entries(boxes, **fields):
        xywh = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1).tolist()
        common = {"image_id": 0, "category_id": 1, **fields}
        return [{**common, "bbox": b, "area": b[2] * b[3]} for b in xywh]

    annotations = entries(persons, iscrowd=0) + entries(crowds, iscrowd=1)
    dets = [{**d, "score": s} for d, s in zip(entries(found), scores.tolist())]
    for coco, listed in ((truth, annotations), (results, dets)):
        listed = [{**a, "id": i + 1} for i, a in enumerate(listed)]
        coco.dataset = {
            "images": [{"id": 0}], "categories": [{"id": 1}], "annotations": listed
        }  # fmt: skip
        coco.createIndex()
    evaluation = COCOeval(truth, results, "bbox")
    evaluation.params.iouThrs = np.array([iou])
    evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
    evaluation.evaluate()
    (image,) = evaluation.evalImgs
    wrong = (image["dtMatches"][0] == 0) & ~image["dtIgnore"][0].astype(bool)
    return {int(i) - 1 for i, is_wrong in zip(image["dtIds"], wrong) if is_wrong}


@pytest.mark.parametrize("iou", [0.5, 0.7])
def test_the_wrong_ones_are_those_of_pycocotools(iou, capsys):
    rng = np.random.default_rng(0)
    ignored = 0
    for _ in range(150):
        persons, crowds = random_boxes(rng, 1), random_boxes(rng, 2)
        boxes, scores = random_boxes(rng, 12), rng.permutation(12) / 12 + 0.01
        found = one_frame(boxes, scores)
        right, _ = match_detections(found, one_frame(persons), iou)
        wrong = ~lie_in_regions(found, one_frame(crowds), iou)
        wrong[right] = False
        expected = wrong_by_pycocotools(persons, crowds, boxes, scores, iou)
        if len(right) <= 1:  # of several, COCO takes the likeliest, and person search the best
            assert set(np.flatnonzero(wrong).tolist()) == expected
        ignored += 12 - len(right) - wrong.sum()
    assert ignored > 100
    capsys.readouterr()


def test_search_leaves_out_what_is_of_nobody_annotated():
    """In the crowd are a detection of nobody, and one of a person; one of nobody is outside."""
    person = (600.0, 0.0, 700.0, 200.0)
    found = one_frame([MOSTLY, person, LESS], [0.9, 0.9, 0.9])
    judged = judged_in_search(found, one_frame([person]), one_frame([CROWD]))
    assert judged.tolist() == [False, True, True]


@pytest.fixture
def with_crowds():
    """The dataset of test_evaluator.py, with a crowd in b and another over its first person."""

    def of_crowds():
        frames = dicts()
        frames[1]["ignore_regions"] = [list(CROWD), A]
        return frames

    for name, load in (("crowds", of_crowds), ("no_crowds", dicts)):
        DatasetCatalog.register(name, load)
        MetadataCatalog.get(name).set(protocols_fn=protocols)
    yield
    for name in ("crowds", "no_crowds"):
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


def test_an_evaluation_with_crowds(with_crowds, tmp_path):
    """A detection in b's crowd that looks as person 1 does costs search and detection nothing."""
    plain, predicted = outputs(), outputs()
    boxes, scores, features, _ = predicted[1]
    predicted[1] = (
        [*boxes, [600.0, 0.0, 700.0, 200.0]], [*scores, 0.95], [*features, feature(1.0)], []
    )  # fmt: skip
    options = {"coco_ap": True, "cbgm": (2, 2)}
    expected = run(PersonSearchEvaluator("no_crowds", **options), plain)
    worse = run(PersonSearchEvaluator("no_crowds", **options), predicted)
    evaluator = PersonSearchEvaluator("crowds", output_dir=str(tmp_path), **options)
    assert run(evaluator, predicted) == expected
    assert all(
        worse[task][key] < expected[task][key]
        for task, key in (("search", "mAP"), ("detection", "AP"), ("detection_coco", "AP"))
    )
    counts = json.loads((tmp_path / "metrics.json").read_text())["counts"]
    assert counts["ignore_regions"] == 2 and counts["detections_in_ignore_regions"] == 1
    hits = json.loads((tmp_path / "queries_full.json").read_text())["queries"][0]["hits"]
    assert [hit["bbox"][0] for hit in hits] == [0, 0, 300]  # b and c's right one, b's other
