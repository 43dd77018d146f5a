"""tools/export_model.py: its files give what the network gives, in onnxruntime, at other sizes."""

import json
import re

import numpy as np
import onnxruntime
import pytest
import torch
from detectron2.modeling import build_model
from PIL import Image

import export_model
from fully_decoupled_ps import UserError
from fully_decoupled_ps.checkpoint import PersonSearchCheckpointer
from fully_decoupled_ps.export import CropPath, ReIDPath, WholeNetwork, onnx_file, write_checked
from tests.modeling.crop_networks import CROPS
from tests.modeling.staged import networks  # noqa: F401, registers NarrowConvNeXt
from tests.testing import CONFIGS, FRUGAL, RESNET18, image, make_config, randomize_norms

# Caps that are never reached: the numbers of proposals and of detections differ between images.
UNCAPPED = ("TEST.DETECTIONS_PER_IMAGE", -1, "MODEL.RPN.POST_NMS_TOPK_TEST", 1000)
ANY_SCORE = ("MODEL.RETINANET.SCORE_THRESH_TEST", 0.0, "MODEL.FCOS.SCORE_THRESH_TEST", 0.0)
SMALL = (
    *(*FRUGAL, *ANY_SCORE, "MODEL.REID.NUM_IDS", 3, "MODEL.FPN.OUT_CHANNELS", 64),
    *("MODEL.RETINANET.NUM_CONVS", 1, "MODEL.FCOS.NUM_CONVS", 1),
)
CONVNEXT = ("MODEL.STAGED.NAME", "NarrowConvNeXt", "MODEL.DETECTOR.BLOCKS", (2, 1, 2, 1))
LIGHT = ("MODEL.DETECTOR.BLOCKS", (2, 1, 1, 1))  # of a ResNet-18
SYNTHETIC = "synthetic/faster_rcnn_R18.yaml"


def network(config, opts=()):
    """A small network of a shipped config, with random weights."""
    width = () if config == SYNTHETIC else RESNET18
    stage = "joint" if "coupled" in config else "reid"
    model = build_model(make_config(stage, [*width, *SMALL, *opts], config_file=CONFIGS / config))
    randomize_norms(model)
    for name, parameter in model.named_parameters():
        if name.endswith("alpha_logit"):
            torch.nn.init.constant_(parameter, 0.7)
    return model.eval()


def pictures():
    return [image(1), image(2)]


def side_net(depth):
    return ("MODEL.REID.SIDE_NET.DEPTH", depth, "MODEL.REID.FUSION.NAME", "ConvFusion")


# torch.export takes several seconds for a network, tracing a fraction of one.
REID_CASES = {
    "R-18 of half width, group norm, GeM": (SYNTHETIC, (), "torch.export"),
    "R-50": (SYNTHETIC, side_net(50), "tracing"),
    "R-34": (SYNTHETIC, side_net(34), "tracing"),
    "Faster R-CNN": ("prw/faster_rcnn_R50.yaml", (), "tracing"),
    "RetinaNet": ("prw/retinanet_R50.yaml", (), "tracing"),
    "FCOS": ("prw/fcos_R50.yaml", (), "tracing"),
    "OSNet": ("prw/faster_rcnn_R50_osnet.yaml", (), "tracing"),
    "COAT": ("prw/coat_R50.yaml", (), "tracing"),
    "lighter f_d": ("prw/retinanet_R50_lite.yaml", LIGHT, "tracing"),
    "ConvNeXt": ("prw/faster_rcnn_convnext_t_lite.yaml", CONVNEXT, "torch.export"),
}


@pytest.mark.parametrize("config, opts, exporter", REID_CASES.values(), ids=REID_CASES)
def test_re_id_path(config, opts, exporter, tmp_path, monkeypatch):
    model = network(config, opts)
    monkeypatch.setattr(ReIDPath, "has_static_control_flow", exporter == "torch.export")
    path = tmp_path / "reid.onnx"
    exported = write_checked(ReIDPath(model), model, pictures(), path)
    assert exported.exporter == (exporter if torch.__version__ >= (2, 7) else "tracing")
    assert exported.num_boxes == 6 * 5
    assert exported.largest_difference < 1e-5
    assert list(tmp_path.iterdir()) == [path]

    # a size that neither the export nor its check has seen, and that is no multiple of a stride
    session = onnxruntime.InferenceSession(str(path))
    images = torch.stack([image(seed, (101, 75)) for seed in range(3)])
    boxes = torch.tensor([[3.0, 5, 40, 90], [20, 1, 60, 55], [0, 0, 75, 101], [30, 40, 50, 99]])
    image_indices = torch.tensor([2, 0, 2, 1])
    feeds = {"images": images, "boxes": boxes, "image_indices": image_indices}
    (features,) = session.run(None, {name: x.numpy() for name, x in feeds.items()})
    for box, index, feature in zip(boxes, image_indices, features, strict=True):
        query = {"image": images[index], "queries": box[None]}
        expected = model([query])[0]["query_features"][0].numpy()
        np.testing.assert_allclose(feature, expected, atol=1e-5)
    assert np.abs(features[0] - features[1]).max() > 1e-3
    nobody = {**feeds, "boxes": boxes[:0], "image_indices": image_indices[:0]}
    (none,) = session.run(None, {name: x.numpy() for name, x in nobody.items()})
    assert none.shape == (0, features.shape[1])


