"""A registered test set as the evaluation needs it: frames, ground truth, protocols."""

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
from detectron2.data import DatasetCatalog

from ..data import get_protocols, with_regions_apart
from ..errors import UserError
from .frame_tables import Detections, GroundTruth, rows_of_frames, to_offsets
from .predictions import Predictions, numbers
from .search_metrics import SearchProtocol

# Protocols whose published figures leave out the queries that have no ground truth.
SKIP_WITHOUT_GROUND_TRUTH = ("multi_view",)
# Largest difference in pixels between a query's box and the box its feature was made from.
BOX_TOLERANCE = 0.01


class SearchDataset:
    """
    Attributes:
        name: the registered name.
        dicts: the dataset dicts of I frames.
        image_ids: of each frame.
        cameras: of each frame, None where it has no "camera_id".
        ground_truth: all annotated boxes.
        ignore_regions: boxes of what is to be ignored, see ``ignore_regions.py``.
        gallery_frames: (I,) bool, false for frames that hold queries only.
        protocols: name -> queries, as :func:`fully_decoupled_ps.data.get_protocols` describes.
        query_ids: name -> the places of these queries among all that the dataset has.
        num_queries_left_out: name -> how many of all are left out.
    """

    def __init__(self, name: str):
        """Raises UserError when no test set of that name is registered."""
        self.name = name
        self.protocols: dict[str, list[dict[str, Any]]] = get_protocols(name)
        self.query_ids = {protocol: range(len(qs)) for protocol, qs in self.protocols.items()}
        self.num_queries_left_out = dict.fromkeys(self.protocols, 0)
        self.dicts: list[dict[str, Any]] = list(map(with_regions_apart, DatasetCatalog.get(name)))
        self.image_ids = [d["image_id"] for d in self.dicts]
        self.cameras = [d.get("camera_id") for d in self.dicts]
        self._frame_of_image = {image_id: i for i, image_id in enumerate(self.image_ids)}
        self.gallery_frames = np.array([not d.get("query_only") for d in self.dicts], dtype=bool)
        self.ground_truth = _ground_truth(
            [[(a["bbox"], a["person_id"]) for a in d["annotations"]] for d in self.dicts]
        )
        self.ignore_regions = _ground_truth(
            [[(box, -1) for box in d.get("ignore_regions", ())] for d in self.dicts]
        )
        self._galleries: dict[int, np.ndarray] = {}

    def frame_numbers(self, image_ids: Sequence[str]) -> np.ndarray:
        """(n,): the places of images among the frames; UserError for an unknown one."""
        try:
            places = map(self._frame_of_image.__getitem__, image_ids)
            return np.fromiter(places, np.int64, len(image_ids))
        except KeyError as error:
            raise UserError(
                f"dataset '{self.name}': a query or gallery names image '{error.args[0]}', which "
                "is not among its images; add the image, or take the entry out"
            ) from None

    def without_queries_in(self, frames: np.ndarray) -> "SearchDataset":
        """The dataset without the queries that lie in the frames of a mask, (I,) bool."""
        part = copy.copy(self)
        part.protocols, part.query_ids, part.num_queries_left_out = {}, {}, {}
        for name, queries in self.protocols.items():
            places = self.frame_numbers([query["image_id"] for query in queries])
            kept = np.flatnonzero(~frames[places]).tolist()
            part.protocols[name] = [queries[i] for i in kept]
            part.query_ids[name] = kept
            part.num_queries_left_out[name] = len(queries) - len(kept)
        return part

    def gallery_size(self, protocol: str) -> int | None:
        """How many frames each gallery of the protocol lists, where all list as many."""
        galleries = (query["gallery"] for query in self.protocols[protocol])
        sizes = {None if gallery is None else len(gallery) for gallery in galleries}
        return sizes.pop() if len(sizes) == 1 else None

    def protocol_names(self, gallery_sizes: Sequence[int] = ()) -> list[str]:
        """Those with galleries of these sizes, or all if empty; UserError for no such size."""
        if not gallery_sizes:
            return list(self.protocols)
        sizes = {self.gallery_size(name): name for name in self.protocols}
        for size in gallery_sizes:
            if size not in sizes:
                there = ", ".join(str(n) for n in sizes if n is not None) or "none"
                raise UserError(
                    f"dataset '{self.name}' has no galleries of {size} frames; the sizes that "
                    f"TEST.SEARCH.GALLERY_SIZES can name for it: {there}"
                )
        return [sizes[size] for size in gallery_sizes]

    def ground_truth_as_detections(self, predictions: Predictions) -> Detections:
        """All annotated boxes with score 1 and the features predicted for them.

        Those of unreadable frames are left out: nothing can be found there.

        Raises:
            UserError: inference did not run on the ground-truth boxes.
        """
        gt = self.ground_truth
        rows = _rows_of_boxes(predictions, gt.frame_of, gt.boxes)
        missing = (rows < 0) & ~predictions.unreadable[gt.frame_of]
        if missing.any():
            image_id = self.image_ids[gt.frame_of[np.argmax(missing)]]
            raise UserError(
                f"image '{image_id}': no feature was predicted for a ground-truth box; run "
                "inference with TEST.SEARCH.GT_BOXES True"
            )
        features = predictions.query_features[rows]
        ones = np.ones(len(gt), dtype=np.float32)
        perfect = Detections(gt.boxes.astype(np.float32), ones, gt.offsets, features)
        return perfect.keep(rows >= 0)

    def search_protocol(self, name: str, predictions: Predictions) -> SearchProtocol:
        """The protocol of that name in frame numbers and rows of the predicted query features.

        Raises:
            UserError: a query without a feature, or an unknown image in a gallery.
        """
        queries = self.protocols[name]
        frames = self.frame_numbers([q["image_id"] for q in queries])
        boxes = np.array([q["bbox"] for q in queries], dtype=np.float64).reshape(-1, 4)
        rows = _rows_of_boxes(predictions, frames, boxes)
        if (rows < 0).any():
            worst = int(np.argmin(rows))
            count = (rows < 0).sum()
            raise UserError(
                f"image '{queries[worst]['image_id']}': no feature was predicted for the query box "
                f"{list(queries[worst]['bbox'])}, as for {count} of {len(rows)} queries; "
                f"{_nearest_box(predictions, frames[worst], boxes[worst])}; run inference with the "
                "dataset's queries"
            )
        return SearchProtocol(
            name,
            rows,
            np.array([q["person_id"] for q in queries], dtype=np.int64),
            frames,
            [self._gallery(q["gallery"]) for q in queries],
            skip_without_ground_truth=name in SKIP_WITHOUT_GROUND_TRUTH,
            query_boxes=boxes,
        )

    def _gallery(self, gallery: Sequence[str] | None) -> np.ndarray | None:
        """Frame numbers of a list; queries that share the list share the array."""
        if gallery is None:
            return None
        if id(gallery) not in self._galleries:
            self._galleries[id(gallery)] = self.frame_numbers(gallery)
        return self._galleries[id(gallery)]


