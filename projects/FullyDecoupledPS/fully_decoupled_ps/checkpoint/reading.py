"""Reading checkpoint files of every kind, without running anything that a file asks to run."""

import argparse
import pickle
import re
import types
import zipfile
from collections import Counter, OrderedDict, defaultdict

import numpy as np
import torch

from ..errors import UserError

try:
    from numpy._core import multiarray, numeric
except ImportError:  # NumPy 1
    from numpy.core import multiarray, numeric

# What arrays are made of, by the names that NumPy 1 and 2 write into a pickle, and the plain
# containers that Python 2 and 3 have no opcode for.
_ADMITTED = {
    **{
        f"numpy.{core}.{name}": value
        for core in ("core", "_core")
        for name, value in (
            ("multiarray._reconstruct", multiarray._reconstruct),
            ("multiarray.scalar", multiarray.scalar),
            ("numeric._frombuffer", numeric._frombuffer),
        )
    },
    **{
        f"{builtins}.{kind.__name__}": kind
        for builtins in ("builtins", "__builtin__")
        for kind in (set, frozenset, bytearray, complex)
    },
    "numpy.ndarray": np.ndarray,
    "numpy.dtype": np.dtype,
    "collections.OrderedDict": OrderedDict,
    # what training files hold beside their weights: schedules, arguments
    "collections.Counter": Counter,
    "collections.defaultdict": defaultdict,
    "argparse.Namespace": argparse.Namespace,
    "_codecs.encode": lambda text, encoding: text.encode(encoding),  # bytes, as of protocol 2
}


class RefusedGlobal(pickle.UnpicklingError):
    """A pickle names something other than arrays and plain containers."""


class ArrayUnpickler(pickle.Unpickler):
    """Loads arrays and plain containers; anything else that a pickle names raises RefusedGlobal."""

    def find_class(self, module: str, name: str):
        try:
            return _ADMITTED[f"{module}.{name}"]
        except KeyError:
            raise RefusedGlobal(f"{module}.{name}") from None


class TensorUnpickler(ArrayUnpickler):
    """Loads PyTorch's tensors too; ``torch.load`` gives it their storages."""

    def find_class(self, module: str, name: str):
        if f"{module}.{name}" in _TENSORS:
            return _TENSORS[f"{module}.{name}"]
        if module == "torch" and isinstance(getattr(torch, name, None), torch.dtype):
            return getattr(torch, name)
        return super().find_class(module, name)


_TENSORS = {
    "torch._utils._rebuild_tensor": torch._utils._rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": torch._utils._rebuild_tensor_v2,
    "torch._utils._rebuild_parameter": torch._utils._rebuild_parameter,
    "torch.Size": torch.Size,
    "torch.device": torch.device,
}
# The first object in a file of torch.save before PyTorch 1.6, as pickle writes it.
_TORCH_MAGIC = bytes.fromhex("6cfc9c46f9206aa85019")
# Before all names of a network that was saved inside another module.
_PREFIXES = ("module.", "model.", "_orig_mod.")
# What torch.load takes in place of the module pickle.
_tensor_pickle = types.ModuleType("tensor_pickle")
_tensor_pickle.Unpickler = TensorUnpickler
_tensor_pickle.load = lambda file, **kwargs: TensorUnpickler(file, **kwargs).load()


def read_checkpoint(path: str, *, keeps_names: bool = False) -> dict:
    """
    Args:
        path: a local file: ``.pkl`` of Detectron2's or Detectron's model zoo, ``.pyth`` of pycls,
            or anything that ``torch.save`` wrote. torchvision's ResNets get Detectron2's names.
        keeps_names: leave torchvision's names, for a network that knows them.

    Returns:
        dict: "model", a dict of tensors and arrays by name; "matching_heuristics": True if its
        names fit by their ends only; and whatever else is in the file. Names are without what a
        wrapper put before all of them.

    Raises:
        UserError: if it can't be read, isn't a checkpoint, or asks to run something.
    """
    checkpoint = _in_detectron2_s_form(path, read_content(path))
    names = checkpoint["model"] = without_prefixes(checkpoint["model"])
    if not keeps_names and any(name.startswith("layer1.0.") for name in names):
        checkpoint["model"] = _from_torchvision_names(names)
        # the names now match by their ends, as those of Detectron2's ImageNet files do
        checkpoint["matching_heuristics"] = True
    return checkpoint


def without_prefixes(state: dict) -> dict:
    """A state dict without "module.", "model." and "_orig_mod." where all names begin so."""
    while state and (p := next((p for p in _PREFIXES if all(n.startswith(p) for n in state)), "")):
        state = {name.removeprefix(p): value for name, value in state.items()}
    return state


