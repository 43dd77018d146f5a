"""Checkpoint files of every kind are read, and nothing that one asks to run is run."""

import argparse
import collections
import io
import os
import pickle
import pickletools
import re

import numpy as np
import pytest
import torch

from fully_decoupled_ps import UserError
from fully_decoupled_ps.checkpoint import (
    PersonSearchCheckpointer,
    initialize_side_net,
    read_checkpoint,
)
from tests.testing import make_model

WEIGHT = np.arange(6, dtype=np.float32).reshape(2, 3)
ZOO = {"model": {"conv.weight": WEIGHT}, "__author__": "Detectron2 Model Zoo"}


def dump(path, content, protocol=2):
    with open(path, "wb") as f:
        pickle.dump(content, f, protocol=protocol)
    return str(path)


def assert_weight(checkpoint, name="conv.weight"):
    assert np.array_equal(np.asarray(checkpoint["model"][name]), WEIGHT)


# --- what is read ----------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_of_every_protocol(tmp_path, protocol):
    arrays = {
        "conv.weight": WEIGHT,
        "transposed": np.asfortranarray(WEIGHT),
        "count": np.array(3),
        "names": np.array(["a", "b"]),
    }
    content = {**ZOO, "model": arrays, "iteration": np.int64(7), "more": ({1}, [b"x", 1j], None)}
    checkpoint = read_checkpoint(dump(tmp_path / "a.pkl", content, protocol))
    assert_weight(checkpoint)
    assert np.array_equal(checkpoint["model"]["transposed"], WEIGHT)
    assert checkpoint["model"]["count"] == 3 and checkpoint["iteration"] == 7
    assert checkpoint["more"] == ({1}, [b"x", 1j], None)


@pytest.mark.parametrize("module", [b"numpy.core", b"numpy._core"])
def test_arrays_of_either_numpy(tmp_path, module):
    content = pickle.dumps(ZOO, protocol=2)
    content = re.sub(rb"numpy\._?core", module, content)
    assert any(module.decode() in str(arg) for _, arg, _ in pickletools.genops(content))
    (tmp_path / "a.pkl").write_bytes(content)
    assert_weight(read_checkpoint(str(tmp_path / "a.pkl")))


def python2_pickle():
    """What Python 2 wrote for {"blobs": {"conv_w": WEIGHT, "conv_w_momentum": WEIGHT}}.

    Its strings are bytes, an array's content among them, and its modules have Python 2's names.
    """
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
        b"(I1\n(I2\nI3\ntcnumpy\ndtype\n(S'f4'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\n"
        b"T" + len(WEIGHT.tobytes()).to_bytes(4, "little") + WEIGHT.tobytes() + b"tb"
    )
    blobs = b"ccollections\nOrderedDict\n(tR(S'conv_w'\n" + array + b"S'conv_w_momentum'\n"
    return b"(dS'blobs'\n" + blobs + array + b"usS'kinds'\nc__builtin__\nset\n((lp1\nS'x'\natRs."


def test_a_file_of_detectron_that_python_2_wrote(tmp_path):
    (tmp_path / "a.pkl").write_bytes(python2_pickle())
    checkpoint = read_checkpoint(str(tmp_path / "a.pkl"))
    assert list(checkpoint["model"]) == ["conv_w"] and checkpoint["matching_heuristics"]
    assert checkpoint["__author__"] == "Caffe2"
    assert_weight(checkpoint, "conv_w")


@pytest.mark.parametrize("wrapped", [True, False])
@pytest.mark.parametrize("zipped", [True, False])
def test_state_dicts_of_torch(tmp_path, wrapped, zipped):
    state = collections.OrderedDict({"conv.weight": torch.from_numpy(WEIGHT)})
    content = {"model": state, "iteration": 3} if wrapped else state
    path = str(tmp_path / "a.pth")
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    checkpoint = read_checkpoint(path)
    assert_weight(checkpoint)
    assert checkpoint.get("iteration") == (3 if wrapped else None)


def test_a_file_of_pycls(tmp_path):
    state = {"conv.weight": torch.from_numpy(WEIGHT), "bn.num_batches_tracked": torch.tensor(1)}
    torch.save({"model_state": state, "epoch": 3}, tmp_path / "a.pyth")
    checkpoint = read_checkpoint(str(tmp_path / "a.pyth"))
    assert list(checkpoint["model"]) == ["conv.weight"] and checkpoint["matching_heuristics"]


@pytest.mark.parametrize("zipped", [True, False])
def test_a_training_file_with_more_than_tensors_and_containers(tmp_path, zipped):
    content = {
        "model": {"conv.weight": torch.from_numpy(WEIGHT), "half": torch.ones(2).half()},
        "rank1": np.float32(0.5),
        "schedule": collections.Counter([3, 3]),
        "args": argparse.Namespace(size=torch.Size([2]), kind=torch.float16),
    }
    path = str(tmp_path / "a.pth")
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    checkpoint = read_checkpoint(path)
    assert_weight(checkpoint)
    assert checkpoint["model"]["half"].dtype == torch.float16
    assert (checkpoint["rank1"], checkpoint["schedule"]) == (0.5, {3: 2})
    assert checkpoint["args"] == argparse.Namespace(size=(2,), kind=torch.float16)


