"""CUHK-SYSU's odd queries, from files in its layout to the figures; each value is by hand."""

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

from fully_decoupled_ps.data import register_cuhk_sysu
from fully_decoupled_ps.evaluation import PersonSearchEvaluator
from fully_decoupled_ps.evaluation.predictions import collect_predictions
from tests.data.layouts import write_cuhk_sysu, write_cuhk_test

# As query 493 of TestG100, from 0: its own frame is listed, with another box than its own. And a
# frame that is listed twice.
OTHER_BOX = [
    ("s11.jpg", (100, 20, 30, 60)),
    ("s13.jpg", (60, 20, 30, 60)),
    ("s12.jpg", (40, 20, 30, 60)),
    ("s14.jpg", None),
    ("s12.jpg", (40, 20, 30, 60)),
]
# As query 2132: its own frame is listed with its own box.
OWN_BOX = [("s14.jpg", (150, 20, 30, 60)), ("s11.jpg", (20, 20, 30, 60))]
# image: boxes from corner to corner, with their similarities to the first and the second query
FOUND = {
    "s11.jpg": [((20, 20, 50, 80), (0.99, 0.1)), ((100, 20, 130, 80), (0.5, 0.2))],
    "s12.jpg": [((40, 20, 70, 80), (0.7, 0.0))],
    "s13.jpg": [((60, 20, 90, 80), (0.8, 0.3))],
    "s14.jpg": [((150, 20, 180, 80), (0.05, 0.9)), ((80, 20, 110, 80), (0.0, 0.95))],
}
QUERIES = {"s11.jpg": (1.0, 0.0), "s14.jpg": (0.0, 1.0)}


@pytest.fixture
def evaluator(tmp_path):
    root = write_cuhk_sysu(tmp_path / "CUHK-SYSU")
    queries = {
        "p1": ("s11.jpg", (20, 20, 30, 60), OTHER_BOX),
        "p2": ("s14.jpg", (150, 20, 30, 60), OWN_BOX),
    }
    write_cuhk_test(root, 50, queries)
    name = str(root)
    register_cuhk_sysu(name, str(root), "test", 50)
    yield PersonSearchEvaluator(name, cws=False)
    DatasetCatalog.remove(name)
    MetadataCatalog.remove(name)


def test_own_frames_and_frames_listed_twice(evaluator):
    """
    The first query's ranking: its own box in its own frame (0.99) is wrong, as the list has another
    box there; 0.8, 0.7 and that other box, 0.5, are right. The frame that is listed twice is
    searched once, and is two of the four ground truths: (1/2 + 2/3 + 3/4) / 3 * 3/4 = 23/48.

    The second's: 0.95 is wrong, its own box (0.9) right, 0.2 wrong, 0.1 right: (1/2 + 2/4) / 2 =
    24/48.
    """
    records = []
    for d in DatasetCatalog.get(evaluator.dataset.name):
        found = FOUND[d["image_id"]]
        values = [(a, b, np.sqrt(1 - a * a - b * b)) for _, (a, b) in found]
        queries = d.get("queries", [])
        own = [(*QUERIES[d["image_id"]], 0.0) for _ in queries]
        records.append(
            {
                "image_id": d["image_id"],
                "boxes": np.array([box for box, _ in found], dtype=np.float32),
                "scores": np.ones(len(found), dtype=np.float32),
                "features": np.array(values, dtype=np.float32),
                "query_boxes": np.array(queries, dtype=np.float32).reshape(-1, 4),
                "query_features": np.array(own, dtype=np.float32).reshape(-1, 3),
            }
        )
    dataset = evaluator.dataset
    predictions = collect_predictions(records, dataset.image_ids, dataset.name)
    search = evaluator.evaluate_predictions(predictions)["search"]
    assert search["mAP"] == pytest.approx(100 * (23 + 24) / 2 / 48)
    assert search["top1"] == 0 and search["top5"] == 100
