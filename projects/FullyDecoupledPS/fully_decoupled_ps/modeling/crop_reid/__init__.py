"""Re-id networks for crops of persons: f_r of a two-step search."""

from . import fast_reid, onnx_file, osnet, timm_backbone, torchvision_backbone  # noqa: F401
from .crop_network import CROP_REID_REGISTRY, CropNetwork, build_crop_network

__all__ = ["CROP_REID_REGISTRY", "CropNetwork", "build_crop_network"]
