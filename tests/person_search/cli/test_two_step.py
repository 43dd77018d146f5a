"""A two-step network in the commands: crops come from files at their own resolution."""

import os

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from fully_decoupled_ps.predictor import read_image
from person_search.index import open_index
from person_search.network import load_network
from person_search.web.service import SearchService
from tests.modeling.crop_networks import CROPS
from tests.tiny_run import make_run, picture, save_video

from .command import index_args, query_json, run

OPTS = (*CROPS, "MODEL.META_ARCHITECTURE", "TwoStepPersonSearch")
OPTS += ("MODEL.DETECTOR.NAME", "NoResNet")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("two_step") / "reid", OPTS)


@pytest.fixture
def media(tmp_path):
    """A large picture, a small one that lies on its side, and a video of ten frames."""
    folder = tmp_path / "media"
    (folder / "cam").mkdir(parents=True)
    Image.fromarray(picture(1, (300, 500))).save(folder / "cam" / "large.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(picture(2, (90, 120))).save(folder / "cam" / "turned.png", exif=exif)
    os.utime(save_video(folder / "hall" / "v.avi", size=(128, 160)), (5000, 5000))
    return folder


def by_hand(network, pixels, box):
    """The feature of a box, with Pillow."""
    x0, y0, x1, y1 = np.round(box).astype(int)
    crop = np.asarray(Image.fromarray(pixels[y0:y1, x0:x1]).resize((12, 24), Image.BILINEAR))
    mean, std = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
    x = torch.tensor(((crop - mean) / std).transpose(2, 0, 1)[None], dtype=torch.float32)
    with torch.no_grad():
        return torch.nn.functional.normalize(network.model.reid.network(x))[0].numpy()


def persons(folder):
    """By frame: boxes and features."""
    with open_index(str(folder)) as index:
        found = {}
        for frame in index.frames():
            in_frame = index.persons(frame.frame_id)
            features = index.features([p.person_id for p in in_frame])
            found[frame.name] = np.array([p.box for p in in_frame]), features
        return found


def test_the_index_holds_features_of_crops_of_the_files_pixels(model, media, tmp_path):
    assert run(*index_args(model, tmp_path / "index", media)) == 0
    network = load_network(str(model), device="cpu")
    found = persons(tmp_path / "index")
    assert len(found) == 4  # two pictures and two frames of the video
    for name in ("large.png", "turned.png"):
        pixels = read_image(media / "cam" / name)
        assert pixels.shape == ((300, 500, 3) if name == "large.png" else (120, 90, 3))
        boxes, features = found[str(media / "cam" / name)]
        assert len(boxes) == 3
        expected = np.stack([by_hand(network, pixels, box) for box in boxes])
        np.testing.assert_allclose(features, expected, atol=3e-3)
        assert np.abs(expected[0] - expected[1]).max() > 0.01


def test_worker_processes_change_nothing(model, media, tmp_path):
    assert run(*index_args(model, tmp_path / "a", media)) == 0
    workers = ("--workers", 2, "--batch-size", 3)  # of pictures of several sizes
    assert run(*index_args(model, tmp_path / "b", media, *workers)) == 0
    a, b = persons(tmp_path / "a"), persons(tmp_path / "b")
    assert a.keys() == b.keys()
    for name, (boxes, features) in a.items():
        np.testing.assert_array_equal(boxes, b[name][0])
        np.testing.assert_allclose(features, b[name][1], atol=2e-3)


def test_queries_by_box_by_point_and_of_a_whole_picture(model, media, tmp_path, capsys):
    index = tmp_path / "index"
    assert run(*index_args(model, index, media)) == 0
    with open_index(str(index)) as opened:
        frame = next(f for f in opened.frames() if f.name.endswith("large.png"))
        person = opened.persons(frame.frame_id)[0]
    pixels = read_image(frame.path)
    copy, crop = tmp_path / "copy.png", tmp_path / "crop.png"
    cv2.imwrite(str(copy), pixels[:, :, ::-1])
    x0, y0, x1, y1 = np.round(person.box).astype(int)
    cv2.imwrite(str(crop), pixels[y0:y1, x0:x1, ::-1])
    box = ",".join(map(repr, person.box))
    for args in ((copy, "--box", box), (copy, "--point", "40,100"), (crop,)):
        found = query_json(capsys, *args, "--index", index, "--top", 1)
        (hit,) = found["hits"]
        assert hit["person"] == person.person_id
        assert hit["similarity"] == pytest.approx(1, abs=2e-3)


def test_the_pages_service(model, media, tmp_path):
    assert run(*index_args(model, tmp_path / "index", media)) == 0
    network = load_network(str(model), device="cpu")
    with open_index(str(tmp_path / "index")) as index:
        service = SearchService(index, network)
        pixels = read_image(media / "cam" / "turned.png")
        boxes = service.detect(pixels)
        assert len(boxes) == 3
        query = service.query_of_picture("turned", pixels, boxes[1].tolist())
        np.testing.assert_allclose(query.feature, by_hand(network, pixels, boxes[1]), atol=3e-3)
