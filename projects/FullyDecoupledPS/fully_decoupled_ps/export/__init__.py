"""Trained networks as ONNX files, for programs without PyTorch."""

from .description import describe
from .graphs import ReIDPath, WholeNetwork
from .onnx_file import TOLERANCE, Exported, require_packages, write_checked

__all__ = [
    "TOLERANCE",
    "Exported",
    "ReIDPath",
    "WholeNetwork",
    "describe",
    "require_packages",
    "write_checked",
]
