"""A project whose recordings are drawn: three of three persons each, who are the same in all."""

from pathlib import Path

import cv2
import numpy as np

from person_search.label.records import NewRecording, NewTracklet, ProjectInfo, Simultaneous
from person_search.label.store import FILE_NAME, ProjectFile

DIM = 8
WIDTH, HEIGHT = 320, 240
NUM_FRAMES = 6
VIEWS = (0, 1, 3, 5)  # of a tracklet's boxes
START = 1_717_142_400.0
# recordings: camera and seconds after START
RECORDINGS = (("gate", 0.0), ("yard <2>", 300.0), ("gate", 3600.0))
COLORS = ((40, 60, 200), (60, 160, 60), (200, 120, 40))  # of persons, BGR
NUM_PERSONS = len(COLORS)
# a detection of no tracklet, in the first frame of each recording
OTHER = (10.0, 20.0, 30.0, 60.0)


def box_of(person: int, frame: int) -> tuple[float, float, float, float]:
    """Each person walks to the right in a place of their own."""
    left = 20.0 + 90 * person + 8 * frame
    return left, 100.0, left + 40, 200.0


def draw_frame(number: int) -> np.ndarray:
    image = np.full((HEIGHT, WIDTH, 3), 190, np.uint8)
    for person, color in enumerate(COLORS):
        x0, y0, x1, y1 = map(int, box_of(person, number))
        cv2.rectangle(image, (x0 + 6, y0 + 24), (x1 - 6, y1), color, -1)
        cv2.circle(image, ((x0 + x1) // 2, y0 + 13), 11, (120, 150, 190), -1)
    return image


def make_project(folder: Path) -> Path:
    """Tracklet ``3 * r + p + 1`` is person p (0 to 2) of recording r; returns ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    project = ProjectFile(folder / FILE_NAME)
    project.set_info(ProjectInfo("f" * 64, DIM, "model", "", 1.0))
    generator = np.random.default_rng(0)
    for number, (camera, seconds) in enumerate(RECORDINGS):
        ids = project.add_recording(_recording(folder, number, camera, seconds, generator))
        start, end = START + seconds, START + seconds + NUM_FRAMES - 1
        project.add_simultaneous(
            Simultaneous(a, b, start, end, True) for a in ids for b in ids if a < b
        )
    _set_neighbors(project)
    project.close()
    return folder


def _recording(folder, number, camera, seconds, generator) -> NewRecording:
    place = folder / f"recording{number}"
    place.mkdir(exist_ok=True)
    frames, images = [], [draw_frame(i) for i in range(NUM_FRAMES)]
    for i, image in enumerate(images):
        path = str(place / f"{i}.png")
        cv2.imwrite(path, image)
        frames.append((path, None, None, START + seconds + i, 0.0, WIDTH, HEIGHT))
    tracklets = [_tracklet(person, images, generator) for person in range(NUM_PERSONS)]
    return NewRecording(str(place), camera, "hash", True, frames, tracklets, [(0, OTHER, 0.2)])


def _tracklet(person, images, generator) -> NewTracklet:
    boxes = np.array([box_of(person, i) for i in range(NUM_FRAMES)])
    features = np.eye(DIM)[person] + 0.1 * generator.standard_normal((len(VIEWS), DIM))
    crops = []
    for i in VIEWS:
        x0, y0, x1, y1 = boxes[i].astype(int)
        crop = images[i][y0 - 10 : y1 + 10, x0 - 10 : x1 + 10]
        crops.append(cv2.imencode(".jpg", cv2.resize(crop, (80, 160)))[1].tobytes())
    return NewTracklet(
        np.arange(NUM_FRAMES),
        boxes,
        np.full(NUM_FRAMES, 0.9),
        np.zeros(NUM_FRAMES, bool),
        VIEWS,
        features / np.linalg.norm(features, axis=1, keepdims=True),
        tuple(crops),
    )


def _set_neighbors(project: ProjectFile) -> None:
    ids, _, features = project.view_features()
    known = np.unique(ids)
    means = np.array([features[ids == i].mean(axis=0) for i in known])
    similarity = means @ means.T
    found = {}
    for row, i in enumerate(known):
        order = [k for k in np.argsort(-similarity[row]) if k != row]
        found[int(i)] = (known[order], similarity[row, order])
    project.set_neighbors(found)
