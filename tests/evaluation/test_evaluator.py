import json

import numpy as np
import pytest
import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import print_csv_format, verify_results
from detectron2.evaluation.testing import flatten_results_dict
from detectron2.structures import Boxes, BoxMode, Instances
from detectron2.utils.events import EventStorage

from benchmark import plain_loops as reference
from fully_decoupled_ps.errors import UserError
from fully_decoupled_ps.evaluation import PersonSearchEvaluator, load_predictions

from .worlds import frame, query

NAME = "evaluator_test"
IMAGES = ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]
A = [0.0, 0.0, 100.0, 200.0]
B = [300.0, 0.0, 400.0, 200.0]


def feature(cosine):
    return [cosine, (1 - cosine**2) ** 0.5]


def dataset_dict(image_id, camera_id, persons, **extra):
    annotations = [
        {"bbox": box, "bbox_mode": BoxMode.XYXY_ABS, "category_id": 0, "person_id": person_id}
        for box, person_id in persons
    ]
    return {
        "file_name": f"/frames/{image_id}",
        "image_id": image_id,
        "height": 600,
        "width": 800,
        "camera_id": camera_id,
        "annotations": annotations,
        **extra,
    }


def dicts():
    """Person 1 is in a, b (camera 1) and c (camera 2); 2 in a and b only; d holds a query only."""
    return [
        dataset_dict("a.jpg", 1, [(A, 1), (B, 2)], queries=[A, B]),
        dataset_dict("b.jpg", 1, [(A, 1), (B, 2)]),
        dataset_dict("c.jpg", 2, [(A, 1), (B, -1)]),
        dataset_dict("d.jpg", 2, [(A, 1)], queries=[A], query_only=True),
    ]


def protocols():
    queries = [("a.jpg", A, 1, ["c.jpg"]), ("a.jpg", B, 2, ["c.jpg"]), ("d.jpg", A, 1, ["a.jpg"])]
    keys = ("image_id", "bbox", "person_id", "gallery")
    listed = [dict(zip(keys, q)) for q in queries]
    return {"full": [{**q, "gallery": None} for q in listed], "multi_view": listed}


def outputs():
    """(boxes, scores, features, query features) of a, b, c and d."""
    return [
        ([A, B], [0.9, 0.8], [feature(1.0), feature(0.1)], [feature(1.0), feature(0.0)]),
        ([A, B], [0.9, 0.5], [feature(0.8), feature(0.2)], []),
        ([A, B], [0.9, 0.4], [feature(0.3), feature(0.95)], []),
        ([A], [0.7], [feature(0.9)], [feature(0.9)]),
    ]


@pytest.fixture
def dataset():
    DatasetCatalog.register(NAME, dicts)
    MetadataCatalog.get(NAME).set(protocols_fn=protocols)
    yield NAME
    DatasetCatalog.remove(NAME)
    MetadataCatalog.remove(NAME)


def model_io(dataset_dict, output, with_features=True):
    """One frame's (input, output) as Detectron2's test loop hands them over."""
    boxes, scores, features, query_features = output
    instances = Instances((600, 800))
    instances.pred_boxes = Boxes(torch.tensor(boxes).reshape(-1, 4))
    instances.scores = torch.tensor(scores)
    instances.pred_classes = torch.zeros(len(scores), dtype=torch.int64)
    frame_input = {"image_id": dataset_dict["image_id"]}
    result = {"instances": instances}
    if with_features:
        instances.reid_features = torch.tensor(features or np.zeros((0, 2)))
    if "queries" in dataset_dict:
        frame_input["queries"] = torch.tensor(dataset_dict["queries"])
        if with_features:
            result["query_features"] = torch.tensor(query_features)
    return frame_input, result


def run(evaluator, predicted=None, frames=None, **kwargs):
    evaluator.reset()
    for d, output in zip(frames or dicts(), predicted or outputs()):
        frame_input, result = model_io(d, output, **kwargs)
        evaluator.process([frame_input], [result])
    return evaluator.evaluate()