WHOLE_CASES = {
    "prw/faster_rcnn_R50.yaml": UNCAPPED,
    "prw/retinanet_R50.yaml": (),
    "prw/fcos_R50.yaml": (),
    "prw/coupled_retinanet_R50.yaml": (),
    "prw/faster_rcnn_R50_lite.yaml": (*UNCAPPED, *LIGHT),
    "prw/faster_rcnn_convnext_t_lite.yaml": (*UNCAPPED, *CONVNEXT),
    SYNTHETIC: UNCAPPED,
}


@pytest.mark.parametrize("config", WHOLE_CASES)
def test_whole_network(config, tmp_path):
    model = network(config, WHOLE_CASES[config])
    path = tmp_path / "whole.onnx"
    exported = write_checked(WholeNetwork(model), model, pictures(), path)
    assert exported.num_boxes > 0 and exported.largest_difference < 1e-5
    # a graph has no turns
    assert not getattr(getattr(model.detector, "roi_heads", None), "proposals_at_a_time", 0)
    assert not model.training
    session = onnxruntime.InferenceSession(str(path))
    for seed, size in enumerate(((101, 75), (64, 200))):
        x = image(seed, size)
        boxes, scores, features = session.run(None, {"image": x.numpy()})
        instances = model([{"image": x}])[0]["instances"]
        np.testing.assert_allclose(boxes, instances.pred_boxes.tensor.numpy(), atol=1e-2)
        np.testing.assert_allclose(scores, instances.scores.numpy(), atol=1e-5)
        np.testing.assert_allclose(features, instances.reid_features.numpy(), atol=1e-5)


def test_of_several_classes_persons_alone_are_exported(tmp_path):
    classes = ("MODEL.ROI_HEADS.NUM_CLASSES", 3, "MODEL.DETECTOR.PERSON_CLASS", 1)
    model = network(SYNTHETIC, (*UNCAPPED, *classes))
    path = tmp_path / "whole.onnx"
    write_checked(WholeNetwork(model), model, pictures(), path)
    x = image(3, (101, 75))
    found = model.detector([{"image": x}])[0]["instances"]
    persons = (found.pred_classes == 1).sum()
    assert 0 < persons < len(found)
    boxes, _, features = onnxruntime.InferenceSession(str(path)).run(None, {"image": x.numpy()})
    assert len(boxes) == len(features) == persons


@pytest.fixture(scope="module")
def synthetic():
    return network(SYNTHETIC)


@pytest.fixture
def checkpoint(synthetic, tmp_path):
    PersonSearchCheckpointer(synthetic, str(tmp_path)).save("trained")
    return str(tmp_path / "trained.pth")


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "picture.png"
    Image.fromarray(image(5, (96, 128)).byte().permute(1, 2, 0).numpy()).save(path)
    return str(path)


@pytest.fixture
def command(checkpoint, picture, tmp_path, monkeypatch):
    """Runs the tool on a checkpoint; returns its exit status."""
    monkeypatch.setattr(ReIDPath, "has_static_control_flow", False)  # tracing is quicker

    def run(*options, opts=(), config=SYNTHETIC, image_file=picture):
        arguments = ["--config-file", CONFIGS / config, "--output", tmp_path / "out"]
        arguments += ["--image", image_file] if image_file else []
        arguments += [*options, *SMALL, "MODEL.WEIGHTS", checkpoint, *opts]
        return export_model.main([str(x) for x in arguments])

    return run