def _ground_truth(frames: list[list[tuple[list[float], int]]]) -> GroundTruth:
    """The boxes and person ids of each frame."""
    rows = [row for frame in frames for row in frame]
    return GroundTruth(
        np.array([box for box, _ in rows], dtype=np.float64).reshape(-1, 4),
        np.array([person_id for _, person_id in rows], dtype=np.int64),
        to_offsets([len(frame) for frame in frames]),
    )


def _rows_of_boxes(predictions: Predictions, frames: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """(n,) frames, (n, 4) boxes -> (n,) rows of the query features made from them, -1 for none."""
    rows = rows_of_frames(frames, predictions.query_offsets)
    asked = np.repeat(np.arange(len(frames)), np.diff(predictions.query_offsets)[frames])
    difference = np.abs(predictions.query_boxes[rows] - boxes[asked]).max(axis=1, initial=0)
    same = np.flatnonzero(difference <= BOX_TOLERANCE)[::-1]  # the first one is written last
    found = np.full(len(frames), -1)
    found[asked[same]] = rows[same]
    return found


def _nearest_box(predictions: Predictions, frame: int, box: np.ndarray) -> str:
    """What the predictions have in place of a query box."""
    start, end = predictions.query_offsets[frame : frame + 2]
    if start == end:
        return "the predictions have no query box in this image"
    there = predictions.query_boxes[start:end].astype(np.float64)
    off = np.abs(there - box).max(axis=1)
    nearest = int(np.argmin(off))
    return (
        f"the nearest of {end - start} predicted there is [{numbers(there[nearest])}], "
        f"{off[nearest]:.3g} pixels off, where up to {BOX_TOLERANCE} is the same box: take x0, y0, "
        'x1, y1, clipped to the image, as the dataset\'s "queries" have them'
    )
