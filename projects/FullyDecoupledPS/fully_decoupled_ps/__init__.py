"""Fully decoupled end-to-end person search, as a Detectron2 project.

Importing this package registers the meta-architecture and the built-in datasets with Detectron2.
"""

from . import _quiet_imports, data, modeling  # noqa: F401 (first, before others import the same)
from .config import add_fully_decoupled_ps_config, apply_stage, load_config, merge_config
from .data.datasets import builtin
from .engine.check_config import check_config
from .errors import UserError

__version__ = "0.1.0"

__all__ = [
    "UserError",
    "add_fully_decoupled_ps_config",
    "apply_stage",
    "builtin",
    "check_config",
    "data",
    "load_config",
    "merge_config",
    "modeling",
]