def reference_results(score_thresh):
    """The same dataset and predictions through the plain-loop definition."""
    all_frames, searched, queries = [], [], {"full": [], "multi_view": []}
    features = {}
    for d, (boxes, scores, feats, query_feats) in zip(dicts(), outputs()):
        gts = [(a["bbox"], a["person_id"]) for a in d["annotations"]]
        dets = [(b, s, np.float32(f)) for b, s, f in zip(boxes, scores, feats)]
        only = d.get("query_only", False)
        all_frames.append(frame(d["image_id"], gts, dets, only))
        kept = [det for det in dets if det[1] >= score_thresh]
        searched.append(frame(d["image_id"], gts, kept, only))
        for box, f in zip(d.get("queries", []), query_feats):
            features[d["image_id"], tuple(box)] = f
    for name, entries in protocols().items():
        for q in entries:
            f = features[q["image_id"], tuple(q["bbox"])]
            queries[name].append(query(q["image_id"], q["person_id"], f, q["gallery"]))
    gallery = [f for f in all_frames if not f["query_only"]]
    strict = reference.detection(gallery, 0.7)
    results = {"detection": reference.detection(gallery)}
    results["detection"].update({f"{name}_iou70": value for name, value in strict.items()})
    for name, task in (("full", "search"), ("multi_view", "search_multi_view")):
        for cws in (False, True):
            found = [reference.search_query(searched, q, cws) for q in queries[name]]
            means = reference.mean_over_queries(found, name == "multi_view")
            results[task + "_cws" * cws] = means
    return results


@pytest.mark.parametrize("score_thresh", [0.0, 0.5, 0.85])
def test_agrees_with_the_reference(dataset, score_thresh):
    results = run(PersonSearchEvaluator(dataset, score_thresh=score_thresh))
    expected = reference_results(score_thresh)
    assert list(results) == list(expected)
    for task, metrics in expected.items():
        assert results[task] == pytest.approx(metrics, abs=1e-9), task


def test_by_hand(dataset):
    """
    Score >= 0.5 leaves c's second detection (0.95) out. Query 1 (feature (1, 0)) over b, c: 0.8
    right, 0.3 right, 0.2 wrong: AP 1. Query 2 (feature (0, 1)): of b and c 0.98 is right, AP 1.
    Query 3 (feature of cosine 0.9) finds a, b, c: similarities 0.90, 0.98, 0.69 right; wrong are
    a's second (0.52) and b's second (0.61): AP 1. Multi-view: query 2 has no ground truth in c.
    """
    results = run(PersonSearchEvaluator(dataset))
    assert results["search"] == pytest.approx({"mAP": 100, "top1": 100, "top5": 100, "top10": 100})
    assert set(results["detection"].values()) == {100.0}
    assert results["search_multi_view"]["mAP"] == pytest.approx(100)


def run_with_unreadable(evaluator, image_id):
    """As ``run``, but one image could not be read; what the model says of it must not count."""
    evaluator.reset()
    for d, output in zip(dicts(), outputs()):
        frame_input, result = model_io(d, output)
        if d["image_id"] == image_id:
            frame_input = {k: d[k] for k in ("image_id", "file_name")} | {"unreadable": True}
        evaluator.process([frame_input], [result])
    return evaluator.evaluate()


