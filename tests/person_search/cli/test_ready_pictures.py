"""A ready network, from its download to its hits, on photographs.

Its files have the forms of published ones, and random weights: what it takes for persons are some
thin boxes, the same ones in the same pixels.
"""

import os
import pickle
import re
import shutil
from pathlib import Path
from urllib.parse import urlsplit

import httpx  # Gradio brings it
import matplotlib.cbook
import numpy as np
import pytest
import torch
import yaml
from detectron2 import model_zoo
from detectron2.modeling import build_model
from PIL import Image, ImageOps
from sklearn.datasets import load_sample_image

import make_screenshots as screenshots
from fully_decoupled_ps import ready
from fully_decoupled_ps.checkpoint.crop_weights import load_crop_weights
from fully_decoupled_ps.config import load_config
from fully_decoupled_ps.modeling.crop_reid.crop_network import build_crop_network
from fully_decoupled_ps.predictor import InputMapper
from person_search import network
from person_search.cli import queries
from person_search.index import open_index
from person_search.network import load_network
from person_search.web import server as web_server
from tests.modeling.crop_reid.published import made_up_state, osnet_shapes
from tests.modeling.random_detector import random_weights
from tests.utils.file_server import serving

from ..web.calls import answer_to
from .command import query_json, run

ZOO = "COCO-Detection/faster_rcnn_R_50_FPN_3x.yaml"
# As cheap as can be.
RESNET = {"DEPTH": 18, "RES2_OUT_CHANNELS": 64}
SIZES = {"MIN_SIZE_TEST": 160, "MAX_SIZE_TEST": 320}
HEADS = {"FPN": {"OUT_CHANNELS": 16}, "ROI_BOX_HEAD": {"FC_DIM": 64}}
# EXIF's orientations, and what was done to the upright picture before it was stored so.
STORED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def hopper() -> Image.Image:
    """Grace Hopper in 1984, 512 x 600, by a photographer of the US Navy: in the public domain."""
    return Image.open(matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False))


def detector_file() -> bytes:
    """As the model zoo publishes it."""
    cfg = model_zoo.get_config(ZOO)
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.RESNETS.update(RESNET)
    for node, values in HEADS.items():
        cfg.MODEL[node].update(values)
    torch.manual_seed(0)
    model = build_model(cfg)
    inputs = InputMapper("BGR", SIZES["MIN_SIZE_TEST"], SIZES["MAX_SIZE_TEST"])(
        np.asarray(hopper())
    )
    with torch.no_grad():
        random_weights(model, lambda: model([inputs]))
    state = {name: value.numpy() for name, value in model.state_dict().items()}
    return pickle.dumps({"model": state, "__author__": "Detectron2 Model Zoo"})


def crops_file(path) -> bytes:
    """As torchreid writes it in training; persons that look different get different features."""
    state = made_up_state(osnet_shapes((16, 64, 96, 128)))
    state = {name: value.float() for name, value in state.items()}
    torch.save(state, path)
    cfg = load_config(opts=("MODEL.CROP_REID.NAME", "OSNet:x0_25"))
    crops = build_crop_network(cfg).eval()
    load_crop_weights(crops, str(path))
    # the mean and deviation over pieces of a photograph, where training leaves those over persons
    pieces = torch.tensor(np.asarray(hopper()).transpose(2, 0, 1) / 64 - 2, dtype=torch.float32)
    pieces = pieces[:, :576].unfold(1, 96, 48).unfold(2, 48, 24).permute(1, 2, 0, 3, 4)
    with torch.no_grad():
        values = []
        crops.fc[0].register_forward_hook(lambda layer, inputs, output: values.append(output))
        crops(pieces.reshape(-1, 3, 96, 48))
    state["fc.1.running_var"], state["fc.1.running_mean"] = torch.var_mean(values[0], dim=0)
    state |= {"fc.1.weight": torch.ones(512), "fc.1.bias": torch.zeros(512)}
    published = {f"module.{name}": value for name, value in state.items()}
    torch.save({"state_dict": published, "epoch": 60, "rank1": 0.9}, path)
    return path.read_bytes()