def read_content(path: str):
    """What is in a file, as its writer put it there.

    Args:
        path: a local file of any name: a pickle, tensors as safetensors writes them, or anything
            that ``torch.save`` wrote.

    Raises:
        UserError: if it can't be read, or asks to run something.
    """
    try:
        return _reader(path)(path)
    except UserError:
        raise
    except RefusedGlobal as error:
        raise UserError(
            f"checkpoint {path} is refused: it asks for {error} while it is read, which may be any "
            "program; only tensors, arrays and plain containers are taken. Where you trust the "
            "file, save its state dict alone and name that"
        ) from error
    except Exception as error:  # a damaged file raises nearly anything
        raise unreadable(path, error) from error


def _reader(path: str):
    """By what the file begins with; names say little of it: many a ``.pkl`` is PyTorch's."""
    with open(path, "rb") as f:
        head = f.read(32)
    if head.startswith(b"PK") or _TORCH_MAGIC in head:
        return _read_torch
    if head[8:9] == b"{":  # after the length of what follows
        return _read_safetensors
    is_pickle = head.startswith(b"\x80") or path.endswith(".pkl")  # protocols 0, 1 have no mark
    return _read_pickle if is_pickle else _read_torch


def unreadable(path: str, error: Exception) -> UserError:
    """The one line for a file that is missing, cut short or of another kind."""
    reason = " ".join(str(error).split())
    return UserError(
        f"checkpoint {path} can't be read: {reason or type(error).__name__}; it is damaged or of "
        "another kind: take a whole one, .pth as training writes it or Detectron2's .pkl"
    )


def _read_pickle(path: str):
    with open(path, "rb") as f:
        return ArrayUnpickler(f, encoding="latin1").load()


def _read_torch(path: str):
    if _is_torchscript(path):
        raise UserError(
            f"checkpoint {path} is a TorchScript program, which can't be read without running it; "
            "take the weights that it was made of, or an ONNX file"
        )
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        # It admits neither NumPy's numbers nor a Counter, which training files hold.
        return torch.load(
            path, map_location="cpu", weights_only=False, pickle_module=_tensor_pickle
        )


def _is_torchscript(path: str) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.split("/")[1:] == ["constants.pkl"] for name in archive.namelist())


def _read_safetensors(path: str) -> dict:
    try:
        from safetensors.torch import load_file
    except ImportError:
        raise UserError(
            f"checkpoint {path} needs the package safetensors: pip install safetensors"
        ) from None
    return load_file(path)


def _in_detectron2_s_form(path: str, content) -> dict:
    if not isinstance(content, dict):
        raise UserError(f"checkpoint {path} holds a {type(content).__name__}, no state dict")
    is_torchs = any(isinstance(value, torch.Tensor) for value in content.values())
    if "model" in content:
        checkpoint = content
    elif path.endswith(".pkl") and not is_torchs:  # of Detectron or Caffe2
        blobs = content.get("blobs", content)
        weights = {k: v for k, v in blobs.items() if not str(k).endswith("_momentum")}
        checkpoint = {"model": weights, "__author__": "Caffe2", "matching_heuristics": True}
    elif "model_state" in content and path.endswith(".pyth"):
        state = content["model_state"]
        weights = {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}
        checkpoint = {"model": weights, "__author__": "pycls", "matching_heuristics": True}
    else:  # "state_dict" is other toolboxes' word
        wrapped = content.get("state_dict")
        checkpoint = {"model": wrapped if isinstance(wrapped, dict) else content}
    check_state_dict(path, checkpoint["model"])
    return checkpoint


def check_state_dict(path: str, model) -> None:
    """
    Raises:
        UserError: if ``model`` is anything but tensors and arrays by name.
    """
    for name, value in model.items() if isinstance(model, dict) else [("model", model)]:
        if not isinstance(name, str) or not isinstance(value, (torch.Tensor, np.ndarray)):
            raise UserError(
                f"checkpoint {path}: {name!r} is a {type(value).__name__}, where a state dict of "
                "tensors is expected"
            )


def _from_torchvision_names(state: dict) -> dict:
    """torchvision's ResNet parameter names -> Detectron2's."""
    renamed = {}
    for name, value in state.items():
        if not name.startswith("layer"):
            name = f"stem.{name}"
        name = re.sub(r"^layer(\d)", lambda m: f"res{int(m[1]) + 1}", name)
        name = name.replace("downsample.0", "shortcut").replace("downsample.1", "shortcut.norm")
        renamed[re.sub(r"\bbn(\d)", r"conv\1.norm", name)] = value
    return renamed
