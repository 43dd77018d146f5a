"""What can be evaluated beside the main figures, on the data set of test_evaluator.py."""

import json

import numpy as np
import pytest
from detectron2.config import get_cfg
from detectron2.data import MetadataCatalog

from fully_decoupled_ps import add_fully_decoupled_ps_config
from fully_decoupled_ps.errors import UserError
from fully_decoupled_ps.evaluation import PersonSearchEvaluator
from fully_decoupled_ps.evaluation.scoring import SUFFIX

from .test_evaluator import NAME, dataset, dicts, feature, model_io, outputs, protocols, run

__all__ = ["dataset"]  # a fixture
A_BESIDE = [150.0, 0.0, 250.0, 200.0]


def test_names_of_all_variants(dataset):
    evaluator = PersonSearchEvaluator(
        dataset, score_thresh=0.5, more_score_threshs=[0.85, 0.5], cbgm=(10, 3)
    )
    variants = ["", "_cws", "_cbgm", "_cbgm_cws"]
    variants += ["_score0.85" + variant for variant in variants]
    wanted = [f"{task}{v}" for v in variants for task in ("search", "search_multi_view")]
    assert sorted(run(evaluator)) == sorted(["detection", *wanted])
    for task, variant in zip(wanted, (v for v in variants for _ in range(2))):
        assert SUFFIX.search(task)[0] == variant  # as the report takes the names apart
    assert SUFFIX.search("search_score1e-05_cws")["score"] == "1e-05"


def test_each_score_thresh_gives_what_it_gives_alone(dataset):
    together = run(PersonSearchEvaluator(dataset, score_thresh=0.85, more_score_threshs=[0.0]))
    low, high = (run(PersonSearchEvaluator(dataset, score_thresh=t)) for t in (0.0, 0.85))
    for task in ("search", "search_cws", "search_multi_view", "search_multi_view_cws"):
        assert together[task] == high[task]
        name, cws = task.replace("_cws", ""), "_cws" * task.endswith("_cws")
        assert together[f"{name}_score0{cws}"] == low[task]
    assert low["search"] != high["search"]


def test_thresholds_that_leave_nothing_out_are_told(dataset, caplog):
    """Scores are 0.4 to 0.9."""
    run(PersonSearchEvaluator(dataset, score_thresh=0.5, more_score_threshs=[0.3]))
    assert "are the same" not in caplog.text
    run(PersonSearchEvaluator(dataset, score_thresh=0.3, more_score_threshs=[0.1, 0.6]))
    assert "lowest score predicted is 0.4" in caplog.text and "0.1, 0.3 are the same" in caplog.text


@pytest.mark.parametrize("options", [{"score_thresh": 50}, {"more_score_threshs": [float("nan")]}])
def test_a_threshold_is_a_share(dataset, options):
    with pytest.raises(UserError, match="(50|nan).*0 to 1"):
        PersonSearchEvaluator(dataset, **options)


@pytest.mark.parametrize("cbgm", [(30,), (0, 4), (30, 4, 1), (30, 2.5)])
def test_cbgm_is_two_whole_numbers(dataset, cbgm):
    with pytest.raises(UserError, match="two whole numbers"):
        PersonSearchEvaluator(dataset, cbgm=cbgm)


def test_cws_can_be_left_out(dataset):
    results = run(PersonSearchEvaluator(dataset, cws=False))
    assert list(results) == ["detection", "search", "search_multi_view"]


def test_ground_truth_boxes_are_the_upper_bound(dataset):
    """The detector finds nobody, and the features of the persons' own boxes find all."""
    evaluator = PersonSearchEvaluator(dataset, gt_boxes=True)
    evaluator.reset()
    of_person = {1: feature(1.0), 2: feature(0.0), -1: feature(0.6)}
    for d in dicts():
        boxes = [a["bbox"] for a in d["annotations"]]
        features = [of_person[a["person_id"]] for a in d["annotations"]]
        frame_input, result = model_io({**d, "queries": boxes}, ([], [], [], features))
        evaluator.process([frame_input], [result])
    results = evaluator.evaluate()
    assert results["search"]["mAP"] == 0
    assert results["search_gt_boxes"]["mAP"] == results["search_gt_boxes"]["top1"] == 100
    assert results["search_multi_view_gt_boxes"]["mAP"] == 100


def test_ground_truth_boxes_need_features(dataset):
    with pytest.raises(UserError, match="'b.jpg'.*GT_BOXES"):
        run(PersonSearchEvaluator(dataset, gt_boxes=True))


def test_coco_ap(dataset):
    """All six persons are found to the pixel; then one is, with an IoU of 0.6; then nobody."""
    results = run(PersonSearchEvaluator(dataset, coco_ap=True))
    assert results["detection_coco"] == pytest.approx({"AP": 100, "AP50": 100, "AP75": 100})
    predicted = [([], [], [], q) for _, _, _, q in outputs()]
    predicted[0] = ([[0.0, 0.0, 60.0, 200.0]], [0.9], [feature(1.0)], outputs()[0][3])
    results = run(PersonSearchEvaluator(dataset, coco_ap=True), predicted)
    one_in_six = 100 * 17 / 101  # of COCO's 101 recall points, those up to 1/6
    assert results["detection_coco"]["AP50"] == pytest.approx(one_in_six)
    assert results["detection_coco"]["AP75"] == 0
    predicted[0] = ([], [], [], outputs()[0][3])
    results = run(PersonSearchEvaluator(dataset, coco_ap=True), predicted)
    assert results["detection_coco"] == {"AP": 0, "AP50": 0, "AP75": 0}