def write_ready(path, address: str) -> None:
    part = {"BYTES": 0, "LICENCE": "none", "DATA": "nothing"}
    model = {
        "META_ARCHITECTURE": "TwoStepPersonSearch",
        "DETECTOR": {"ZOO": ZOO, "PERSON_CLASS": 0},
        "RESNETS": RESNET,
        "WEIGHTS": f"{address}/detector.pkl",
        "CROP_REID": {"NAME": "OSNet:x0_25", "WEIGHTS": f"{address}/osnet.pth.tar"},
    }
    known = {"USE": "a test", "DETECTOR": part, "CROP_REID": part}
    content = {"VERSION": 2, "MODEL": {**model, **HEADS}, "INPUT": SIZES, "READY": known}
    path.parent.mkdir(parents=True)
    path.write_text(yaml.safe_dump(content))


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """The default ready network of a new machine, and the server that has its files."""
    folder = tmp_path_factory.mktemp("published")
    with pytest.MonkeyPatch.context() as patch, serving() as server:
        patch.setenv("no_proxy", "*")
        patch.setenv(ready.MODELS_VARIABLE, str(folder / "models"))
        patch.setattr(ready, "_CONFIGS", folder / "configs")
        server.files = {"detector.pkl": detector_file(), "osnet.pth.tar": crops_file(folder / "f")}
        name = f"{ready.DEFAULT_NETWORK}.yaml"
        write_ready(folder / "configs" / "ready" / name, server.url.rpartition("/")[0])
        yield server


def save_turned(image, path, orientation):
    """The upright picture, stored as a camera that is held in another way stores it."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.transpose(STORED[orientation]).save(path, exif=exif, quality=90)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs")
    image = hopper()
    image.save(folder / "hopper.png")
    for orientation in STORED:
        save_turned(image, folder / f"turned{orientation}.png", orientation)
    for orientation in (6, 8):  # a telephone upright, and upside down
        save_turned(image, folder / f"phone{orientation}.jpg", orientation)
        with Image.open(folder / f"phone{orientation}.jpg") as stored:
            ImageOps.exif_transpose(stored).save(folder / f"upright{orientation}.png")
    image.convert("L").save(folder / "grey.png")
    image.resize((2560, 3000), Image.Resampling.BICUBIC).save(folder / "large.jpg", quality=95)
    Image.fromarray(load_sample_image("china.jpg")).save(folder / "palace.jpg")
    return folder


@pytest.fixture(scope="module")
def made_index(published, photographs, tmp_path_factory):
    """Made by the one command that a new user types."""
    folder = tmp_path_factory.mktemp("made") / "index"
    assert run("index", photographs, "--index", folder, "--workers", 0, "--device", "cpu") == 0
    return folder


@pytest.fixture
def index(made_index, tmp_path):
    """A test's own copy."""
    return shutil.copytree(made_index, tmp_path / "index")


def persons(folder) -> dict:
    """By name of the picture: (N, 4) boxes and (N, D) features, best score first."""
    with open_index(str(folder)) as index:
        found = {}
        for frame in index.frames():
            own = sorted(index.persons(frame.frame_id), key=lambda person: -person.score)
            features = index.features([person.person_id for person in own])
            found[frame.path.rpartition("/")[2]] = np.array([p.box for p in own]), features
        return found


def test_a_new_machine(made_index, published, photographs):
    assert {urlsplit(path).path for path, _ in published.asked} == {
        *("/net/detector.pkl", "/net/osnet.pth.tar")
    }
    with open_index(str(made_index)) as index:
        assert index.info.model == ready.DEFAULT_NETWORK
        sizes = {frame.path.rpartition("/")[2]: frame for frame in index.frames()}
    assert sizes.keys() == {path.name for path in photographs.iterdir()}
    assert (sizes["phone6.jpg"].width, sizes["phone6.jpg"].height) == (512, 600)
    found = persons(made_index)
    for name, (boxes, features) in found.items():
        assert len(boxes), name
        width, height = sizes[name].width, sizes[name].height
        assert (boxes >= 0).all() and (boxes <= (width, height) * 2).all()
        np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, atol=1e-3)


@pytest.mark.parametrize(
    ("turned", "upright"),
    [
        *((f"turned{orientation}.png", "hopper.png") for orientation in STORED),
        *((f"phone{orientation}.jpg", f"upright{orientation}.png") for orientation in (6, 8)),
    ],
)
def test_a_turned_photograph_has_the_persons_of_the_upright_one(made_index, turned, upright):
    found = persons(made_index)
    (boxes, features), (expected_boxes, expected) = found[turned], found[upright]
    np.testing.assert_allclose(boxes, expected_boxes, atol=0.01)
    similarities = features @ expected.T
    assert (similarities.diagonal() > 0.999).all()
    assert (similarities.argmax(axis=1) == np.arange(len(boxes))).all()


def test_another_resolution_and_no_colour(made_index):
    """The same persons in a picture five times as large; other features where colours are gone."""
    found = persons(made_index)
    boxes, features = found["hopper.png"]
    large_boxes, large = found["large.jpg"]
    assert np.abs(large_boxes[0] / 5 - boxes[0]).max() < 5  # pixels
    assert (features[0] @ large.T).argmax() == 0 and features[0] @ large[0] > 0.999
    assert found["grey.png"][0].shape != boxes.shape