def test_tensors_called_safetensors(tmp_path):
    safetensors = pytest.importorskip("safetensors.torch")
    path = str(tmp_path / "a.safetensors")
    safetensors.save_file({"conv.weight": torch.from_numpy(WEIGHT)}, path)
    assert_weight(read_checkpoint(path))


def test_our_own_checkpoints_hold_nothing_else(tmp_path):
    PersonSearchCheckpointer(make_model("reid"), str(tmp_path)).save("model_final", iteration=3)
    torch.load(tmp_path / "model_final.pth", weights_only=True)


# --- what is refused -------------------------------------------------------------------------


class Runs:
    """Unpickled, it calls a function; a fitting state dict is around it."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


def payloads(proof):
    return {
        "system": Runs(os.system, f"touch {proof}"),
        "eval": Runs(eval, f"open({str(proof)!r}, 'w')"),
        "open": Runs(open, str(proof), "w"),
        "getattr": Runs(getattr, "x", "upper"),
        "load": Runs(np.load, str(proof)),
        "bytes": Runs(torch.storage._load_from_bytes, pickle.dumps(Runs(open, str(proof), "w"))),
        "nested": [{"deep": (Runs(os.system, f"touch {proof}"),)}],
    }


PAYLOADS = list(payloads(""))


@pytest.mark.parametrize("name", PAYLOADS)
@pytest.mark.parametrize("end", [".pkl", ".pth", ".pyth", ""])
def test_a_file_that_runs_something_is_refused(tmp_path, name, end):
    proof, path = tmp_path / "proof", tmp_path / f"model{end}"
    content = {**ZOO, "model": {}, "extra": payloads(proof)[name]}
    if end == ".pkl":
        dump(path, content)
    else:
        torch.save(content, path)
    with pytest.raises(
        UserError, match=r"\A[^\n]*model\S* is refused: it asks for [\w.]+ [^\n]*\Z"
    ):
        read_checkpoint(str(path))
    assert not proof.exists()


def test_a_pickle_called_pth_is_no_way_round(tmp_path):
    proof, path = tmp_path / "proof", tmp_path / "model.pth"
    dump(path, payloads(proof)["system"])
    with pytest.raises(UserError, match=r"\A[^\n]*model.pth (is refused|can't be read)[^\n]*\Z"):
        read_checkpoint(str(path))
    assert not proof.exists()


def test_names_in_protocol_4_and_of_methods_are_refused(tmp_path):
    """Protocol 4 may name "ndarray.tofile"; a class's method is not what was admitted."""
    for module, name in (("numpy", "ndarray.tofile"), ("builtins", "set.__class__")):
        f = io.BytesIO()
        f.write(b"\x80\x04\x8c" + bytes([len(module)]) + module.encode())
        f.write(b"\x8c" + bytes([len(name)]) + name.encode() + b"\x93.")
        (tmp_path / "a.pkl").write_bytes(f.getvalue())
        with pytest.raises(UserError, match=rf"asks for {module}.{name}"):
            read_checkpoint(str(tmp_path / "a.pkl"))


@pytest.mark.parametrize("end", [".pkl", ".pth"])
def test_a_network_and_a_side_net_do_not_start_from_one(tmp_path, end):
    proof, path = tmp_path / "proof", tmp_path / f"model{end}"
    content = {"model": {}, "__author__": "x", "extra": payloads(proof)["system"]}
    dump(path, content) if end == ".pkl" else torch.save(content, path)
    model = make_model("reid")
    with pytest.raises(UserError, match="is refused: it asks for (posix|os).system"):
        PersonSearchCheckpointer(model).load(str(path))
    with pytest.raises(UserError, match="SIDE_NET.WEIGHTS .*is refused: it asks for"):
        initialize_side_net(model.reid, str(path), model.detector)
    assert not proof.exists()


@pytest.mark.parametrize(
    "content, told",
    [
        ([1, 2], "holds a list, no state dict"),
        ({"state_dict": {"conv.weight": WEIGHT}}, "'state_dict' is a dict, where a state dict of"),
        ({**ZOO, "model": None}, "'model' is a NoneType"),
        ({**ZOO, "model": {1: WEIGHT}}, "1 is a ndarray"),
    ],
)
def test_what_is_no_state_dict_gets_one_line(tmp_path, content, told):
    with pytest.raises(UserError, match=told):
        read_checkpoint(dump(tmp_path / "a.pkl", content))


@pytest.mark.parametrize("end", [".pkl", ".pth"])
@pytest.mark.parametrize("kept", [0, 20, 200])
def test_a_file_cut_short_gets_one_line(tmp_path, end, kept):
    path = tmp_path / f"a{end}"
    dump(path, ZOO) if end == ".pkl" else torch.save({"model": torch.zeros(1000)}, path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(UserError, match=r"\A[^\n]*can't be read: [^\n]+\Z"):
        read_checkpoint(str(path))