def test_command_writes_both_files_and_says_how_to_use_them(command, synthetic, tmp_path, picture):
    assert command() == 0
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"reid.onnx", "reid.json", "person_search.onnx", "person_search.json"}
    said = json.loads((tmp_path / "out" / "reid.json").read_text())
    assert said["inputs"]["images"]["shape"] == ["batch", 3, "height", "width"]
    assert said["inputs"]["image_indices"]["type"] == "int64"
    assert said["outputs"]["features"]["shape"] == ["num_boxes", 256]
    assert said["feature_dim"] == 256 and said["image"]["channels"] == "RGB"
    assert said["image"]["resizing"]["short_side"] == 64
    assert said["check"]["largest_feature_difference"] < said["check"]["allowed"] == 1e-4

    # used as the README says, from the JSON alone
    said = json.loads((tmp_path / "out" / "person_search.json").read_text())
    with Image.open(picture) as frame:
        rule = said["image"]["resizing"]
        scale = min(rule["short_side"] / min(frame.size), rule["long_side"] / max(frame.size))
        size = [round(side * scale) for side in frame.size]
        x = np.asarray(frame.resize(size, Image.BILINEAR), np.float32).transpose(2, 0, 1)
    session = onnxruntime.InferenceSession(str(tmp_path / "out" / said["file"]))
    _, scores, features = session.run(None, {"image": x})
    instances = synthetic([{"image": torch.from_numpy(x)}])[0]["instances"]
    np.testing.assert_allclose(scores, instances.scores.numpy(), atol=1e-5)
    np.testing.assert_allclose(features, instances.reid_features.numpy(), atol=1e-5)


def test_a_network_of_stage_detached_is_exported_from_its_folder(synthetic, picture, tmp_path):
    (tmp_path / "detached").mkdir()
    PersonSearchCheckpointer(synthetic, str(tmp_path / "detached")).save("model_final")
    arguments = ["--config-file", CONFIGS / SYNTHETIC, "--output", tmp_path / "out"]
    arguments += ["--image", picture, "--only", "whole", *SMALL]
    arguments += ["SOLVER.STAGE", "detached", "OUTPUT_DIR", tmp_path]
    assert export_model.main([str(x) for x in arguments]) == 0
    said = json.loads((tmp_path / "out" / "person_search.json").read_text())
    assert said["check"]["largest_feature_difference"] < 1e-4


def test_a_file_whose_features_are_wrong_is_not_left_behind(synthetic, tmp_path, monkeypatch):
    path = tmp_path / "reid.onnx"
    path.write_bytes(b"an older one")
    graph = ReIDPath(synthetic)
    monkeypatch.setattr(ReIDPath, "has_static_control_flow", False)
    forward = ReIDPath.forward
    monkeypatch.setattr(ReIDPath, "forward", lambda *args: forward(*args) * 1.01)
    with pytest.raises(UserError, match="is not written: .*e-0[34], allowed 1e-04"):
        write_checked(graph, synthetic, pictures(), path)
    assert path.read_bytes() == b"an older one"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda boxes, scores, features: (boxes[1:], scores[1:], features[1:]), "PyTorch finds"),
        (lambda boxes, scores, features: (boxes + 1, scores, features), "boxes or scores"),
        (lambda boxes, scores, features: (boxes, scores * 0.9, features), "boxes or scores"),
    ],
)
def test_other_detections_are_noticed(change, said, synthetic, tmp_path, monkeypatch):
    forward = WholeNetwork.forward
    monkeypatch.setattr(WholeNetwork, "forward", lambda self, x: change(*forward(self, x)))
    with pytest.raises(UserError, match=said):
        write_checked(WholeNetwork(synthetic), synthetic, pictures(), tmp_path / "x.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "options, said",
    [
        ({"opts": ["SOLVER.STAGE", "detection"]}, "has no re-id side-net"),
        ({"opts": ["MODEL.ROI_HEADS.SCORE_THRESH_TEST", 1.0]}, "no person is found .*--image"),
        ({"opts": ["MODEL.WEIGHTS", "missing.pth"]}, "missing.pth: no such file"),
        ({"opts": ["MODEL.REID.SIDE_NET.NAME", "Nothing"]}, "'Nothing' is not registered"),
        ({"image_file": "missing.jpg"}, "'missing.jpg' cannot be used"),
        ({"image_file": "", "opts": ["DATASETS.TEST", "()"]}, "no pictures .*--image"),
    ],
)
def test_a_mistake_is_one_line(command, options, said, capsys, tmp_path):
    assert command("--only", "whole", **options) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert re.search(said, error)
    assert not list((tmp_path / "out").glob("*.onnx"))