def asked(capsys, index, *args, top=1) -> list:
    """Of each hit the name of its picture, its box and its similarity."""
    where = ("--models-dir", os.environ[ready.MODELS_VARIABLE])  # one load of the network for all
    args += ("--index", index, "--top", top, "--device", "cpu", *where)
    hits = query_json(capsys, *args)["hits"]
    return [(Path(hit["frame"]).name, hit["box"], hit["similarity"]) for hit in hits]


@pytest.mark.parametrize("name", ["palace.jpg", "grey.png"])
def test_a_copy_is_found(index, photographs, tmp_path, capsys, name):
    """By a box, by a point on it, and by the person alone."""
    boxes, _ = persons(index)[name]
    sizes = boxes[:, 2:] - boxes[:, :2]
    box = boxes[sizes.prod(axis=1).argmin()]  # the one that is meant by a point in several
    copy, crop = tmp_path / f"copy-of-{name}", tmp_path / "crop.png"
    shutil.copy(photographs / name, copy)
    with Image.open(copy) as image:
        image.crop(np.round(box).astype(int).tolist()).save(crop)
    x0, y0, x1, y1 = box.tolist()
    for args in (
        (copy, "--box", f"{x0},{y0},{x1},{y1}"),
        (copy, "--point", f"{(x0 + x1) / 2},{(y0 + y1) / 2}"),
        (crop,),
    ):
        ((picture, found, similarity),) = asked(capsys, index, *args)
        assert picture == name and similarity > 0.999
        np.testing.assert_allclose(found, box, atol=0.06)  # it is printed with one decimal


def test_all_views_of_a_person_are_found(index, photographs, tmp_path, capsys):
    shutil.copy(photographs / "turned6.png", tmp_path / "copy.png")
    box = persons(index)["hopper.png"][0][0]  # in pixels of the upright picture
    args = (tmp_path / "copy.png", "--box", ",".join(map(str, box)))
    hits = asked(capsys, index, *args, top=12)
    names = [name for name, _, _ in hits]
    assert {"hopper.png"} | {f"turned{orientation}.png" for orientation in STORED} <= set(names)
    assert not {"grey.png", "palace.jpg"} & set(names) and len(set(names)) == 12
    for name, found, similarity in hits:
        assert similarity > 0.99
        if name.startswith(("hopper", "turned")):
            np.testing.assert_allclose(found, box, atol=0.06)


def test_the_page(index, photographs, tmp_path, monkeypatch):
    """A visitor sends a telephone's picture, and chooses a person in it."""
    answers = []

    def visit(service, bound, host, **options):
        content = (photographs / "phone6.jpg").read_bytes()
        with screenshots.served(service, tmp_path) as url, httpx.Client(base_url=url) as client:
            token = client.post("/upload?name=mine.jpg", content=content).json()["token"]
            answers.append(answer_to(client, "take_upload", "visitor", token=token))
            box = re.search(r'data-box=\\"([^"]*)\\"', answers[0])[1]
            values = (*(None,) * 3, False, [], "", "", 0, 50, False)
            answers.append(answer_to(client, "search_chosen_box", "visitor", values, box=box))

    monkeypatch.setattr(web_server, "serve", visit)
    assert run("serve", "--index", index, "--port", 0, "--device", "cpu") == 0
    number = len(persons(index)["phone6.jpg"][0])
    assert "mine.jpg, 512 × 600 pixels" in answers[0] and f"{number} persons detected" in answers[0]
    assert answers[1].index("phone6.jpg") > 0


def test_it_goes_on_where_nothing_can_be_downloaded(
    index, photographs, published, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(network, "load_network", load_network)  # anew, as each command does
    monkeypatch.setattr(queries, "load_network", load_network)
    shutil.copy(photographs / "palace.jpg", tmp_path / "more.jpg")
    before = len(published.asked)
    monkeypatch.setattr(published, "status", 404)
    args = ("--index", index, "--device", "cpu")
    assert run("index", tmp_path / "more.jpg", *args, "--workers", 2) == 0
    found = query_json(capsys, tmp_path / "more.jpg", "--point", "320,200", *args, "--top", 1)
    assert Path(found["hits"][0]["frame"]).name == "palace.jpg"
    assert len(published.asked) == before
    with open_index(str(index)) as opened:
        assert opened.info.model == ready.DEFAULT_NETWORK
        assert opened.counts()[0] == len(list(photographs.iterdir())) + 1