def test_persons_of_an_unreadable_frame_are_not_found(dataset, tmp_path):
    """
    Of c's two persons none is found, of six: recall and AP 4 / 6. Query 1 finds b of b and c: AP
    1 / 2. Query 2 finds b: AP 1. Query 3 finds a and b of a, b and c: AP 2 / 3. Multi-view: query 1
    finds nothing in c, query 3 finds a.
    """
    evaluator = PersonSearchEvaluator(dataset, output_dir=str(tmp_path), save=True)
    results = run_with_unreadable(evaluator, "c.jpg")
    assert results["detection"]["recall"] == pytest.approx(400 / 6)
    assert results["detection"]["AP"] == pytest.approx(400 / 6)
    assert results["search"]["mAP"] == pytest.approx(100 * (1 / 2 + 1 + 2 / 3) / 3)
    assert results["search_multi_view"]["mAP"] == pytest.approx(50)
    counts = json.loads((tmp_path / "metrics.json").read_text())["counts"]
    assert counts["frames"] == 3 and counts["persons"] == 6 and counts["unreadable_frames"] == 1
    assert counts["queries_in_unreadable_frames"] == {"full": 0, "multi_view": 0}

    predictions = load_predictions(str(tmp_path / "predictions.npz"), IMAGES, dataset)
    assert PersonSearchEvaluator(dataset).evaluate_predictions(predictions) == results


def test_what_is_assumed_of_images_is_told(dataset, caplog):
    evaluator = PersonSearchEvaluator(dataset)
    evaluator.reset()
    for d, output in zip(dicts(), outputs()):
        frame_input, result = model_io(d, output)
        if d["image_id"] != "b.jpg":
            frame_input |= {"file_name": f"/frames/{d['image_id']}", "image_note": "lacks its end"}
        evaluator.process([frame_input], [result])
    evaluator.evaluate()
    assert "image '/frames/a.jpg' lacks its end" in caplog.text
    assert f"{dataset}: 3 image(s) each of which lacks its end" in caplog.text


def test_queries_of_an_unreadable_frame_are_left_out(dataset, tmp_path, caplog):
    """a holds queries 1 and 2; query 3 finds b and c of a, b and c: AP 2 / 3."""
    caplog.set_level("WARNING")
    results = run_with_unreadable(PersonSearchEvaluator(dataset, output_dir=str(tmp_path)), "a.jpg")
    assert results["search"]["mAP"] == pytest.approx(200 / 3)
    content = json.loads((tmp_path / "metrics.json").read_text())
    assert content["counts"]["queries"] == {"full": 1, "multi_view": 1}
    assert content["counts"]["queries_in_unreadable_frames"] == {"full": 2, "multi_view": 2}
    queries = json.loads((tmp_path / "queries_full.json").read_text())["queries"]
    assert [q["query_id"] for q in queries] == [2]
    messages = [record.getMessage() for record in caplog.records]
    assert "image '/frames/a.jpg' can't be read: nothing is found" in messages
    assert any("1 frame(s) could not be read" in m and "(full: 2, multi" in m for m in messages)
    # the next evaluation of the same evaluator is of all again
    evaluator = PersonSearchEvaluator(dataset)
    run_with_unreadable(evaluator, "a.jpg")
    assert run(evaluator)["search"]["mAP"] == pytest.approx(100)


def test_files(dataset, tmp_path):
    results = run(PersonSearchEvaluator(dataset, output_dir=str(tmp_path / "new")))
    metrics = json.loads((tmp_path / "new" / "metrics.json").read_text())
    assert {k: metrics[k] for k in results} == results
    assert metrics["dataset"] == dataset
    assert metrics["counts"] == {
        "frames": 3,
        "detections": 6,
        "persons": 6,
        "queries": {"full": 3, "multi_view": 3},
        "queries_without_ground_truth": {"full": 0, "multi_view": 1},
        "queries_left_out": {"full": 0, "multi_view": 1},
    }
    content = json.loads((tmp_path / "new" / "queries_full.json").read_text())
    assert content["metrics"] == results["search"]
    assert [q["query_id"] for q in content["queries"]] == [0, 1, 2]
    first = content["queries"][0]
    assert first["hits"][0] == {
        "rank": 1,
        "image_id": "b.jpg",
        "file_name": "/frames/b.jpg",
        "camera_id": 1,
        "bbox": A,
        "score": pytest.approx(0.9),
        "similarity": pytest.approx(0.8),
        "correct": True,
        "gt_bbox": A,
    }
    assert [h["correct"] for h in first["hits"]] == [True, True, False]
    assert first["hits"][2]["gt_bbox"] == A and first["hits"][2]["bbox"] == B
    assert (first["num_gt"], first["num_tp"], first["missed"]) == (2, 2, [])


