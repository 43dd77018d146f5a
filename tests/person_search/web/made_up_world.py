"""A synthetic set in an index, with features that tell its persons apart."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from fully_decoupled_ps.data.datasets.prw import load_prw
from person_search.index import IndexInfo, NewFrame, PersonIndex, Source, open_index
from person_search.network import PersonDetections
from tests.testing import make_tiny_dataset

DIM = 32
INFO = IndexInfo(fingerprint="b" * 64, dim=DIM, model="/nowhere/reid")
START = 1_717_142_400.0  # of the first frame; the others follow half an hour apart
STEP = 1800.0
# As a camera's name, it must be shown as it is.
ODD_CAMERA = "<b>${value}</b>{{value}}"


@dataclass
class World:
    """Where all is."""

    location: str  # of the index
    pictures: Path  # a folder for each camera
    true_ids: dict[int, int]  # person of the index -> who it is; -1: nobody knows

    def person_seen_by(self, num_cameras, index):
        """A person of the index who is seen by so many cameras or more, with all appearances."""
        for true_id in sorted(set(self.true_ids.values()) - {-1}):
            ids = [i for i, other in self.true_ids.items() if other == true_id]
            if len({p.frame.camera for p in index.get_persons(ids)}) >= num_cameras:
                return ids[0], ids
        raise AssertionError("nobody is")


def feature_of(true_id, generator):
    """Near the same direction for every view of a person; (DIM,) of length 1."""
    direction = np.random.default_rng(1000 + true_id).standard_normal(DIM)
    if true_id < 0:
        direction = generator.standard_normal(DIM)
    noisy = direction / np.linalg.norm(direction) + 0.03 * generator.standard_normal(DIM)
    return noisy / np.linalg.norm(noisy)


def make_world(root) -> World:
    """Draw a tiny set below ``root``, and index its true boxes."""
    dataset = make_tiny_dataset(root / "set")
    world = World(str(root / "index"), root / "pictures", {})
    generator = np.random.default_rng(0)
    dicts = load_prw(str(dataset), "train") + load_prw(str(dataset), "test")
    with open_index(world.location, create=INFO) as index:
        # so that ids of train and test are different persons
        offsets = [0] * 12 + [100] * 8
        with index.writer() as writer:
            for number, (record, offset) in enumerate(zip(dicts, offsets, strict=True)):
                _add(writer, world, record, offset, number, generator)
            writer.commit()
        index.refresh()
        _note_true_ids(index, world, dicts, offsets)
    return world


def _add(writer, world, record, offset, number, generator):
    camera = ODD_CAMERA if record["camera_id"] == 6 else f"c{record['camera_id']}"
    folder = world.pictures / f"c{record['camera_id']}"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / Path(record["file_name"]).name
    shutil.move(record["file_name"], path)
    ids = [_true_id(a, offset) for a in record["annotations"]]
    height, width = cv2.imread(str(path)).shape[:2]
    writer.begin(Source(str(path), 1, 1, "{}", camera, START + STEP * number))
    boxes = np.array([a["bbox"] for a in record["annotations"]], dtype=np.float32)
    features = [feature_of(true_id, generator) for true_id in ids]
    frame = NewFrame(
        pts=None,
        offset=0.0,
        width=width,
        height=height,
        boxes=boxes.reshape(-1, 4),
        # different ones, in the order of the annotations
        scores=np.linspace(0.95, 0.5, len(ids), dtype=np.float32),
        features=np.array(features).reshape(-1, DIM),
    )
    writer.add(str(path), frame)
    writer.finish(str(path))


def _true_id(annotation, offset):
    return annotation["person_id"] + offset if annotation["person_id"] >= 0 else -1


def _note_true_ids(index: PersonIndex, world: World, dicts, offsets):
    by_name = {Path(d["file_name"]).name: (d, o) for d, o in zip(dicts, offsets)}
    for frame in index.frames(limit=100):
        record, offset = by_name[Path(frame.path).name]
        persons = index.persons(frame.frame_id)
        for person, annotation in zip(persons, record["annotations"], strict=True):
            np.testing.assert_allclose(person.box, annotation["bbox"], atol=1e-3)
            world.true_ids[person.person_id] = _true_id(annotation, offset)


class OneFaceNetwork:
    """Detects one person in every picture, who always is the same."""

    score_thresh = 0.5
    fingerprint = INFO.fingerprint

    def __init__(self, true_id):
        self.feature = feature_of(true_id, np.random.default_rng(1))[None].astype(np.float32)
        self.asked = []

    def detect(self, image, boxes=()):
        self.asked += [tuple(box) for box in boxes]
        height, width = image.shape[:2]
        return PersonDetections(
            boxes=np.array([[width / 4, height / 4, width / 2, height / 2]], dtype=np.float32),
            scores=np.array([0.9], dtype=np.float32),
            features=self.feature,
            query_features=self.feature.repeat(len(boxes), axis=0),
        )

    def embed(self, image, boxes):
        return self.detect(image, boxes).query_features
