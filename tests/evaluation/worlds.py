"""Small sets of frames and queries for tests, and their form for the package's functions."""

import numpy as np
from hypothesis import strategies as st

from fully_decoupled_ps.evaluation.frame_tables import Detections, GroundTruth, to_offsets
from fully_decoupled_ps.evaluation.search_metrics import (
    SearchProtocol,
    SearchVariant,
    evaluate_search,
)

PLAIN = SearchVariant()
CWS = SearchVariant(weight_by_score=True)


def frame(image_id, gts=(), dets=(), query_only=False, camera_id=None):
    """``gts``: (box, person id); ``dets``: (box, score, feature)."""
    return {
        "image_id": image_id,
        "gts": list(gts),
        "dets": list(dets),
        "query_only": query_only,
        "camera_id": camera_id,
    }


def query(image_id, person_id, feature, gallery=None, bbox=(0.0, 0.0, 1.0, 1.0)):
    return {
        "image_id": image_id,
        "bbox": bbox,
        "person_id": person_id,
        "feature": np.array(feature, dtype=np.float32),
        "gallery": gallery,
    }


def to_detections(frames, dim):
    dets = [det for f in frames for det in f["dets"]]
    return Detections(
        np.array([box for box, _, _ in dets], dtype=np.float32).reshape(-1, 4),
        np.array([score for _, score, _ in dets], dtype=np.float32),
        to_offsets([len(f["dets"]) for f in frames]),
        np.array([feature for _, _, feature in dets], dtype=np.float32).reshape(-1, dim),
    )


def to_ground_truth(frames):
    gts = [gt for f in frames for gt in f["gts"]]
    return GroundTruth(
        np.array([box for box, _ in gts], dtype=np.float64).reshape(-1, 4),
        np.array([person_id for _, person_id in gts], dtype=np.int64),
        to_offsets([len(f["gts"]) for f in frames]),
    )


def to_protocol(frames, queries, name="full", skip=False):
    """Queries whose gallery is the same list share the array, as the package's own code does."""
    number = {f["image_id"]: i for i, f in enumerate(frames)}
    shared = {
        id(q["gallery"]): np.array([number[i] for i in q["gallery"]], dtype=np.int64)
        for q in queries
        if q["gallery"] is not None
    }
    return SearchProtocol(
        name,
        np.arange(len(queries)),
        np.array([q["person_id"] for q in queries], dtype=np.int64),
        np.array([number[q["image_id"]] for q in queries], dtype=np.int64),
        [None if q["gallery"] is None else shared[id(q["gallery"])] for q in queries],
        skip,
        query_boxes=np.array([q["bbox"] for q in queries], dtype=np.float64).reshape(-1, 4),
    )


def search(frames, queries, variant=PLAIN, *, skip=False, dim=2):
    """``evaluate_search`` of the frames and queries -> SearchResult."""
    features = np.array([q["feature"] for q in queries], dtype=np.float32).reshape(-1, dim)
    results = evaluate_search(
        to_detections(frames, dim),
        to_ground_truth(frames),
        features,
        [to_protocol(frames, queries, skip=skip)],
        [variant],
        gallery_frames=np.array([not f["query_only"] for f in frames], dtype=bool),
    )
    return results["full", variant]


# Coarse values, so that ties and duplicates are common and float32 arithmetic is exact.
_feature = st.tuples(*[st.sampled_from([-1.0, -0.5, 0.0, 0.25, 0.5, 1.0])] * 2)
_score = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])
_corner = st.integers(0, 6).map(lambda v: 4.0 * v)
_side = st.sampled_from([1.0, 3.0, 8.0, 20.0, 24.0])
_box = st.tuples(_corner, _corner, _side, _side).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)


@st.composite
def _frame(draw, image_id, num_persons):
    gts = draw(st.lists(st.tuples(_box, st.integers(-1, num_persons - 1)), max_size=4))
    boxes = draw(st.lists(_box, max_size=3))
    if gts:  # detections on persons, shifted a little, several on one person
        for i, dx in draw(
            st.lists(st.tuples(st.integers(0, len(gts) - 1), st.integers(-2, 2)), max_size=5)
        ):
            x0, y0, x1, y1 = gts[i][0]
            boxes.append((x0 + dx, y0, x1 + dx, y1))
    dets = [(box, draw(_score), draw(_feature)) for box in boxes]
    return frame(image_id, gts, dets, query_only=draw(st.sampled_from([False, False, True])))


@st.composite
def worlds(draw, num_persons=3):
    """-> (frames, queries); galleries are None, or lists with frames twice or the query's own."""
    frames = [draw(_frame(f"f{i}.jpg", num_persons)) for i in range(draw(st.integers(1, 6)))]
    images = st.sampled_from([f["image_id"] for f in frames])
    shared = draw(st.lists(images, max_size=8))
    galleries = st.one_of(st.none(), st.just(shared), st.lists(images, max_size=8))
    queries = [
        query(draw(images), draw(st.integers(0, num_persons)), draw(_feature), draw(galleries))
        for _ in range(draw(st.integers(0, 4)))
    ]
    return frames, queries