def test_values_that_the_checkpoint_was_not_trained_with_are_refused(command, tmp_path, capsys):
    cfg = make_config("reid", config_file=CONFIGS / SYNTHETIC)
    (tmp_path / "config.yaml").write_text(cfg.dump())  # beside the checkpoint
    assert command(opts=("INPUT.FORMAT", "BGR")) == 2
    assert "was trained with INPUT.FORMAT RGB" in capsys.readouterr().err


def test_architectures_without_one_of_the_files():
    coat, coupled = network("prw/coat_R50.yaml"), network("prw/coupled_faster_rcnn_R50.yaml")
    assert export_model.parts_of(coat) == ["reid"]
    assert export_model.parts_of(coupled) == ["whole"]
    with pytest.raises(UserError, match="between its cascade's stages .*--only reid"):
        WholeNetwork(coat)
    with pytest.raises(UserError, match="the detector's own; .*--only whole"):
        ReIDPath(coupled)


TWO_STEP = (*CROPS, "MODEL.CROP_REID.FORMAT", "BGR", "MODEL.CROP_REID.FLIP", True)


def test_a_two_step_network_is_two_files(picture, tmp_path, monkeypatch):
    """Used as their JSON says, from a picture that is larger than the detector's input."""
    monkeypatch.setattr(CropPath, "has_static_control_flow", False)  # tracing is quicker
    model = network("Base-TwoStep.yaml", (*UNCAPPED, *TWO_STEP))
    PersonSearchCheckpointer(model, str(tmp_path)).save("trained")
    arguments = ["--config-file", CONFIGS / "Base-TwoStep.yaml", "--output", tmp_path / "out"]
    arguments += ["--image", picture, *RESNET18, *SMALL, *UNCAPPED, *TWO_STEP]
    arguments += ["MODEL.WEIGHTS", tmp_path / "trained.pth"]
    assert export_model.main([str(x) for x in arguments]) == 0
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"reid.onnx", "reid.json", "detector.onnx", "detector.json"}

    said = json.loads((tmp_path / "out" / "detector.json").read_text())
    assert said["part"] == "detector" and "feature_dim" not in said
    session = onnxruntime.InferenceSession(str(tmp_path / "out" / said["file"]))
    with Image.open(picture) as frame:
        small = frame.resize((85, 64), Image.BILINEAR)
        x = np.asarray(small, np.float32).transpose(2, 0, 1).copy()
        (boxes, scores) = session.run(None, {"image": x})
        said = json.loads((tmp_path / "out" / "reid.json").read_text())
        assert said["part"] == "network for crops" and said["feature_dim"] == 8
        rule = said["crops"]["cutting"]
        assert (rule["height"], rule["width"]) == (24, 12)
        boxes = boxes * np.array([128 / 85, 96 / 64, 128 / 85, 96 / 64], np.float32)
        boxes = boxes[(np.round(boxes[:, 2:]) > np.round(boxes[:, :2])).all(axis=1)]
        crops = [
            frame.crop(tuple(np.round(box).astype(int))).resize((12, 24), Image.BILINEAR)
            for box in boxes
        ]
        original = np.asarray(frame).copy()
    assert len(crops) > 1
    crops = np.stack([np.asarray(c, np.float32).transpose(2, 0, 1) for c in crops])
    session = onnxruntime.InferenceSession(str(tmp_path / "out" / said["file"]))
    (features,) = session.run(None, {"crops": crops})
    inputs = {"image": torch.from_numpy(x), "height": 96, "width": 128, "queries": boxes}
    inputs["original_image"] = torch.from_numpy(original).permute(2, 0, 1)
    (output,) = model([inputs])
    np.testing.assert_allclose(output["instances"].scores, scores, atol=1e-5)
    np.testing.assert_allclose(output["query_features"], features, atol=5e-3)


def test_what_a_two_step_network_has_not():
    model = network("Base-TwoStep.yaml", TWO_STEP)
    assert export_model.parts_of(model) == ["reid", "detector"]
    with pytest.raises(UserError, match="as one file: .*--only reid, --only detector"):
        export_model.graph_of(model, "whole")
    with pytest.raises(
        UserError, match="no detector and network for crops apart; export its re-id"
    ):
        export_model.graph_of(network("prw/faster_rcnn_R50.yaml"), "detector")


def test_a_missing_package_is_named(command, monkeypatch, capsys):
    monkeypatch.setattr(onnx_file, "PACKAGES", ("onnx", "not_there"))
    assert command() == 2
    assert "needs not_there, which is not installed; pip install not_there" in (
        capsys.readouterr().err
    )
