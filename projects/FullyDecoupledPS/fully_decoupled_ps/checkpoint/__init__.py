"""Checkpoints: reading them without running their code, writing them whole, and what fits where."""

from .checkpointer import PersonSearchCheckpointer, has_reid_weights
from .parts import initialize_reid, load_parts
from .reading import read_checkpoint
from .side_net import initialize_side_net

__all__ = [
    "PersonSearchCheckpointer",
    "has_reid_weights",
    "initialize_reid",
    "initialize_side_net",
    "load_parts",
    "read_checkpoint",
]
