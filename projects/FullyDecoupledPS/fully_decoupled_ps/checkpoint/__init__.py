"""Checkpoints: reading them without running their code, writing them whole, and what fits where."""

from .checkpointer import PersonSearchCheckpointer, has_reid_weights
from .crop_weights import load_crop_weights
from .names import earlier_name
from .parts import initialize_reid, load_parts
from .reading import read_checkpoint
from .side_net import initialize_side_net

__all__ = [
    "PersonSearchCheckpointer",
    "earlier_name",
    "has_reid_weights",
    "initialize_reid",
    "initialize_side_net",
    "load_crop_weights",
    "load_parts",
    "read_checkpoint",
]
