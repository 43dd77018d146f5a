"""Evaluation asks for no detections in frames that no gallery holds, and its figures stay."""

import copy
import json

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

from fully_decoupled_ps.data import frames_of_no_gallery, get_protocols, register_prw
from fully_decoupled_ps.engine import trainer
from fully_decoupled_ps.engine.check_config import check_test_numbers
from fully_decoupled_ps.errors import UserError
from tests.testing import TINY, make_config, make_model, make_tiny_dataset

TEST = "with_query_only_frames"


@pytest.fixture(scope="module")
def first_frames(tmp_path_factory):
    """Registers a set whose frames with queries are for queries only; the images of the first two
    of them, of which a gallery lists the second.
    """
    root = make_tiny_dataset(tmp_path_factory.mktemp("data") / "tiny")
    register_prw("whole_test", str(root), "test")
    dicts = copy.deepcopy(DatasetCatalog.get("whole_test"))
    queries = next(iter(get_protocols("whole_test").values()))
    only = list(dict.fromkeys(q["image_id"] for q in queries))[:2]
    for d in dicts:
        if d["image_id"] in only:
            d["query_only"] = True
    listed = [d["image_id"] for d in dicts if d["image_id"] != only[0]]
    protocols = {"listed": [{**q, "gallery": listed} for q in queries]}
    DatasetCatalog.register(TEST, lambda: dicts)
    MetadataCatalog.get(TEST).set(
        evaluator_type="person_search", protocols_fn=lambda: protocols, thing_classes=["person"]
    )
    yield only
    for name in ("whole_test", TEST):
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


def evaluate(opts=()):
    """Figures, and how many frames the detector saw."""
    cfg = make_config("reid", (*TINY, "DATASETS.TEST", (TEST,), *opts))
    cfg.TEST.SEARCH.SCORE_THRESH = 0.0
    model, calls = make_model("reid"), []
    model.detector.register_forward_hook(lambda *_: calls.append(1))
    return trainer.Trainer.test(cfg, model), len(calls)


def test_which_frames(first_frames):
    assert frames_of_no_gallery(TEST) == {first_frames[0]}  # a gallery lists the other one
    assert frames_of_no_gallery("whole_test") == set()


def test_figures_are_unchanged(first_frames, tmp_path, monkeypatch):
    out = ("OUTPUT_DIR", str(tmp_path), "TEST.SEARCH.GT_BOXES", True)
    fewer, calls = evaluate(out)
    monkeypatch.setattr(trainer, "frames_of_no_gallery", lambda name: set())
    whole, all_calls = evaluate(out)
    assert calls == all_calls - 1 > 0
    assert fewer["search_gt_boxes"]["mAP"] > 0
    assert fewer == whole


def test_ground_truth_boxes_alone(first_frames, tmp_path):
    """The figures that they have beside all others, and no run of the detector."""
    out = ("OUTPUT_DIR", str(tmp_path))
    whole, _ = evaluate((*out, "TEST.SEARCH.GT_BOXES", True))
    alone, calls = evaluate((*out, "TEST.SEARCH.GT_BOXES_ONLY", True))
    assert calls == 0
    assert set(alone) == {"search_gt_boxes"}
    assert alone["search_gt_boxes"] == pytest.approx(whole["search_gt_boxes"])
    (path,) = tmp_path.rglob("metrics.json")
    content = json.loads(path.read_text())
    assert content["search_gt_boxes"] == pytest.approx(whole["search_gt_boxes"])
    assert content["counts"]["queries"] == {"listed": content["counts"]["queries"]["listed"]}


def test_nothing_that_needs_detections_goes_with_it():
    cfg = make_config("reid", ("TEST.SEARCH.GT_BOXES_ONLY", True, "TEST.SEARCH.CBGM", (2, 2)))
    with pytest.raises(UserError, match="GT_BOXES_ONLY makes no detections, which CBGM would"):
        check_test_numbers(cfg)


def test_a_detector_alone_has_no_search():
    cfg = make_config("detection", ("TEST.SEARCH.GT_BOXES_ONLY", True))
    with pytest.raises(UserError, match="GT_BOXES_ONLY evaluates f_r alone, and stage detection"):
        check_test_numbers(cfg)


@pytest.mark.parametrize("key, value", [("CBGM", (2, 2)), ("SAVE_PREDICTIONS", True)])
def test_detections_are_made_where_they_are_looked_at(first_frames, tmp_path, key, value):
    out = ("OUTPUT_DIR", str(tmp_path))
    assert evaluate((*out, f"TEST.SEARCH.{key}", value))[1] == evaluate(out)[1] + 1
