"""A re-id network that is published as an ONNX file."""

import hashlib
from pathlib import Path

import numpy as np
import torch
from detectron2.config import configurable
from detectron2.utils.file_io import PathManager

from ...errors import UserError
from .crop_network import CropNetwork, register_as

_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}


@register_as("onnx")
class OnnxNetwork(CropNetwork):
    """``onnx``: the file that MODEL.CROP_REID.WEIGHTS names, run by ONNX Runtime on the CPU.

    The file has one input of N x 3 x H x W and one output of N x D, of 32 or 16 bits. N may be any
    number or a fixed one: then the last group of crops is filled up. H and W, if fixed, are those
    of MODEL.CROP_REID.SIZE. Whether pixels go from 0 to 1 or to 255, their mean, deviation and
    order are not in the file, nor its licence: MODEL.CROP_REID has to say what the publisher says.

    There is nothing to train. The buffer ``sha256`` is (32,) uint8: the hash of the file, followed
    by the files with its weights in order of their names if these are aside. A checkpoint with
    another one is refused.
    """

    is_file = True

    @configurable
    def __init__(self, *, path: str, size: tuple[int, int]):
        """
        Args:
            path: of the file.
            size: height and width of a crop.

        Raises:
            UserError: if it can't be run or is of another form.
        """
        super().__init__()
        self._path = path
        self._session = _open_session(path)
        self._batch, self._type = self._check_form(size)
        self.register_buffer("sha256", torch.frombuffer(_digest(path), dtype=torch.uint8).clone())
        crops = np.random.default_rng(0).standard_normal((self._batch or 2, 3, *size), np.float32)
        try:
            features = self._run(crops)
            beside_others = self._run(np.concatenate([crops[:1], 0 * crops[1:]]))
        except Exception as error:  # ONNX Runtime's are none of Python's
            told = f"{path} can't be run on crops of MODEL.CROP_REID.SIZE {size}"
            raise UserError(f"{told}: {_one_line(error)}") from error
        if features.ndim != 2 or len(features) != (self._batch or 2):
            raise UserError(
                f"{path} gives {' x '.join(map(str, features.shape))} for {self._batch or 2} "
                "crops, where N x D is expected; it is no re-id network of one feature per crop"
            )
        if not np.allclose(features[0], beside_others[0], rtol=0.01, atol=0.01 * features.std()):
            raise UserError(
                f"{path} gives a crop another feature beside other crops, as in training; export "
                "the network in evaluation mode"
            )
        self.feature_dim = features.shape[1]

    @classmethod
    def from_config(cls, cfg, variant: str):
        weights = cfg.MODEL.CROP_REID.WEIGHTS
        if variant or weights in ("", "random"):
            raise UserError(
                f"MODEL.CROP_REID.NAME is {cfg.MODEL.CROP_REID.NAME!r} and WEIGHTS {weights!r}; "
                "NAME is onnx alone, and WEIGHTS the path or address of an ONNX file"
            )
        try:
            path = PathManager.get_local_path(weights)
        except OSError as error:
            raise UserError(f"MODEL.CROP_REID.WEIGHTS {weights} can't be read: {error}") from error
        return {"path": path, "size": tuple(cfg.MODEL.CROP_REID.SIZE)}

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        """(N, 3, h, w) -> (N, D); a gradient ends here."""
        array = crops.detach().cpu().float().numpy()
        step, features = self._batch or len(array), []
        for start in range(0, len(array), step):
            part = array[start : start + step]
            filled = np.pad(part, ((0, step - len(part)), (0, 0), (0, 0), (0, 0)))
            features.append(self._run(filled)[: len(part)])
        return torch.from_numpy(np.concatenate(features)).to(crops.device)

    def _run(self, crops: np.ndarray) -> np.ndarray:
        name = self._session.get_inputs()[0].name
        return self._session.run(None, {name: crops.astype(self._type)})[0].astype(np.float32)

    def _check_form(self, size: tuple[int, int]) -> tuple[int, type]:
        """N, or 0 for any, and the type of the input."""
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        shape = inputs[0].shape if inputs else []
        fits = (len(inputs), len(outputs), len(shape)) == (1, 1, 4)
        if (
            not fits
            or (isinstance(shape[1], int) and shape[1] != 3)
            or inputs[0].type not in _TYPES
        ):
            has = [
                ", ".join(f"{v.name} {v.type} {v.shape}" for v in vs) for vs in (inputs, outputs)
            ]
            raise UserError(
                f"{self._path} has inputs {has[0]} and outputs {has[1]}, where one input of "
                f"N x 3 x H x W, {' or '.join(_TYPES)}, and one output of N x D are expected; it "
                "is no re-id network"
            )
        taken = tuple(f if isinstance(f, int) else s for f, s in zip(shape[2:], size))
        if taken != size:
            raise UserError(
                f"{self._path} takes crops of {taken[0]} x {taken[1]}, but MODEL.CROP_REID.SIZE is "
                f"{size}; set it to {taken}"
            )
        return shape[0] if isinstance(shape[0], int) else 0, _TYPES[inputs[0].type]

    def _load_from_state_dict(self, state_dict, prefix, *args):
        loaded = state_dict.get(f"{prefix}sha256", self.sha256).cpu()
        if not torch.equal(loaded, self.sha256.cpu()):
            raise UserError(
                f"{self._path} has the SHA-256 {bytes(self.sha256.tolist()).hex()}, but the "
                f"checkpoint was made with {bytes(loaded.tolist()).hex()}; name that file with "
                "MODEL.CROP_REID.WEIGHTS"
            )
        super()._load_from_state_dict(state_dict, prefix, *args)


def _open_session(path: str):
    try:
        import onnx  # noqa: F401
        import onnxruntime
    except ImportError as error:
        raise UserError(
            f"MODEL.CROP_REID.NAME onnx needs the packages onnx and onnxruntime ({error}): "
            "pip install onnx onnxruntime"
        ) from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's are none of Python's
        raise UserError(f"ONNX Runtime can't read {path}: {_one_line(error)}") from error


def _digest(path: str) -> bytearray:
    import onnx
    from onnx.external_data_helper import ExternalDataInfo, uses_external_data

    graph = onnx.load(path, load_external_data=False).graph
    aside = {ExternalDataInfo(t).location for t in graph.initializer if uses_external_data(t)}
    files = [Path(path), *(Path(path).parent / name for name in sorted(aside))]
    return bytearray(hashlib.sha256(b"".join(file.read_bytes() for file in files)).digest())


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
