"""Using a trained network on pictures and videos of one's own: loading it, reading, indexing."""

from ..predictor import Detections, SearchNetwork, load_network
from .files import MediaFile
from .finding import find_files
from .frames import read_frame, read_picture, sample_video

__all__ = [
    "Detections",
    "MediaFile",
    "SearchNetwork",
    "find_files",
    "load_network",
    "read_frame",
    "read_picture",
    "sample_video",
]
