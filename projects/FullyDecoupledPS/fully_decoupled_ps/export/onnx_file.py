"""Writing a graph as an ONNX file, which stays only if onnxruntime gives what PyTorch gives."""

import importlib.util
import logging
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from ..errors import UserError
from .checks import check_graph
from .graphs import ReIDPath, WholeNetwork, traceable

logger = logging.getLogger(__name__)

OPSET = 18
# Largest difference of a feature's component; features have length 1.
TOLERANCE = 1e-4
_TYPES = {"tensor(float)": "float32", "tensor(int64)": "int64"}
PACKAGES = ("onnx", "onnxruntime", "onnxscript")


@dataclass
class Exported:
    """What was written and how it compared.

    Attributes:
        exporter: "torch.export" or "tracing".
        largest_difference: of a feature's component, between onnxruntime and PyTorch.
        num_boxes: whose features were compared.
        inputs, outputs: name -> {"shape", "type"}; names in a shape are sizes that may change.
    """

    exporter: str
    largest_difference: float
    num_boxes: int
    inputs: dict[str, dict]
    outputs: dict[str, dict]


def require_packages() -> None:
    """
    Raises:
        UserError: if a package that exporting or checking needs is not installed.
    """
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"the export needs {', '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} "
            f"not installed; pip install {' '.join(missing)}"
        )


def write_checked(graph: ReIDPath | WholeNetwork, model, pictures, path: Path) -> Exported:
    """Write a graph, and compare its features in onnxruntime with the network's in PyTorch.

    An older file of that name is replaced only when the new one has passed.

    Args:
        graph: of ``model``.
        model: the network, on the CPU and in eval mode.
        pictures: (3, H, W) images at the network's resolution, 0 to 255.
        path: the file to write.

    Raises:
        UserError: if the graph can't be exported or does not run, or a feature differs by more than
            ``TOLERANCE``; no new file is left behind.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        # not of a size that the check looks at
        example = graph.example(_resized(pictures[0], 0.75))
        logger.info("Exporting %s ...", path.name)
        with _one_line(f"{path.name} can't be exported"):
            exporter = _export(graph, example, partial)
        logger.info("Checking %s with onnxruntime ...", path.name)
        with _one_line(f"{path.name} was exported, but fails its check in onnxruntime"):
            session = _open(partial)
            # also of odd sizes, at whose borders strided layers and poolings differ
            images = [y for x in pictures for y in (x, _resized(x, 0.5), x[:, 5:, 3:])]
            difference, num_boxes = check_graph(graph, session, model, images)
        compared = f"largest difference of {num_boxes} features from PyTorch's {difference:.1e}"
        if not difference <= TOLERANCE:
            raise UserError(f"{path.name} is not written: {compared}, allowed {TOLERANCE:.0e}")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    logger.info("Wrote %s: %s, allowed %.0e", path, compared, TOLERANCE)
    inputs, outputs = (
        {x.name: {"shape": x.shape, "type": _TYPES[x.type]} for x in nodes}
        for nodes in (session.get_inputs(), session.get_outputs())
    )
    return Exported(exporter, difference, num_boxes, inputs, outputs)


def _open(path: Path):
    import onnxruntime  # optional, as setup.py says

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what it would print is in its exceptions as well
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _export(graph, example, path: Path) -> str:
    """Write the file; returns which exporter did it."""
    names = {"input_names": list(graph.input_names), "output_names": list(graph.output_names)}
    # Names in dynamic_shapes came with PyTorch 2.7.
    by_torch_export = graph.has_static_control_flow and torch.__version__ >= (2, 7)
    with traceable(), warnings.catch_warnings():
        # Tracing warns of every Python branch; what they would do wrong the check finds.
        warnings.simplefilter("ignore")
        if by_torch_export:
            shapes = [graph.dynamic_axes.get(name, {}) for name in graph.input_names]
            program = torch.onnx.export(
                graph, example, dynamo=True, opset_version=OPSET, dynamic_shapes=shapes,
                verbose=False, **names,
            )  # fmt: skip
            program.save(str(path), external_data=False)
            return "torch.export"
        # PyTorch 2.4 has no such argument, and no other way.
        tracing = {} if torch.__version__ < (2, 5) else {"dynamo": False}
        torch.onnx.export(
            graph, example, str(path), opset_version=OPSET, dynamic_axes=graph.dynamic_axes,
            **tracing, **names,
        )  # fmt: skip
        return "tracing"


def _resized(image: torch.Tensor, scale: float) -> torch.Tensor:
    return torch.nn.functional.interpolate(image[None], scale_factor=scale, mode="bilinear")[0]


@contextmanager
def _one_line(what: str):
    """Whatever a detector of any kind makes the exporter or onnxruntime raise, in one line."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        lines = str(error).strip().splitlines() or [""]
        raise UserError(f"{what}: {type(error).__name__}: {lines[0]}") from error