def test_missed_persons_and_their_reasons(dataset, tmp_path):
    predicted = outputs()
    predicted[1] = ([B] * 12, [0.9] * 12, [feature(0.9)] * 12, [])
    run(PersonSearchEvaluator(dataset, output_dir=str(tmp_path)), predicted)
    queries = json.loads((tmp_path / "queries_full.json").read_text())["queries"]
    assert [(m["image_id"], m["reason"]) for m in queries[0]["missed"]] == [
        ("b.jpg", "not detected"),
        ("c.jpg", "below the first 10"),
    ]
    assert queries[0]["missed"][0]["bbox"] == A
    assert queries[0]["ap"] == pytest.approx(1 / 13 / 2)
    assert len(queries[0]["hits"]) == 10


def test_a_detector_alone_has_detection_figures_only(dataset, tmp_path):
    evaluator = PersonSearchEvaluator(dataset, output_dir=str(tmp_path))
    results = run(evaluator, with_features=False)
    assert list(results) == ["detection"]
    assert [p.name for p in tmp_path.iterdir()] == ["metrics.json"]


def test_a_frame_predicted_twice_counts_once(dataset):
    once = run(PersonSearchEvaluator(dataset))
    twice = run(
        PersonSearchEvaluator(dataset), outputs() + outputs()[:1], frames=dicts() + dicts()[:1]
    )
    assert once == twice


def without_queries(protocol_queries):
    """The dataset with other protocols, under a name of its own."""
    DatasetCatalog.register("unasked", dicts)
    MetadataCatalog.get("unasked").set(protocols_fn=lambda: protocol_queries)
    return "unasked"


@pytest.mark.parametrize("queries", [{"full": [], "multi_view": []}, None])
def test_figures_over_no_query_are_not_there(tmp_path, caplog, queries):
    """Nobody is asked for; or, in multi-view, only for those who are nowhere else."""
    if queries is None:
        queries = protocols()
        queries["multi_view"] = [{**q, "gallery": ["c.jpg"]} for q in queries["multi_view"][1:2]]
    name = without_queries(queries)
    try:
        with caplog.at_level("INFO"):
            results = run(PersonSearchEvaluator(name, output_dir=str(tmp_path), breakdown=True))
    finally:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)
    assert results["search_multi_view"] == results["search_multi_view_cws"] == {}
    assert results["detection"]["AP"] == 100 and bool(results["search"]) == bool(queries["full"])
    assert "protocol multi_view: there is no query to take a mean over; its figures" in caplog.text
    row = next(x for x in caplog.text.splitlines() if x.startswith("| search_multi_view "))
    assert row.count("n/a") == 4 and "0.00" not in row
    nothing = dict.fromkeys(("mAP", "top1", "top5", "top10"))
    for file, of in (("metrics.json", "search_multi_view"), ("queries_multi_view.json", "metrics")):
        content = json.loads((tmp_path / file).read_text(), parse_constant=pytest.fail)
        assert content[of] == nothing
    # what Detectron2 does with them
    print_csv_format(results)
    EventStorage().put_scalars(**flatten_results_dict(results))
    cfg = CfgNode({"TEST": {"EXPECTED_RESULTS": [["search_multi_view", "mAP", 50.0, 1.0]]}})
    with pytest.raises(SystemExit):
        verify_results(cfg, results)


