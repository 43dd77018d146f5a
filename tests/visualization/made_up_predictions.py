"""A registered test set of a few frames and predictions for it, without a network."""

import json

import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog

from fully_decoupled_ps.data import register_person_search_json
from fully_decoupled_ps.evaluation.predictions import collect_predictions
from fully_decoupled_ps.evaluation.search_dataset import SearchDataset
from tests.data.layouts import write_image

NUM_FRAMES = 8
BOXES = [[10.0, 20.0, 40.0, 80.0], [100.0, 20.0, 130.0, 80.0]]
NOBODY = [160.0, 10.0, 190.0, 70.0]
DIM = 16


class MadeUpSet:
    """Frames of two cameras; persons 2 and 3 in all of them, and a detection of nobody.

    Features are a person's own direction and a little noise. Used as a context manager, it takes
    the name away at the end.
    """

    def __init__(self, root):
        self.name = f"{root}_made_up_test"
        images, annotations = [], []
        for i in range(NUM_FRAMES):
            write_image(root / f"{i}.jpg", 200, 100)
            images.append({"id": i, "file_name": f"{i}.jpg", "camera_id": 1 + i % 2})
            for k, (x0, y0, x1, y1) in enumerate(BOXES):
                box = [x0, y0, x1 - x0, y1 - y0]
                annotations.append({"image_id": i, "bbox": box, "person_id": 2 + k})
        self.json_file = root / "made_up.json"
        self.json_file.write_text(json.dumps({"images": images, "annotations": annotations}))
        register_person_search_json(self.name, str(self.json_file), str(root))

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        DatasetCatalog.remove(self.name)
        MetadataCatalog.remove(self.name)

    def records(self, features=True):
        """What a model would have given for the evaluator, frame after frame."""
        rng = np.random.default_rng(0)
        dataset = SearchDataset(self.name)
        centers = np.eye(DIM)
        for d in dataset.dicts:
            boxes = np.array([*BOXES, NOBODY], dtype=np.float32) + rng.normal(0, 1, (3, 4))
            record = {"image_id": d["image_id"], "boxes": boxes.astype(np.float32)}
            record["scores"] = np.array([0.9, 0.8, 0.7], dtype=np.float32)
            queries = np.array(d.get("queries", []), dtype=np.float32).reshape(-1, 4)
            if features:
                record["features"] = self._near(centers[[2, 3, 9]], rng)
                record["query_features"] = self._near(
                    centers[[2 + BOXES.index(q.tolist()) for q in queries]], rng
                )
            record["query_boxes"] = queries
            yield record

    @staticmethod
    def _near(directions, rng):
        rows = directions + rng.normal(0, 0.1, directions.shape)
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)

    def predictions(self, features=True):
        dataset = SearchDataset(self.name)
        records = list(self.records(features))
        return dataset, collect_predictions(records, dataset.image_ids, self.name)