def set_protocols(value):
    MetadataCatalog.remove(NAME)
    MetadataCatalog.get(NAME).set(protocols_fn=lambda: value)


def test_gallery_sizes(dataset, tmp_path):
    """One frame each: c; two frames each: c and the other one."""
    small = [{**q, "gallery": ["c.jpg"]} for q in protocols()["full"]]
    large = [{**q, "gallery": ["b.jpg", "c.jpg"]} for q in protocols()["full"]]
    set_protocols({"gallery_2": large, "gallery_1": small})
    both = run(PersonSearchEvaluator(dataset, output_dir=str(tmp_path)))
    rows = json.loads((tmp_path / "gallery_sizes.json").read_text())
    assert [row.pop("gallery_size") for row in rows] == [1, 2]
    assert rows == [both["search_gallery_1"], both["search"]]
    assert rows[0]["mAP"] == pytest.approx(100 * 2 / 3)  # person 2 is not in c
    assert (tmp_path / "gallery_sizes.png").read_bytes()[:4] == b"\x89PNG"
    one = run(PersonSearchEvaluator(dataset, gallery_sizes=[1]))
    assert one["search"] == both["search_gallery_1"] and "search_gallery_2" not in one
    with pytest.raises(UserError, match="no galleries of 50 frames.*2, 1"):
        run(PersonSearchEvaluator(dataset, gallery_sizes=[50]))


def test_breakdown_by_cameras_and_heights(dataset, tmp_path):
    """
    Queries 1 and 2 are in a (camera 1), 3 in d (camera 2). In camera 1's frames but their own 1 and
    2 find b, and 3 finds a and b; in camera 2's 1 and 3 find c, where 2 is not.
    """
    predicted = outputs()
    predicted[2] = (
        [A_BESIDE, *predicted[2][0]],
        [0.9, 0.9, 0.4],
        [feature(0.5)] + predicted[2][2],
        [],
    )
    run(PersonSearchEvaluator(dataset, breakdown=True, output_dir=str(tmp_path)), predicted)
    pairs = json.loads((tmp_path / "camera_pairs.json").read_text())
    keys = ("query_camera", "gallery_camera", "queries", "mAP", "top1")
    assert [tuple(row[k] for k in keys) for row in pairs] == [
        (1, 1, 2, 100, 100),
        (1, 2, 1, 50, 0),
        (2, 1, 1, 100, 100),
        (2, 2, 1, 50, 0),
    ]
    heights = json.loads((tmp_path / "heights.json").read_text())
    assert [(row["height"], row["queries"]) for row in heights] == [("200-300", 3)]
    for name in ("camera_pairs.png", "heights.png"):
        assert (tmp_path / name).read_bytes()[:4] == b"\x89PNG"


def test_frames_without_cameras_have_no_camera_table(dataset, tmp_path):
    evaluator = PersonSearchEvaluator(dataset, breakdown=True, output_dir=str(tmp_path))
    evaluator.dataset.cameras = [None] * 4
    run(evaluator)
    assert not (tmp_path / "camera_pairs.json").exists()
    assert (tmp_path / "heights.json").exists()


def test_options_come_from_the_config(dataset, tmp_path):
    cfg = get_cfg()
    add_fully_decoupled_ps_config(cfg)
    cfg.MODEL.DEVICE = "cpu"
    options = ["SCORE_THRESH", 0.4, "MORE_SCORE_THRESHS", (0.2,), "CWS", False, "CBGM", (30, 4)]
    options += ["COCO_AP", True, "BREAKDOWN", True, "GT_BOXES", True, "SAVE_PREDICTIONS", True]
    for key, value in zip(options[::2], options[1::2]):
        cfg.merge_from_list([f"TEST.SEARCH.{key}", value])
    evaluator = PersonSearchEvaluator(cfg, dataset, output_dir=str(tmp_path))
    assert evaluator.options.score_threshs == (0.4, 0.2)
    assert (evaluator.options.cws, evaluator.options.cbgm) == (False, (30, 4))
    assert evaluator.options.coco_ap and evaluator.options.breakdown and evaluator.options.gt_boxes
    assert evaluator.save and evaluator.output_dir == str(tmp_path)


def test_similarity_by_score_stays_exact_at_score_zero(dataset):
    """Similarity x 0 is 0, more than a negative one: no detection of score 0 is lost."""
    predicted = outputs()
    predicted[1] = (predicted[1][0], [0.0, 0.0], *predicted[1][2:])
    results = run(PersonSearchEvaluator(dataset, score_thresh=0.0), predicted)
    assert np.isfinite(results["search_cws"]["mAP"])
