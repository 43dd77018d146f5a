"""
The built-in dataset names, under $DETECTRON2_DATASETS ("datasets" by default; the trees are drawn
in datasets/README.md). Importing this module registers them; files are read when they are used.
"""

import os

from .prw import register_prw


def register_all_prw(root: str) -> None:
    """Registers prw_train and prw_test under `root`/PRW."""
    for split in ("train", "test"):
        register_prw(f"prw_{split}", os.path.join(root, "PRW"), split)


_root = os.path.expanduser(os.getenv("DETECTRON2_DATASETS", "datasets"))
register_all_prw(_root)
