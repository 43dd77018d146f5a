"""Trained networks as ONNX files, for programs without PyTorch."""

from .description import describe
from .graphs import CropPath, DetectorPath, ReIDPath, WholeNetwork
from .onnx_file import TOLERANCE, Exported, require_packages, write_checked

__all__ = [
    "TOLERANCE",
    "CropPath",
    "DetectorPath",
    "Exported",
    "ReIDPath",
    "WholeNetwork",
    "describe",
    "require_packages",
    "write_checked",
]
