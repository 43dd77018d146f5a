"""A registered test set as the evaluation needs it: frames, ground truth, protocols."""

from typing import Any, Dict, List, Optional, Sequence

import numpy as np
from detectron2.data import DatasetCatalog

from ..data import get_protocols
from ..errors import UserError
from .frame_tables import GroundTruth, to_offsets
from .predictions import Predictions
from .search_metrics import SearchProtocol

# Protocols whose published figures leave out the queries that have no ground truth.
SKIP_WITHOUT_GROUND_TRUTH = ("multi_view",)
# Largest difference in pixels between a query's box and the box its feature was made from.
QUERY_BOX_TOLERANCE = 0.01


class SearchDataset:
    """
    Attributes:
        name: the registered name.
        dicts: the dataset dicts of I frames.
        image_ids: theirs.
        ground_truth: all annotated boxes.
        gallery_frames: (I,) bool, false for frames that hold queries only.
        protocols: name -> queries, as :func:`fully_decoupled_ps.data.get_protocols` describes.
    """

    def __init__(self, name: str):
        """Raises UserError when no test set of that name is registered."""
        self.name = name
        self.protocols: Dict[str, List[Dict[str, Any]]] = get_protocols(name)
        self.dicts: List[Dict[str, Any]] = DatasetCatalog.get(name)
        self.image_ids = [d["image_id"] for d in self.dicts]
        self._frame_of_image = {image_id: i for i, image_id in enumerate(self.image_ids)}
        self.gallery_frames = np.array([not d.get("query_only") for d in self.dicts], dtype=bool)
        annotations = [a for d in self.dicts for a in d["annotations"]]
        self.ground_truth = GroundTruth(
            np.array([a["bbox"] for a in annotations], dtype=np.float64).reshape(-1, 4),
            np.array([a["person_id"] for a in annotations], dtype=np.int64),
            to_offsets([len(d["annotations"]) for d in self.dicts]),
        )

    def query_boxes(self, image_id: str) -> np.ndarray:
        """(K, 4): the query boxes that the frame's dict holds."""
        boxes = self.dicts[self._frame_of_image[image_id]].get("queries", [])
        return np.array(boxes, dtype=np.float32).reshape(-1, 4)

    def search_protocols(self, predictions: Predictions) -> List[SearchProtocol]:
        """The protocols in frame numbers and rows of the predicted query features.

        Raises:
            UserError: when a query has no feature, or a gallery lists an unknown image.
        """
        galleries: Dict[int, np.ndarray] = {}
        return [
            SearchProtocol(
                name,
                np.array([self._query_row(q, predictions) for q in queries], dtype=np.int64),
                np.array([q["person_id"] for q in queries], dtype=np.int64),
                np.array([self.frame_number(q["image_id"]) for q in queries], dtype=np.int64),
                [self._gallery(q["gallery"], galleries) for q in queries],
                name in SKIP_WITHOUT_GROUND_TRUTH,
            )
            for name, queries in self.protocols.items()
        ]

    def frame_number(self, image_id: str) -> int:
        """The place of an image among the frames; UserError for an unknown one."""
        if image_id not in self._frame_of_image:
            raise UserError(
                f"dataset '{self.name}': a query or gallery names image '{image_id}', which is not "
                "among its images; add the image, or take the entry out"
            )
        return self._frame_of_image[image_id]

    def _query_row(self, query: Dict[str, Any], predictions: Predictions) -> int:
        frame = self.frame_number(query["image_id"])
        start, end = predictions.query_offsets[frame : frame + 2]
        difference = np.abs(predictions.query_boxes[start:end] - np.float32(query["bbox"]))
        row = np.flatnonzero((difference <= QUERY_BOX_TOLERANCE).all(axis=1))
        if len(row) == 0:
            raise UserError(
                f"image '{query['image_id']}': no feature was predicted for the query box "
                f"{query['bbox']}; run inference with the dataset's queries"
            )
        return int(start + row[0])

    def _gallery(
        self, gallery: Optional[Sequence[str]], done: Dict[int, np.ndarray]
    ) -> Optional[np.ndarray]:
        """Frame numbers of a list; queries that share the list share the array."""
        if gallery is None:
            return None
        if id(gallery) not in done:
            numbers = map(self._frame_of_image.get, gallery)
            frames = np.fromiter((-1 if n is None else n for n in numbers), np.int64, len(gallery))
            if (frames < 0).any():
                self.frame_number(gallery[int(np.argmax(frames < 0))])
            done[id(gallery)] = frames
        return done[id(gallery)]