@pytest.mark.parametrize("annotated", [True, False])
def test_figures_of_detection_over_nobody_are_not_there(tmp_path, caplog, annotated):
    """Nobody has an id, or nobody is annotated: then a recall of 0 would tell of a bad detector."""
    frames = dicts()
    for d in frames:
        d["annotations"] = [{**a, "person_id": -1} for a in d["annotations"] if annotated]
    DatasetCatalog.register("nobody", lambda: frames)
    MetadataCatalog.get("nobody").set(protocols_fn=lambda: {"full": []})
    try:
        evaluator = PersonSearchEvaluator("nobody", output_dir=str(tmp_path), coco_ap=True)
        with caplog.at_level("INFO"):
            results = run(evaluator, with_features=False, frames=frames)
    finally:
        DatasetCatalog.remove("nobody")
        MetadataCatalog.remove("nobody")
    there = ["AP", "recall", "AP_iou70", "recall_iou70"] if annotated else []
    assert results["detection"] == dict.fromkeys(there, 100)
    assert ("detection_coco" in results) and bool(results["detection_coco"]) == annotated
    assert ("nobody has an id" if annotated else "nobody is annotated") in caplog.text
    row = next(x for x in caplog.text.splitlines() if x.startswith("| detection "))
    assert row.count("n/a") >= (2 if annotated else 6) and " 0.00" not in row
    content = json.loads((tmp_path / "metrics.json").read_text())
    assert content["detection"]["labelled_recall"] is None


def test_no_detection_anywhere(dataset):
    predicted = [([], [], [], q) for _, _, _, q in outputs()]
    results = run(PersonSearchEvaluator(dataset), predicted)
    assert len(results) == 5
    assert all(value == 0 for metrics in results.values() for value in metrics.values())


def broken(image, field, value):
    predicted = [list(output) for output in outputs()]
    predicted[image][field] = value
    return predicted


@pytest.mark.parametrize(
    "predicted, message",
    [
        (broken(1, 2, [feature(0.8), [float("nan"), 0.0]]), "'b.jpg'.*NaN"),
        (broken(3, 3, [[float("inf"), 0.0]]), "'d.jpg'.*infinite"),
        (broken(2, 2, [[1.0, 0.0, 0.0]] * 2), "'c.jpg'.*shape"),
        (broken(2, 1, [0.9, 1.5]), r"'c.jpg'.*1.5.*\[0, 1\]"),
        (broken(2, 1, [0.9, float("nan")]), "'c.jpg'.*nan"),
        (broken(2, 0, [A, [float("nan")] * 4]), "'c.jpg'.*finite"),
        (broken(0, 3, [feature(1.0)]), "'a.jpg'.*query_features"),
    ],
)
def test_wrong_predictions(dataset, predicted, message):
    with pytest.raises(UserError, match=message) as error:
        run(PersonSearchEvaluator(dataset), predicted)
    assert "\n" not in str(error.value)


def test_missing_and_unknown_images(dataset):
    evaluator = PersonSearchEvaluator(dataset)
    with pytest.raises(UserError, match="2 image.*'c.jpg'.*no predictions"):
        run(evaluator, outputs()[:2], frames=dicts()[:2])
    with pytest.raises(UserError, match="'x.jpg'.*not in dataset"):
        run(evaluator, outputs() + outputs()[2:3], dicts() + [dataset_dict("x.jpg", 1, [])])


def test_a_query_that_was_not_predicted(dataset):
    frames = dicts()
    frames[0]["queries"] = [A, [0.0, 0.0, 50.0, 50.0]]
    with pytest.raises(UserError, match="'a.jpg'.*query box"):
        run(PersonSearchEvaluator(dataset), frames=frames)


def test_a_gallery_with_an_unknown_image(dataset):
    wrong = [{**q, "gallery": ["c.jpg", "nowhere.jpg"]} for q in protocols()["full"]]
    MetadataCatalog.remove(NAME)
    MetadataCatalog.get(NAME).set(protocols_fn=lambda: {"full": wrong})
    with pytest.raises(UserError, match="'nowhere.jpg'"):
        run(PersonSearchEvaluator(dataset))


def test_unregistered_dataset():
    with pytest.raises(UserError, match="nonesuch"):
        PersonSearchEvaluator("nonesuch")
