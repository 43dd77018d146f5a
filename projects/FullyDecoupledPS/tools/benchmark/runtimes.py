"""A network in other runtimes than PyTorch's own, each with the interface of an ONNX session."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from detectron2.structures import Boxes, pairwise_iou

from fully_decoupled_ps.errors import UserError

# PyTorch's type -> OpenVINO's name; unsaid, it takes the fastest that the processor has.
OPENVINO_TYPES = {None: "f32", torch.bfloat16: "bf16", torch.float16: "f16"}

# Of a reduced type, beside float32: the largest difference of a feature's component (its length is
# 1), and the least share of persons whom both find, in boxes of that overlap.
REDUCED_TOLERANCE = 0.05
REDUCED_SHARE = 0.8
REDUCED_OVERLAP = 0.7


class TorchSession:
    """PyTorch, as it is or compiled."""

    def __init__(self, model: Callable):
        self.model = model

    def run(self, names, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
        """``feeds``: ``image``, (3, H, W); returns boxes, scores and features."""
        found = self.model([{"image": torch.from_numpy(feeds["image"])}])[0]["instances"]
        parts = (found.pred_boxes.tensor, found.scores, found.reid_features)
        return [part.float().numpy() for part in parts]


def compiled_session(model, threads: int) -> TorchSession:
    """By ``torch.compile``: Inductor, which needs a C++ compiler on a CPU.

    What Python has to decide, such as the number of boxes, stays outside of what is compiled.
    """
    return TorchSession(torch.compile(model, dynamic=False))


def onnxruntime_session(path: Path, threads: int):
    """ONNX Runtime on the CPU."""
    import onnxruntime  # optional, as setup.py says

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4  # what it would print is in its exceptions as well
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


class OpenVinoSession:
    """OpenVINO on the CPU."""

    def __init__(self, path: Path, threads: int, dtype: torch.dtype | None = None):
        """
        Args:
            path: of an ONNX file.
            threads: that it may use.
            dtype: that it computes in; None: float32.

        Raises:
            UserError: if it is not installed.
        """
        try:
            import openvino  # for this comparison alone
        except ImportError as error:
            raise UserError("not installed: pip install openvino") from error
        core = openvino.Core()
        settings = {
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": OPENVINO_TYPES[dtype],
        }
        self._model = core.compile_model(core.read_model(str(path)), "CPU", settings)

    def run(self, names, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
        found = self._model(feeds)
        return [found[index] for index in range(len(self._model.outputs))]


def check_reduced(session, model, images: list[torch.Tensor]) -> tuple[float, int]:
    """As :func:`check_graph`, of a session that computes in a reduced type.

    Rounding moves boxes, and lets a few persons pass a threshold in one of the two alone.

    Args:
        session: with the interface of an ONNX session.
        model: the network in float32.
        images: (3, H, W), 0 to 255.

    Returns:
        tuple: the largest difference of a feature's component, and the number of boxes compared.

    Raises:
        UserError: if the two find other persons, or nobody.
    """
    differences, number, both = [0.0], 0, 0
    for image in images:
        boxes, _, features = session.run(None, {"image": image.numpy()})
        expected = model([{"image": image}])[0]["instances"]
        number += max(len(boxes), len(expected))
        if not len(boxes) or not len(expected):
            continue
        overlaps, nearest = pairwise_iou(
            expected.pred_boxes, Boxes(torch.from_numpy(np.asarray(boxes)))
        ).max(dim=1)
        found = overlaps >= REDUCED_OVERLAP
        both += int(found.sum())
        theirs = torch.from_numpy(np.asarray(features))[nearest[found]]
        gaps = (theirs - expected.reid_features[found]).abs()
        differences += gaps.flatten().tolist()
    if number == 0:
        raise UserError("no person is found, so there is nothing to compare")
    if both < REDUCED_SHARE * number:
        raise UserError(f"of {number} persons only {both} are found by PyTorch in float32 as well")
    return max(differences), both
