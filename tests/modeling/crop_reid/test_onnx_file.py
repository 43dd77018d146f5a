"""ONNX files of networks for crops: graphs made with onnx, features worked out with NumPy."""

import hashlib
import sys

import numpy as np
import pytest
import torch

from fully_decoupled_ps import UserError
from fully_decoupled_ps.checkpoint import load_crop_weights
from fully_decoupled_ps.modeling.crop_reid import build_crop_network
from tests.testing import make_config

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

SIZE = (16, 8)
DIM = 5
WEIGHT = np.random.RandomState(0).standard_normal((3, DIM)).astype(np.float32)


def write(
    path,
    batch="N",
    *,
    size=SIZE,
    kind="FLOAT",
    channels=3,
    outputs=1,
    rank=2,
    taken="",
    aside="",
    mixes=False,
):
    """A network whose feature is the mean colour of a crop, times a matrix."""
    kind, helper = getattr(onnx.TensorProto, kind), onnx.helper
    taken = getattr(onnx.TensorProto, taken) if taken else kind
    numpy_type = helper.tensor_dtype_to_np_dtype(kind)
    weight = WEIGHT if channels in (3, "C") else np.ones((channels, DIM), np.float32)
    nodes = [
        helper.make_node("Cast", ["crops"], ["pixels"], to=kind),
        helper.make_node("GlobalAveragePool", ["pixels"], ["means"]),
        helper.make_node("Flatten", ["means"], ["colours"]),
        helper.make_node("MatMul", ["colours", "weight"], ["vectors"]),
    ]
    if mixes:  # divides by the sum over the crops
        nodes.append(helper.make_node("Softmax", ["vectors"], ["features"], axis=0))
    elif rank == 2:
        nodes.append(helper.make_node("Identity", ["vectors"], ["features"]))
    else:
        nodes.append(helper.make_node("Unsqueeze", ["vectors", "axes"], ["features"]))
    made = [
        helper.make_tensor_value_info(name, kind, [batch, DIM] if rank == 2 else None)
        for name in ("features", "vectors")[:outputs]
    ]
    graph = helper.make_graph(
        nodes,
        "colours",
        [helper.make_tensor_value_info("crops", taken, [batch, channels, *size])],
        made,
        [
            onnx.numpy_helper.from_array(weight.astype(numpy_type), "weight"),
            onnx.numpy_helper.from_array(np.array([2]), "axes"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = {"save_as_external_data": True, "location": aside, "size_threshold": 0}
    onnx.save(model, str(path), **(options if aside else {}))
    return str(path)


def build(path, size=SIZE, name="onnx"):
    opts = ["MODEL.CROP_REID.NAME", name, "MODEL.CROP_REID.WEIGHTS", path]
    cfg = make_config("reid", [*opts, "MODEL.CROP_REID.SIZE", size])
    network = build_crop_network(cfg)
    load_crop_weights(network, cfg.MODEL.CROP_REID.WEIGHTS)
    return network.eval()


def expected_features(crops):
    return crops.numpy().mean(axis=(2, 3)) @ WEIGHT


@pytest.mark.parametrize("batch", ["N", 1, 4])
@pytest.mark.parametrize("number", [1, 3, 4, 9])
def test_features_of_any_number_of_crops(tmp_path, batch, number):
    network, crops = build(write(tmp_path / "a.onnx", batch)), torch.randn(number, 3, *SIZE)
    features = network(crops)
    assert features.shape == (number, network.feature_dim) == (number, DIM)
    np.testing.assert_allclose(features.numpy(), expected_features(crops), rtol=1e-5, atol=1e-6)


def test_a_network_of_16_bits_gives_features_of_32(tmp_path):
    network, crops = build(write(tmp_path / "a.onnx", kind="FLOAT16")), torch.randn(3, 3, *SIZE)
    features = network(crops)
    assert features.dtype == torch.float32
    np.testing.assert_allclose(features.numpy(), expected_features(crops), atol=2e-3)


def test_a_file_of_any_size_takes_the_configs(tmp_path):
    network = build(write(tmp_path / "a.onnx", size=("height", "width")), size=(32, 16))
    crops = torch.randn(2, 3, 32, 16)
    np.testing.assert_allclose(network(crops), expected_features(crops), rtol=1e-5, atol=1e-6)


def test_the_state_is_the_files_hash(tmp_path):
    path = write(tmp_path / "a.onnx")
    network = build(path)
    state = network.state_dict()
    assert not list(network.parameters()) and list(state) == ["sha256"]
    digest = hashlib.sha256((tmp_path / "a.onnx").read_bytes()).digest()
    assert state["sha256"].dtype == torch.uint8 and bytes(state["sha256"].tolist()) == digest
    build(path).load_state_dict(state)


def test_weights_aside_are_part_of_the_hash(tmp_path):
    path = write(tmp_path / "a.onnx", aside="weights.bin")
    network, crops = build(path), torch.randn(2, 3, *SIZE)
    np.testing.assert_allclose(network(crops), expected_features(crops), rtol=1e-5, atol=1e-6)
    both = (tmp_path / "a.onnx").read_bytes() + (tmp_path / "weights.bin").read_bytes()
    assert bytes(network.sha256.tolist()) == hashlib.sha256(both).digest()
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(UserError, match=r"\AONNX Runtime can't read [^\n]*a.onnx: [^\n]*\Z"):
        build(path)


def test_a_checkpoint_made_with_another_file_is_refused(tmp_path):
    state = build(write(tmp_path / "a.onnx")).state_dict()
    other = build(write(tmp_path / "b.onnx", batch=2))
    with pytest.raises(UserError, match=r"b.onnx has the SHA-256 \w{64}, but the checkpoint was"):
        other.load_state_dict(state)


@pytest.mark.parametrize(
    "made, told",
    [
        (
            {"size": (256, 128)},
            r"takes crops of 256 x 128, but MODEL.CROP_REID.SIZE is \(16, 8\); ",
        ),
        (
            {"size": (16, "w"), "batch": 1, "channels": 4},
            r"has inputs crops tensor\(float\) \[1, 4",
        ),
        ({"outputs": 2}, "outputs features .*, vectors .*, where one input of N x 3 x H x W"),
        ({"taken": "UINT8"}, r"has inputs crops tensor\(uint8\) .*tensor\(float16\)"),
        ({"rank": 3}, "gives 2 x 5 x 1 for 2 crops, where N x D is expected"),
    ],
)
def test_a_file_of_another_form_is_refused(tmp_path, made, told):
    with pytest.raises(UserError, match=rf"\A[^\n]*a.onnx [^\n]*{told}[^\n]*\Z"):
        build(write(tmp_path / "a.onnx", **made))


@pytest.mark.parametrize("batch", ["N", 4])
def test_a_network_exported_in_training_mode_is_refused(tmp_path, batch):
    """Its batch norms take the statistics of whatever crops it sees together."""
    path = write(tmp_path / "a.onnx", batch, mixes=True)
    with pytest.raises(UserError, match="another feature beside other crops, as in training; exp"):
        build(path)


def test_a_file_of_any_number_of_channels(tmp_path):
    """As an export has it where all dimensions are named."""
    network = build(write(tmp_path / "a.onnx", size=("H", "W"), channels="C"))
    assert network(torch.rand(2, 3, *SIZE)).shape == (2, DIM)


@pytest.mark.parametrize("weights", ["", "random"])
def test_without_a_file_it_is_refused(weights):
    with pytest.raises(UserError, match=rf"WEIGHTS {weights!r}; NAME is onnx alone, and WEIGHTS"):
        build(weights)


def test_what_is_no_onnx_file_is_refused(tmp_path):
    (tmp_path / "a.onnx").write_bytes(b"no graph")
    for path in (tmp_path / "a.onnx", tmp_path / "none.onnx"):
        with pytest.raises(UserError, match=rf"\AONNX Runtime can't read {path}: [^\n]*\Z"):
            build(str(path))
    with pytest.raises(UserError, match="NAME is onnx alone"):
        build(str(tmp_path / "a.onnx"), name="onnx:a")


def test_without_onnxruntime_one_line_says_how_to_install_it(tmp_path, monkeypatch):
    path = write(tmp_path / "a.onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match=r"needs the packages onnx and onnxruntime .*pip install"):
        build(path)
