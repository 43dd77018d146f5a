"""A project of two cameras with videos of their own, whose boxes are known by heart."""

import io
import os
from fractions import Fraction

import numpy as np
from PIL import Image

from person_search.label.records import NewRecording, NewTracklet, ProjectInfo
from person_search.label.store import FILE_NAME, ProjectFile
from person_search.media.frames import sample_video
from tests.data.coded_videos import write_video

SIZE = (160, 96)
SECONDS = 20
START = 3600.0 * 100
# Of tracklets 1 to 8, those of the door first: who it is, camera, seconds in which it is seen.
PASSAGES = (
    ("anna", "door", range(0, 5)),
    ("bert", "door", range(2, 7)),
    ("cleo", "door", range(12, 17)),
    ("dora", "door", range(14, 19)),
    ("anna", "yard", range(5, 9)),
    ("bert", "yard", range(7, 10)),
    ("cleo", "yard", range(15, 20)),
    ("dora", "yard", range(16, 19)),
)
CAMERAS = ("door", "yard")


def box_of(tracklet, second):
    """x0, y0, x1, y1 of a tracklet (its number, from 1): 20 wide and 60 high, walking right."""
    x = 4.0 + 16 * ((tracklet - 1) % 4) + 2 * second
    return (x, 20.0, x + 20, 80.0)


def make_site(tmp_path, passages=PASSAGES, is_timed=True, others=()):
    """The folder of a project.

    Args:
        passages: as ``PASSAGES``.
        others: camera, second, box, score of detections in no tracklet.
    """
    folder = tmp_path / "project"
    folder.mkdir()
    project = ProjectFile(folder / FILE_NAME)
    project.set_info(ProjectInfo("f" * 64, 4, "model", "", 1.0))
    for camera in CAMERAS:
        numbered = [(i, p) for i, p in enumerate(passages, 1) if p[1] == camera]
        apart = [(second, box, score) for own, second, box, score in others if own == camera]
        path = save_video(tmp_path / camera / "video.mp4", seed=CAMERAS.index(camera))
        project.add_recording(
            NewRecording(
                *(str(path), camera, "hash", is_timed),
                video_rows(path),
                [tracklet(i, seconds) for i, (_, _, seconds) in numbered],
                apart,
            )
        )
    project.close()
    return folder


def save_video(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    stamps = range(SECONDS)
    write_video(path, stamps=stamps, time_base=Fraction(1, 1), size=SIZE, first=seed * SECONDS)
    os.utime(path, (START, START))
    return path


def video_rows(path):
    return [
        (str(path), f.pts, f.checksum(), START + f.offset, f.offset, *SIZE)
        for f in sample_video(str(path), 1.0)
    ]


def crop(comment):
    """A white JPEG file of the size that a person of 20 x 60 pixels with some surroundings has."""
    with io.BytesIO() as file:
        Image.new("RGB", (28, 70), "white").save(file, "JPEG", comment=comment)
        return file.getvalue()


def tracklet(number, seconds):
    seconds = np.array(seconds)
    boxes = np.array([box_of(number, s) for s in seconds.tolist()])
    between = np.zeros(len(seconds), bool)
    between[1] = True  # its second box is interpolated
    rows = (0, len(seconds) - 1)
    features = np.random.default_rng(number).standard_normal((2, 4))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    crops = tuple(crop(b"crop %d of tracklet %d" % (i, number)) for i in range(2))
    return NewTracklet(seconds, boxes, np.where(between, 0, 0.9), between, rows, features, crops)
