"""Pictures and videos: which there are, what their names say, and reading them."""

from .files import MediaFile
from .finding import find_files
from .frames import read_frame, sample_video

__all__ = ["MediaFile", "find_files", "read_frame", "sample_video"]
